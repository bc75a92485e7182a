"""The worker's life: it starts, dies, is started again, and outlives nobody."""

import os
import signal
import subprocess
import sys
import time

import pytest
from promem.worker import Engine, EngineError
from worker_help import MODEL, PACKAGE, VOXELS, Host, descriptors, gone, host, is_running, worker, zombies

POINT = {"slice": 7, "points": [[36, 30, 7, True]]}


@pytest.fixture
def computing():
    """A host whose engine propagates, and the open request."""
    with host() as made:
        made.ask("load_model", **MODEL)
        memories = made.open_scan(VOXELS)
        made.ask("set_prompts", object=1, slices=[POINT])
        walk = made.send("propagate", never_stop=True)
        made.until(lambda: made.told("progress"))
        yield made, walk
    for memory in memories:
        memory.close()


def test_an_engine_starts_at_once_and_tells_its_state():
    engine = Engine()
    assert (engine.state, engine.pid) == ("stopped", None)
    made = Host(engine)
    try:
        engine.start()
        process = engine.pid
        assert engine.state == "starting" and is_running(process)
        engine.start()
        assert engine.pid == process
        answers = made.send("hello")
        assert made.engine.state == "starting"
        made.until(lambda: answers)
        assert engine.state == "running"
        assert answers[0]["pid"] == process and answers[0]["devices"][0] == {"name": "cpu"}
        assert answers[0]["abi"] == 1 and answers[0]["threads"] >= 1 and answers[0]["version"]
    finally:
        engine.stop()
    assert (engine.state, engine.pid) == ("stopped", None)
    assert not is_running(process) and made.deaths == [] and zombies() == []


@pytest.mark.parametrize(("given", "expected"), [({}, "3000"), ({"GOMP_SPINCOUNT": "5"}, "5")])
def test_its_threads_soon_sleep_unless_the_environment_says_how_they_wait(given, expected):
    unsaid = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    # libgomp says what it has read when it is loaded.
    engine = Engine(environment={**unsaid, "OMP_DISPLAY_ENV": "verbose", **given})
    made = Host(engine)
    try:
        engine.start()
        made.ask("hello")
        made.until(lambda: any("GOMP_SPINCOUNT" in line for line in engine.last_lines))
        counts = [line.split("'")[1] for line in engine.last_lines if "GOMP_SPINCOUNT" in line]
        assert counts == [expected]
    finally:
        engine.stop()


def test_a_program_without_a_window_asks_and_waits():
    engine = Engine()
    engine.start()
    with engine:
        assert engine.ask("hello")["pid"] == engine.pid
        with pytest.raises(EngineError, match="expected one of hello") as caught:
            engine.ask("greet")
        assert caught.value.kind == "InvalidArgument"
        assert repr(engine) == f"<promem.worker.Engine running, process {engine.pid}, 0 open requests>"
        refused = []

        def ask_inside(_):
            with pytest.raises(RuntimeError, match="ask was called inside of poll"):
                engine.ask("hello")
            refused.append(True)

        engine.send("hello", done=ask_inside)
        engine.ask("hello")
        assert refused == [True]
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="was ended by SIGKILL"):
            engine.ask("hello")
    assert engine.closed
    with pytest.raises(EngineError, match="is not running"):
        engine.ask("hello")


def test_a_worker_killed_in_mid_run_fails_every_open_request_and_starts_again(computing):
    made, walk = computing
    assert descriptors() > 0 and not walk
    others = [made.send("scores", object=1), made.send("cancel")]
    told = len(made.events)
    os.kill(made.engine.pid, signal.SIGKILL)
    process = made.engine.pid
    # What it has said before its end may still be answers.
    made.until(lambda: made.deaths, 10)
    assert walk[0].kind == "Died" and all(len(answers) == 1 for answers in others)
    assert made.deaths == ["The engine was ended by SIGKILL: the system may have run out of memory."]
    assert str(walk[0]) == walk[0].message == made.deaths[0]
    assert made.engine.state == "stopped" and zombies() == []
    late = made.send("hello")
    assert late == []
    made.until(lambda: late)
    assert late[0].kind == "Died" and "not running" in late[0].message

    made.engine.start()
    assert made.ask("hello")["pid"] == made.engine.pid != process
    assert len(made.deaths) == 1 and len(made.events) >= told
    assert made.answer("scores", object=1).kind == "InvalidArgument"


