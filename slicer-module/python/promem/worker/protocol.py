"""The protocol between client and worker: JSON objects, one per line.

A request {"id", "method", "arguments"} gets one reply, {"id", "result"} or {"id", "error": {"kind", "message"}}. The
worker also sends {"event", ...} without a request. In: bytes. Out: messages. Knows nothing of pipes and methods.
"""

import json
import os
from typing import Any, Optional

# Masks on every slice of a long scan take a few megabytes.
MAX_MESSAGE_BYTES = 64 << 20


class BadMessage(ValueError):
    """A line is not a valid message."""


class LineReader:
    """Splits a stream of bytes into lines."""

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._searched = 0  # bytes that contain no line end
        self._too_long = False

    def add(self, data: bytes) -> None:
        self._buffer += data

    def next_line(self) -> Optional[bytes]:
        """The next complete line, without its end; None if there is none yet. BadMessage: a line was too long."""
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
    """A message as a line. TypeError, ValueError: a value has no JSON form."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False, default=_plain).encode("ascii") + b"\n"


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, and paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return os.fspath(value)


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line."""
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
