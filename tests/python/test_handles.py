"""What is closed once: how it ends, that it is not copied, what it says of itself."""

import copy
import multiprocessing
import pickle

import numpy as np
import promem
import pytest
from conftest import AROUND
from promem._resource import Resource
from promem.worker import Engine, SharedArray


@pytest.fixture
def resources(model, session):
    """One of each class that is to be closed, and what to do instead of copying it."""
    job = session.start_propagate(never_stop=True)
    shared = SharedArray((2, 3, 4), "int16")
    yield {
        "promem.Model": (model, "threads share it"),
        "promem.Session": (session, "begin another promem.Session"),
        "promem.Job": (job, r"session\.labels\(\)"),
        "promem.worker.Engine": (Engine(), "make another promem.worker.Engine"),
        "promem.worker.SharedArray": (shared, "give its name"),
    }
    job.close()
    shared.close()


def test_a_copy_or_a_pickle_is_refused_with_what_to_do_instead(resources):
    for name, (resource, advice) in resources.items():
        for take in (copy.copy, copy.deepcopy, pickle.dumps, lambda thing: pickle.dumps([thing], protocol=2)):
            with pytest.raises(TypeError, match=f"{name} cannot be copied or pickled: .*{advice}"):
                take(resource)
    # What is refused is not closed by it.
    assert not resources["promem.Session"][0].closed and resources["promem.Session"][0].labels().any() in (True, False)


def test_a_session_does_not_go_to_another_process(session):
    with pytest.raises(TypeError, match=r"promem\.Session cannot be copied or pickled"):
        multiprocessing.get_context("spawn").Process(target=print, args=(session,)).start()


def test_results_and_states_can_be_copied_and_pickled(session):
    session.propagate(**AROUND)
    for thing in (session.prompts, promem.Extent((0, 1), (2, 3), (4, 5)), session.labels()):
        for again in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
            assert np.array_equal(again, thing)


def test_everything_says_what_it_is(resources, session):
    reprs = {name: repr(resource) for name, (resource, _) in resources.items()}
    k, j, i = session.shape
    assert reprs["promem.Model"] == "<promem.Model toy at 128 px on cpu in fp32>"
    assert reprs["promem.Session"] == f"<promem.Session on {i} x {j} x {k} voxels (i, j, k), {k} slices across k>"
    assert reprs["promem.Job"].startswith("<promem.Job running, ") and reprs["promem.Job"].endswith(" slices>")
    assert reprs["promem.worker.Engine"] == "<promem.worker.Engine, closed>"
    assert reprs["promem.worker.SharedArray"].endswith(" of (2, 3, 4) int16>")
    job = resources["promem.Job"][0]
    job.cancel()
    with pytest.raises(promem.Cancelled):
        job.wait()
    assert repr(job).startswith("<promem.Job ended by Cancelled, ")
    for name in ("promem.Job", "promem.worker.SharedArray"):
        resources[name][0].close()
        assert repr(resources[name][0]) == f"<{name}, closed>"
    assert repr(promem.Extent((0, 1), (2, 3), (4, 5))) == "Extent(i=(0, 1), j=(2, 3), k=(4, 5))"


def test_one_class_knows_how_a_with_ends():
    for kind in (promem.Model, promem.Session, promem.Job, Engine, SharedArray):
        assert issubclass(kind, Resource)
        for name in ("__enter__", "__exit__", "__reduce_ex__", "__repr__"):
            assert getattr(kind, name) is getattr(Resource, name), (kind, name)


def test_what_was_never_opened_says_so():
    with pytest.raises(promem.InvalidArgument):
        promem.Session(None, "scan.nii.gz")
    assert repr(promem.Session.__new__(promem.Session)) == "<promem.Session, closed>"
