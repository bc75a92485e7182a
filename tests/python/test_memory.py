"""What is made is given back."""

import gc
import os

import numpy as np
import promem
import pytest
from conftest import AROUND

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def test_two_hundred_sessions_leave_no_memory_behind(model, scan, slice_mask):
    class Planted(Exception):
        pass

    def progress(step):
        if step.done == 2:
            raise Planted

    def round_(n):
        voxels = scan[0].astype(np.float64)  # 8 bytes a voxel: one scan that stays would show
        with promem.Session(model, voxels, scan[1]) as session:
            session.add_mask(1, *slice_mask)
            with pytest.raises(Planted):
                session.propagate(progress, **AROUND)
            if n % 4 == 0:
                with session.start_propagate(**AROUND) as job:
                    job.ready()
            session.labels()
        return voxels.nbytes

    for n in range(40):
        round_(n)
    before = resident()
    for n in range(200):
        size = round_(n)
    grown = resident() - before
    assert grown < 3 * size, f"200 sessions took {grown / 1e6:.1f} MB, a scan has {size / 1e6:.1f} MB"


def test_twenty_models_leave_no_memory_behind(toy):
    sizes = []
    for n in range(25):
        promem.Model(toy, "cpu", "fp32").close()
        if n >= 5:
            sizes.append(resident())
    assert sizes[-1] - sizes[0] < 5e6