def test_an_engine_that_is_started_by_who_hears_of_its_death_works():
    with host(environment={**os.environ, "PROMEM_WORKER_TEST": "1"}) as made:
        order = []

        def failed(error):
            order.append(error.kind)
            made.engine.send("hello", done=order.append)

        def died(sentence):
            order.append(sentence)
            made.engine.start()
            made.engine.send("hello", done=lambda told: order.append(told["pid"]))

        made.engine.on_died = died
        made.engine.send("die", failed=failed, signal=signal.SIGSEGV)
        made.until(lambda: len(order) >= 3)
        assert order[:2] == ["Died", "The engine was ended by SIGSEGV."]
        assert order[2] == made.engine.pid


def test_dying_on_request_is_for_tests_alone():
    with host() as made:
        assert made.answer("die", signal=9).kind == made.answer("sleep", seconds=1).kind == "InvalidArgument"


def test_nothing_is_left_of_many_workers():
    opened, files = descriptors(), sorted(os.listdir("/dev/shm"))
    ended = []
    for how in ("stop", "kill", "stop at once", "forget"):
        made = Host(Engine())
        made.engine.start()
        ended.append(made.engine.pid)
        if how == "stop at once":
            made.engine.stop()
            continue
        made.ask("hello")
        if how == "kill":
            os.kill(made.engine.pid, signal.SIGKILL)
            made.until(lambda made=made: made.deaths)
        elif how == "stop":
            made.engine.stop()
        else:
            made.engine.on_event = made.engine.on_died = None
            del made
    assert descriptors() == opened and zombies() == []
    assert sorted(os.listdir("/dev/shm")) == files
    assert [is_running(process) for process in ended] == [False] * 4


def test_a_stop_fails_what_is_open_and_tells_of_no_death(computing):
    made, walk = computing
    process = made.engine.pid
    made.engine.stop()
    assert walk[0].kind == "Died" and walk[0].message == "The engine was stopped."
    assert made.engine.state == "stopped" and not is_running(process)
    made.engine.poll()
    made.engine.stop()
    assert made.deaths == []


def test_a_worker_in_the_middle_of_a_computation_ends_when_it_is_stopped():
    with host(environment={**os.environ, "PROMEM_WORKER_TEST": "1"}) as made:
        made.ask("hello")
        process, answers = made.engine.pid, made.send("sleep", seconds=1000)
        made.until(lambda: not made.engine._worker._unsent)
        made.engine.stop(1000)
        assert answers[0].kind == "Died" and not is_running(process)


def test_a_worker_that_does_not_end_is_killed():
    with host() as made:
        made.ask("hello")
        process = made.engine.pid
        os.kill(process, signal.SIGSTOP)
        began = time.monotonic()
        made.engine.stop(0.2)
        assert time.monotonic() - began < 10
        assert not is_running(process) and zombies() == []


CLIENT = """
import os, sys, threading, time
sys.path.insert(0, {tests!r})
from worker_help import *
made = Host(Engine({command}))
if {thread}:
    # It ends, and the worker stays.
    thread = threading.Thread(target=made.engine.start)
    thread.start()
    thread.join()
else:
    made.engine.start()
process = made.ask("hello")["pid"]
if {walk}:
    made.ask("load_model", **MODEL)
    made.open_scan(VOXELS)
    made.ask("set_prompts", object=1, slices=[POINTS])
    made.send("propagate", never_stop=True)
    made.until(lambda: made.told("progress"))
else:
    made.send("sleep", seconds=1000)
    for _ in range(100):
        made.engine.poll()
        time.sleep(0.002)
print(process, flush=True)
while True:
    time.sleep(1)
"""

LAUNCHER = '#!/bin/sh\n"{python}" "$@"\nexit $?\n'


