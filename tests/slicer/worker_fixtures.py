"""The binding in this process, one worker with a model for a whole module, and a scan in it."""

import promem
import pytest
from promem.worker import unpack
from worker_harness import AROUND, BOX, IJK_TO_RAS, MASK, MODEL, POINTS, VOXELS, host


@pytest.fixture(scope="module")
def direct():
    """The binding in this process."""
    promem.set_thread_count(1)
    with promem.Model(device="cpu", precision="fp32") as model:
        yield model


@pytest.fixture(scope="module")
def found_directly(direct):
    """Labels, scores and a preview, found without a worker: two objects, three kinds of prompts."""
    with promem.Session(direct, VOXELS, IJK_TO_RAS, axis="k") as session:
        session.add_box(1, *BOX["box"])  # the order decides; a worker gives a box before its points
        for *ijk, positive in POINTS["points"]:
            session.add_point(1, ijk, positive)
        session.add_mask(2, 9, unpack(MASK["mask"]))
        preview = session.predict_slice(1, 7)
        session.propagate(**AROUND)
        return {"labels": session.labels(), "scores": [session.scores(n) for n in (1, 2)], "preview": preview}


@pytest.fixture(scope="module")
def worker_with_model():
    """One worker with the model for all of these tests."""
    with host() as made:
        made.ask("load_model", **MODEL)
        yield made


@pytest.fixture
def opened(worker_with_model):
    """The worker with the scan just opened, and its results."""
    shared, results = worker_with_model.open_scan(VOXELS)
    worker_with_model.events.clear()
    yield worker_with_model, results
    worker_with_model.ask("close_scan")
    shared.close()
    results.close()
