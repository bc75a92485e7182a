"""What client and worker say to each other: objects of JSON, one a line.

A request {"id", "method", "arguments"} gets one reply, {"id", "result"} or {"id", "error": {"kind", "message"}}; in between, {"event", ...}
comes unasked. In: bytes as they arrive. Out: whole lines, and what they say. Knows nothing of pipes and of what is asked.
"""

import json
import os
from typing import Any, Optional

# Masks on every slice of a long scan take a few megabytes; what is longer than this is not a message.
MAX_MESSAGE_BYTES = 64 << 20


class BadMessage(ValueError):
    """A line that is no message."""


class LineReader:
    """Cuts a stream of bytes into lines."""

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._searched = 0  # what was searched for an end is not searched again
        self._too_long = False

    def add(self, data: bytes) -> None:
        self._buffer += data

    def next_line(self) -> Optional[bytes]:
        """The next whole line, without its end; None where none is there yet. BadMessage: it was too long and has been dropped."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > self._max_bytes:
                self._buffer.clear()
                self._searched, self._too_long = 0, True
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        if self._too_long or len(line) > self._max_bytes:
            self._too_long = False
            raise BadMessage(f"a line of more than {self._max_bytes} bytes, expected a message")
        return line


def encode(message: dict[str, Any]) -> bytes:
    """A message as a line. TypeError, ValueError: it holds what JSON does not know."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False, default=_plain).encode("ascii") + b"\n"


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, and paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return os.fspath(value)


def decode(line: bytes) -> dict[str, Any]:
    """What a line says."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"{_shown(line)} is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadMessage(f"{_shown(line)}: expected an object")
    return message


def request(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The method and the arguments of a request."""
    number, method, arguments = message.get("id"), message.get("method"), message.get("arguments", {})
    if not isinstance(number, int) or isinstance(number, bool):
        raise BadMessage(f"id: {_short(number)}, expected a whole number")
    if not isinstance(method, str):
        raise BadMessage(f"method: {_short(method)}, expected a name")
    if not isinstance(arguments, dict):
        raise BadMessage(f"arguments: {_short(arguments)}, expected an object")
    return method, arguments


def _shown(line: bytes) -> str:
    return _short(line.decode(errors="replace"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
