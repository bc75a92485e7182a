"""Propagations that are stopped, and exceptions that pass through C."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import promem
import pytest
from conftest import AROUND


class Planted(Exception):
    pass


def test_an_exception_in_progress_stops_the_walk_and_is_raised_unchanged(session):
    planted, told = Planted("planted"), []

    def progress(step):
        told.append(step)
        if len(told) == 3:
            raise planted

    with pytest.raises(Planted) as caught:
        session.propagate(progress, **AROUND)
    assert caught.value is planted and len(told) == 3
    assert np.count_nonzero(~np.isnan(session.scores(1))) == 3
    # The next call is a call like any other.
    session.propagate(**AROUND)
    assert np.count_nonzero(~np.isnan(session.scores(1))) == 8


def test_an_exception_of_an_inner_propagation_is_its_own(session, model, small):
    def inner(_):
        with promem.Session(model, small) as other, pytest.raises(Planted):
            other.add_point(1, (10, 10, 4))
            other.propagate(raiser, range=(4, 5), never_stop=True)

    def raiser(_):
        raise Planted

    session.propagate(inner, range=(20, 21), never_stop=True)


@pytest.mark.parametrize("way", ["False", "cancel", "thread"])
def test_a_propagation_is_cancelled_from_a_callback_or_another_thread(session, way):
    told = []

    def progress(step):
        told.append(step)
        if len(told) == 3:
            if way == "False":
                return False
            stopper = threading.Thread(target=session.cancel)
            stopper.start() if way == "thread" else session.cancel()
            if way == "thread":
                stopper.join()
        return None

    with pytest.raises(promem.Cancelled) as caught:
        session.propagate(progress, **AROUND)
    assert caught.value.status_name == "PROMEM_CANCELLED" and len(told) == 3
    session.propagate(**AROUND)
    assert np.count_nonzero(~np.isnan(session.scores(1))) == 8


@pytest.mark.parametrize("answer", [False, 0, np.False_, np.bool_(0), np.int64(0), 0.0])
def test_whatever_is_false_stops_a_propagation(session, answer):
    told = []
    with pytest.raises(promem.Cancelled):
        session.propagate(lambda step: told.append(step) or answer, **AROUND)
    assert len(told) == 1


@pytest.mark.parametrize("answer", [None, True, 1, np.True_, "on", 0.5])
def test_none_and_whatever_is_true_goes_on(session, answer):
    told = []
    session.propagate(lambda step: told.append(step) or answer, **AROUND)
    assert len(told) == 8


def test_an_answer_that_is_neither_is_raised(session):
    with pytest.raises(ValueError, match="ambiguous"):
        session.propagate(lambda step: np.array([True, False]), **AROUND)


@pytest.mark.parametrize("progress", [None, lambda _: None])
def test_ctrl_c_stops_a_propagation_on_the_main_thread(session, progress, capfd):
    assert threading.current_thread() is threading.main_thread()
    # While the main thread is in C; a callback of its own is not needed.
    timer = threading.Timer(0.05, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            session.reset()
            session.add_point(1, (60, 50, 17))
            session.propagate(progress, never_stop=True)
    timer.join()
    assert "ignored" not in capfd.readouterr().err


def test_a_real_signal_ends_a_program_like_any_other(toy, tmp_path):
    script = tmp_path / "long.py"
    script.write_text(
        f"""
import sys; sys.path[:0] = {sys.path!r}
import numpy as np, promem
scan = np.random.default_rng(0).normal(size=(300, 64, 64))
promem.set_thread_count(1)
session = promem.Session(promem.Model({str(toy)!r}, "cpu", "fp32"), scan, axis="k")
session.add_point(1, (30, 30, 150))
print("begins", flush=True)
session.propagate(never_stop=True)
print("ended", flush=True)
"""
    )
    run = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "begins\n"
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)
    assert out == "" and run.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt") and "ignored" not in err


def test_a_session_answers_busy_inside_its_own_progress(session):
    refused = []

    def progress(_):
        for change in (session.reset, session.propagate, lambda: session.set_axis("i")):
            with pytest.raises(promem.Busy) as caught:
                change()
            refused.append(caught.value.status_name)
        with pytest.raises(promem.PromemError, match="cannot be closed inside its own callback"):
            session.close()
        session.labels(), session.mask(1), session.scores(1)
        assert [prompt.object for prompt in session.prompts] == [1]

    session.propagate(progress, range=(20, 21), never_stop=True)
    assert set(refused) == {"PROMEM_BUSY"} and len(refused) == 6


def test_a_session_closed_by_another_thread_ends_what_runs(model, scan, slice_mask):
    session = promem.Session(model, *scan)
    session.add_mask(1, *slice_mask)
    closer = threading.Thread(target=session.close)

    def progress(_):
        if not closer.is_alive():
            closer.start()

    with pytest.raises(promem.Cancelled):
        session.propagate(progress, never_stop=True)
    closer.join()
    assert session.closed


def test_everything_is_freed_when_the_interpreter_ends_whatever_runs(toy, tmp_path):
    script = tmp_path / "leaves.py"
    script.write_text(
        f"""
import sys; sys.path[:0] = {sys.path!r}
import atexit, threading, time
import numpy as np, promem
scan = np.random.default_rng(0).normal(size=(300, 64, 64))
# Registered before promem's own end, so called after it.
atexit.register(lambda: print("session closed:", session.closed, "job closed:", job.closed))
promem.set_log("DEBUG")
promem.set_thread_count(1)
model = promem.Model({str(toy)!r}, "cpu", "fp32")
sessions = [promem.Session(model, scan, axis="k") for _ in range(3)]
for session in sessions:
    session.add_point(1, (30, 30, 150))
session = sessions[0]
job = session.start_propagate(lambda step: print(end=''), never_stop=True)
forgotten = sessions[1].start_propagate(never_stop=True)
def walk():
    try:
        sessions[2].propagate(lambda _: time.sleep(0.01), never_stop=True)
    except promem.Cancelled:
        print("cancelled")
threading.Thread(target=walk, daemon=True).start()
job.cycle = job
time.sleep(0.2)
"""
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "") and "session closed: True job closed: True\n" in run.stdout, run


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_is_refused_instead_of_hanging(session):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            session.labels()
        except promem.LibraryNotLoaded as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        assert "of which this is a fork" in told.read()