@pytest.fixture
def launcher(tmp_path):
    """A program that starts Python and waits for it, as Slicer's own does."""
    path = tmp_path / "launcher"
    path.write_text(LAUNCHER.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("launched", [False, True])
@pytest.mark.parametrize(("thread", "walk"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_worker_ends_when_its_parent_is_killed(thread, walk, launched, launcher):
    if launched and thread != walk:
        pytest.skip("two of the four will do")
    command = repr([launcher]) if launched else "None"
    tests = os.path.dirname(os.path.abspath(__file__))
    program = CLIENT.format(tests=tests, thread=thread, walk=walk, command=command)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PROMEM_WORKER_TEST": "1"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as client:
        try:
            process = int(client.stdout.readline())
            assert is_running(process) and client.pid != process
        finally:
            client.kill()
    assert gone(process)


def test_a_launcher_goes_with_its_worker(launcher):
    with host(command=[launcher]) as made:
        process = made.ask("hello")["pid"]
        assert process != made.engine.pid
        os.kill(process, signal.SIGKILL)
        made.until(lambda: made.deaths)
        assert made.deaths[0].startswith("The engine was ended by SIGKILL: the system may have run out of memory")
        made.engine.start()
        process, first = made.ask("hello")["pid"], made.engine.pid
        os.kill(process, signal.SIGSTOP)
        made.engine.stop(0.2)
        assert gone(process) and not is_running(first)


def test_a_worker_ends_with_its_requests_and_on_sigterm_and_not_on_sigint():
    for how in ("close", signal.SIGTERM):
        with worker() as made:
            assert b"started" in made.stdout.readline()
            made.send_signal(signal.SIGINT)
            made.stdin.write(b'{"id": 4, "method": "scores", "arguments": {"object": 1}}\n')
            made.stdin.flush()
            assert b'"id":4' in made.stdout.readline()
            if how == "close":
                made.stdin.close()
                assert made.wait(20) == 0
            else:
                made.send_signal(how)
                assert made.wait(20) == -signal.SIGTERM


def test_a_worker_ends_on_sigterm_even_where_its_parent_ignored_it():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        made = worker()
    finally:
        signal.signal(signal.SIGTERM, before)
    with made:
        made.stdout.readline()
        made.send_signal(signal.SIGTERM)
        assert made.wait(20) == -signal.SIGTERM


def test_an_engine_that_cannot_be_started_dies_with_a_sentence(tmp_path):
    for command in (["/nowhere/python"], [str(tmp_path)], []):
        made = Host(Engine(command=command))
        made.engine.start()
        answers = made.send("hello")
        made.until(lambda made=made: made.deaths)
        assert made.deaths[0].startswith("The engine cannot be started: ")
        assert answers[0].kind == "Died" and made.engine.state == "stopped"
        assert len(made.deaths) == 1
        made.engine.stop()


def test_the_last_line_of_stderr_is_part_of_the_sentence():
    program = (
        "import sys; [print(n, file=sys.stderr) for n in range(200)]; print('no disk left ', file=sys.stderr); exit(3)"
    )
    with host(command=[sys.executable, "-c", program]) as made:
        answers = made.send("hello")
        made.until(lambda: made.deaths)
        assert made.deaths == ['The engine ended with exit code 3; it wrote last: "no disk left".']
        assert answers[0].message == made.deaths[0]
        assert made.engine.last_lines == [str(n) for n in range(151, 200)] + ["no disk left "]


def test_what_others_print_does_not_reach_the_messages(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        """
import os, sys, threading, time
print("good morning")
sys.stdout.flush()
def noise():
    while True:
        print("noise from python")
        os.write(1, b"noise from below\\n")
        time.sleep(0.01)
threading.Thread(target=noise, daemon=True).start()
"""
    )
    with host(environment={**os.environ, "PYTHONPATH": str(tmp_path)}) as made:
        for _ in range(3):
            made.ask("hello")
        made.until(lambda: {"noise from python", "noise from below"} <= set(made.engine.last_lines))
        assert made.deaths == [] and len(made.engine.last_lines) <= 50


def test_where_the_user_works_no_module_is_picked_up(tmp_path, monkeypatch):
    if sys.version_info < (3, 11):
        pytest.skip("Python cannot be told so before 3.11")
    (tmp_path / "numpy.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with host() as made:
        assert made.ask("hello")["pid"] == made.engine.pid
