"""What a client does with what a worker says, and never waits for."""

import os
import signal
import sys
import threading
import time

import pytest
from worker_harness import host, is_running


def test_an_exception_in_a_callback_loses_no_other_callback():
    with host() as made:
        kinds = []

        def bad(error):
            kinds.append(error.kind)
            raise RuntimeError("mine")

        made.ask("hello")
        made.engine.send("scores", failed=bad, object=1)
        with pytest.raises(RuntimeError, match="mine"):
            made.until(lambda: kinds)
        for _ in range(2):
            made.engine.send("hello", failed=bad)
        os.kill(made.engine.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="mine"):
                made.until(lambda: made.deaths)
        made.until(lambda: made.deaths)
        assert kinds == ["InvalidArgument", "Died", "Died"]


def test_a_poll_inside_a_poll_does_nothing():
    with host() as made:
        inside = []
        made.engine.send("hello", done=lambda told: inside.append(made.engine.poll()))
        made.until(lambda: inside)
        assert inside == [None]


def test_a_stop_inside_a_callback_is_a_stop():
    with host() as made:
        later = []
        made.engine.send("hello", done=lambda told: made.engine.stop())
        made.engine.send("hello", done=later.append, failed=lambda error: later.append(error.kind))
        made.until(lambda: later)
        assert later == ["Died"] and made.engine.state == "stopped"


def test_a_failure_without_a_callback_is_logged(caplog):
    with host() as made:
        made.engine.send("scores", object=1)
        made.until(lambda: caplog.records)
        assert "scores: InvalidArgument: no scan is open" in caplog.text


def test_no_thread_is_started_by_the_client():
    before = threading.active_count()
    with host() as made:
        made.ask("hello")
        assert threading.active_count() == before


# Fake workers: whatever they do, a poll is short. A fifth of a second is far more than it takes, and far less than any
# of these goes on.
POLL_AT_MOST = 0.2


def longest_poll(engine, seconds=1.5):
    longest, limit = 0.0, time.monotonic() + seconds
    while time.monotonic() < limit:
        began = time.monotonic()
        engine.poll()
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.005)
    return longest


def fake(program):
    return host(command=[sys.executable, "-c", "import sys, time\nsay = sys.stdout.buffer.write\n" + program])


def test_polling_never_takes_longer_than_a_fifth_of_a_second_however_much_comes():
    with fake('while True: say(b\'{"event":"flood","text":"\' + b"x" * 1000 + b\'"}\\n\')') as made:
        assert longest_poll(made.engine) < POLL_AT_MOST
        assert len(made.received("flood")) > 100


def test_polling_never_takes_longer_than_a_fifth_of_a_second_where_nobody_reads():
    with fake("time.sleep(100)") as made:
        for _ in range(20):
            made.send("set_prompts", text="x" * 500_000)
        assert longest_poll(made.engine) < POLL_AT_MOST


def test_polling_never_takes_longer_than_a_fifth_of_a_second_with_a_line_without_an_end():
    with fake('while True: say(b"x" * 10000)') as made:
        assert longest_poll(made.engine) < POLL_AT_MOST


def test_lines_in_pieces_and_large_lines_arrive_whole():
    program = """
time.sleep(0.2)
for byte in b'{"event":"started"}\\n{"event":"slow"}\\n':
    say(bytes([byte])); sys.stdout.flush(); time.sleep(0.005)
say(b'{"event":"large","text":"' + b"x" * 3000000 + b'"}\\n{"event":"half"'); sys.stdout.flush()
time.sleep(0.1)
say(b'}\\n'); sys.stdout.flush()
time.sleep(100)
"""
    with fake(program) as made:
        made.until(lambda: made.received("half"))
        assert [told["event"] for told in made.events] == ["slow", "large", "half"]
        assert len(made.events[1]["text"]) == 3_000_000


def test_a_large_request_arrives_whole():
    program = """
import json
say(b'{"event":"started"}\\n'); sys.stdout.flush()
time.sleep(0.3)
asked = json.loads(sys.stdin.buffer.readline())
say(json.dumps({"id": asked["id"], "result": {"length": len(asked["arguments"]["text"])}}).encode() + b"\\n")
sys.stdout.flush()
time.sleep(100)
"""
    with fake(program) as made:
        assert made.ask("anything", text="x" * 3_000_000) == {"length": 3_000_000}


def test_a_worker_with_invalid_output_is_ended():
    with fake('say(b\'{"event":"started"}\\nnonsense\\n\'); sys.stdout.flush(); time.sleep(100)') as made:
        process, answers = made.engine.pid, made.send("hello")
        made.until(lambda: made.deaths)
        assert "invalid message: 'nonsense' is not JSON" in made.deaths[0]
        assert answers[0].kind == "Died" and not is_running(process)


def test_messages_before_a_workers_end_arrive_before_its_death():
    program = """
say(b'{"event":"started"}\\n')
for n in range(5000):
    say(b'{"event":"last"}\\n')
say(b'{"id":1,"result":{"fine":true}}\\n'); sys.stdout.flush()
"""
    with fake(program) as made:
        answers, lost = made.send("first"), made.send("second")
        made.until(lambda: made.deaths)
        assert len(made.received("last")) == 5000
        assert answers == [{"fine": True}] and lost[0].kind == "Died"
        assert made.deaths == ["The engine ended with exit code 0."]
