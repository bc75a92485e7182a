"""Whatever a worker is asked, it answers, and goes on."""

import json
import subprocess

import pytest
from worker_harness import PATIENCE, worker


@pytest.mark.parametrize(
    ("line", "number", "kind"),
    [
        (b"nonsense", None, "BadMessage"),
        (b"\xff\xfe", None, "BadMessage"),
        (b"[1, 2]", None, "BadMessage"),
        (b'{"method": "hello"}', None, "BadMessage"),
        (b'{"id": "7", "method": "hello"}', None, "BadMessage"),
        (b'{"id": 7}', 7, "BadMessage"),
        (b'{"id": 7, "method": "hello", "arguments": 5}', 7, "BadMessage"),
        (b'{"id": 7, "method": "fly"}', 7, "InvalidArgument"),
        (b'{"id": 7, "method": "__init__"}', 7, "InvalidArgument"),
        (b'{"id": 7, "method": "hello", "arguments": {"x": 1}}', 7, "InvalidArgument"),
        (b'{"id": 7, "method": "cancel", "arguments": {"x": 1}}', 7, "InvalidArgument"),
        (b'{"id": 7, "method": "load_model", "arguments": {"path": 5}}', 7, "InvalidArgument"),
        (b'{"id": 7, "method": "load_model", "arguments": {"device": "steam"}}', 7, "InvalidArgument"),
        (b'{"id": 7, "method": "load_model", "arguments": {"threads": -1}}', 7, "InvalidArgument"),
        (b"x" * ((64 << 20) + 2), None, "BadMessage"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_an_invalid_request_is_answered_with_an_error_and_the_next_one_is_served(raw, line, number, kind):
    assert raw(line) == {"id": number, "kind": kind}
    assert raw(b'{"id": 8, "method": "scores", "arguments": {"object": 1}}') == {"id": 8, "kind": "InvalidArgument"}


@pytest.fixture(scope="module")
def raw():
    """Sends a line to a worker without a client; gives the number and the kind of the error that comes back."""
    with worker(stderr=subprocess.DEVNULL) as made:
        made.stdout.readline()

        def send(line):
            made.stdin.write(line + b"\n")
            made.stdin.flush()
            answer = json.loads(made.stdout.readline())
            assert answer["error"]["message"]
            return {"id": answer["id"], "kind": answer["error"]["kind"]}

        yield send
        made.stdin.close()
        assert made.wait(PATIENCE) == 0
