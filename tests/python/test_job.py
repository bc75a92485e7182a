"""Propagations in the background."""

import gc
import threading
import time
import weakref

import numpy as np
import promem
import pytest
from conftest import AROUND
from promem import SliceResult


def test_a_job_finds_what_a_propagation_finds(session, slice_mask):
    session.propagate(**AROUND)
    expected, scores = session.labels(), session.scores(1)
    session.reset()
    session.add_mask(1, *slice_mask)
    with session.start_propagate(**AROUND) as job:
        assert job.session is session
        state = job.wait()
    assert (state.running, state.done, state.expected, state.error) == (False, 8, 8, None)
    np.testing.assert_array_equal(session.labels(), expected)
    np.testing.assert_array_equal(session.scores(1), scores)


def test_slices_are_readable_as_soon_as_they_are_ready(session, slice_mask):
    number, mask = slice_mask
    taken = []
    with session.start_propagate(**AROUND) as job:
        while True:
            running = job.poll().running
            for ready in job.ready():
                assert session.mask(ready.object)[ready.slice].any() == ready.found
                taken.append(ready)
            if not running:
                break
            time.sleep(0.001)
        assert job.ready() == []
    assert taken[0] == SliceResult(object=1, slice=number, score=1.0, found=True)
    assert sorted(ready.slice for ready in taken) == list(range(16, 24))
    scores = session.scores(1)
    assert all(scores[ready.slice] == ready.score for ready in taken)


def test_a_cancelled_job_raises_on_wait_and_keeps_what_is_done(session):
    with session.start_propagate(never_stop=True) as job:
        while not job.poll().done:
            time.sleep(0.001)
        job.cancel()
        with pytest.raises(promem.Cancelled):
            job.wait()
        state = job.poll()
        assert not state.running and isinstance(state.error, promem.Cancelled)
        assert 0 < np.count_nonzero(~np.isnan(session.scores(1))) == len(job.ready()) < session.slice_count
    session.propagate(**AROUND)


def test_a_session_cancels_its_job(session):
    with session.start_propagate(never_stop=True) as job:
        session.cancel()
        with pytest.raises(promem.Cancelled):
            job.wait()


def test_a_wait_ends_after_its_time(session):
    with session.start_propagate(never_stop=True) as job:
        assert job.wait(timeout=0).running
        assert job.wait(timeout=0.01).running
        with pytest.raises(promem.Busy):
            session.add_point(1, (3, 3, 3))
        assert session.labels().shape == session.shape


def test_leaving_a_job_cancels_it(session):
    with session.start_propagate(never_stop=True) as job:
        pass
    assert job.closed
    with pytest.raises(promem.Closed, match="job: it was closed"):
        job.poll()
    session.reset()


def test_a_job_that_goes_wrong_says_why_on_wait(model, scan):
    with promem.Session(model, *scan) as session, session.start_propagate() as job:
        with pytest.raises(promem.InvalidArgument, match="prompt"):
            job.wait()
        assert job.poll().error.status_name == "PROMEM_INVALID_ARGUMENT"


def test_a_job_outlives_a_closed_session(session):
    job = session.start_propagate(never_stop=True)
    session.close()
    assert not job.poll().running
    with pytest.raises(promem.Cancelled):
        job.wait()
    job.close()


def test_a_job_keeps_its_forgotten_session_alive(model, scan, slice_mask):
    session = promem.Session(model, scan[0].copy(), scan[1])
    session.add_mask(1, *slice_mask)
    job = session.start_propagate(**AROUND)
    del session
    gc.collect()
    assert job.wait().done == 8
    assert job.session.labels().any()
    job.close()


def test_a_job_closed_by_another_thread_ends_the_wait_for_it(session):
    job = session.start_propagate(never_stop=True)
    closer = threading.Timer(0.05, job.close)
    closer.start()
    with pytest.raises((promem.Cancelled, promem.Closed)):
        job.wait()
    closer.join()


def test_embeddings_are_computed_ahead(session, slice_mask):
    session.propagate(**AROUND)
    expected = session.labels()
    session.reset()
    session.add_mask(1, *slice_mask)
    with session.start_precompute() as job:
        state = job.wait()
    assert state.done == state.expected == session.slice_count
    session.propagate(**AROUND)
    np.testing.assert_array_equal(session.labels(), expected)


def test_a_job_tells_of_each_slice_as_a_propagation_does(session, slice_mask):
    direct, told, threads = [], [], set()
    session.propagate(direct.append, **AROUND)
    session.reset()
    session.add_mask(1, *slice_mask)

    def progress(step):
        threads.add(threading.current_thread())
        # What reads may be called here.
        assert session.mask(step.object)[step.slice].any() == step.found
        told.append(step)

    with session.start_propagate(progress, **AROUND) as job:
        job.wait()
        assert told == direct, "all of it before the wait ends"
        assert sorted(ready.slice for ready in job.ready()) == list(range(16, 24)), "nothing is taken away"
    (thread,) = threads
    assert thread is not threading.main_thread() and not thread.is_alive()


@pytest.mark.parametrize("answer", [False, 0, np.False_])
def test_a_job_is_cancelled_by_its_progress(session, answer):
    told = []
    with session.start_propagate(progress=lambda step: told.append(step) or answer, never_stop=True) as job:
        with pytest.raises(promem.Cancelled):
            job.wait()
        assert len(told) == 1 and job.poll().done < session.slice_count


def test_what_progress_raises_cancels_the_job_and_comes_out_of_wait_unchanged(session):
    planted, told = ValueError("planted"), []

    def progress(step):
        told.append(step)
        raise planted

    with session.start_propagate(progress=progress, never_stop=True) as job:
        for _ in range(2):
            with pytest.raises(ValueError) as caught:
                job.wait()
            assert caught.value is planted
        assert len(told) == 1 and isinstance(job.poll().error, promem.Cancelled)
    session.propagate(**AROUND)


def test_a_job_that_is_closed_tells_nothing_more(session):
    begun, told = threading.Event(), []

    def progress(step):
        told.append(step)
        begun.set()
        time.sleep(0.05)

    with session.start_propagate(progress, never_stop=True):
        assert begun.wait(60)
    count = len(told)
    time.sleep(0.2)
    assert len(told) == count < session.slice_count


def test_a_job_can_be_closed_and_waited_for_inside_its_own_progress(session):
    seen = []

    def progress(step):
        job.cancel()
        with pytest.raises(promem.Cancelled):
            job.wait()
        job.close()
        seen.append(step)

    job = None
    started = threading.Event()

    def gate(step):
        started.wait(60)
        progress(step)

    job = session.start_propagate(gate, never_stop=True)
    started.set()
    limit = time.monotonic() + 60
    while not job.closed and time.monotonic() < limit:
        time.sleep(0.01)
    job.close()
    assert job.closed and len(seen) == 1


def test_a_forgotten_job_lets_go_of_its_session_and_its_progress(model, scan, slice_mask):
    before = threading.active_count()
    session = promem.Session(model, scan[0].copy(), scan[1])
    session.add_mask(1, *slice_mask)
    begun, told = threading.Event(), []

    def progress(step):
        told.append(step)
        begun.set()

    job = session.start_propagate(progress, never_stop=True)
    assert begun.wait(60)
    gone = weakref.ref(session)
    del job, session
    limit = time.monotonic() + 60
    while (gone() is not None or threading.active_count() > before) and time.monotonic() < limit:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None and threading.active_count() == before
