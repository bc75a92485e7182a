"""LineReader, messages and masks, without a process."""

import base64
import pathlib
import zlib

import numpy as np
import pytest
from promem import InvalidArgument
from promem.worker import pack, protocol, unpack
from promem.worker.protocol import BadMessage, LineReader, decode, encode


def drained(lines):
    found = []
    while (line := lines.next_line()) is not None:
        found.append(line)
    return found


def test_lines_are_found_in_any_pieces():
    data = b"first\n\nthird line\nhalf"
    for size in range(1, len(data) + 1):
        lines, found = LineReader(), []
        for begin in range(0, len(data), size):
            lines.add(data[begin : begin + size])
            found += drained(lines)
        assert found == [b"first", b"", b"third line"]
        lines.add(b" and half\n")
        assert drained(lines) == [b"half and half"]


def test_a_line_too_long_is_dropped_and_the_next_one_read():
    for data in (b"x" * 11 + b"\nnext\n", b"x" * 11, b"x" * 50):
        lines = LineReader(max_bytes=10)
        lines.add(data)
        if not data.endswith(b"\n"):
            assert lines.next_line() is None
            assert len(lines._buffer) == 0
            lines.add(b"xxx\nnext\n")
        with pytest.raises(BadMessage, match="more than 10 bytes"):
            lines.next_line()
        assert drained(lines) == [b"next"]


def test_a_line_as_long_as_allowed_is_a_line():
    lines = LineReader(max_bytes=10)
    lines.add(b"0123456789\n")
    assert drained(lines) == [b"0123456789"]


def test_a_line_in_many_pieces_is_searched_once(monkeypatch):
    searched = []

    class Held(bytearray):
        def find(self, what, begin):
            searched.append(len(self) - begin)
            return super().find(what, begin)

    lines = LineReader()
    lines._buffer = Held()
    for _ in range(100):
        lines.add(b"x" * 10)
        assert lines.next_line() is None
    assert sum(searched) == 1000


def test_numbers_of_numpy_are_numbers():
    line = encode({"a": np.int16(3), "b": np.float32(0.5), "c": np.arange(3), "d": pathlib.Path("/a/b")})
    assert decode(line) == {"a": 3, "b": 0.5, "c": [0, 1, 2], "d": "/a/b"}
    assert line.count(b"\n") == 1
    for bad in (float("nan"), object(), {1, 2}):
        with pytest.raises((TypeError, ValueError)):
            encode({"a": bad})


@pytest.mark.parametrize("line", [b"", b"hello", b"[1, 2]", b'{"a":', b"\xff\xfe", b"[" * 100000, b"7"])
def test_an_invalid_message_is_rejected_in_one_short_sentence(line):
    with pytest.raises(BadMessage) as refused:
        decode(line)
    assert len(str(refused.value)) < 300 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "message",
    [{}, {"id": 1}, {"id": True, "method": "hello"}, {"id": 1, "method": 2}, {"id": 1, "method": "x", "arguments": []}],
)
def test_an_incomplete_request_is_rejected(message):
    with pytest.raises(BadMessage, match="expected"):
        protocol.request(message)
    assert protocol.request({"id": 1, "method": "hello"}) == ("hello", {})


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 16), (37, 41)])
def test_a_mask_comes_back_as_it_was(shape):
    mask = np.random.default_rng(1).random(shape) < 0.4
    packed = pack(mask)
    assert decode(encode(packed)) == packed
    for again in (unpack(packed), unpack(pack(mask.astype(np.uint8) * 7)), unpack(pack(np.asfortranarray(mask)))):
        assert again.dtype == np.bool_ and again.shape == shape
        np.testing.assert_array_equal(again, mask)


def test_a_large_mask_is_small_as_text():
    mask = np.zeros((2000, 2000), bool)
    mask[500:900, 700:1500] = True
    assert len(encode(pack(mask))) < 20000


def test_an_invalid_mask_is_rejected():
    with pytest.raises(InvalidArgument, match="3 axes, expected two"):
        pack(np.zeros((2, 2, 2)))
    good = pack(np.ones((4, 4)))
    bomb = base64.b64encode(zlib.compress(bytes(50 << 20))).decode()
    wrong = [
        None,
        {},
        {"shape": [4, 4]},
        {**good, "shape": [4, 5]},
        {**good, "shape": [0, 4]},
        {**good, "shape": [4]},
        {**good, "shape": [True, 16]},
        {**good, "shape": [1 << 20, 1 << 20]},
        {**good, "bits": "?"},
        {**good, "bits": 5},
        {**good, "bits": base64.b64encode(b"no zlib").decode()},
        {**good, "bits": bomb},
    ]
    for packed in wrong:
        with pytest.raises(InvalidArgument, match="mask: "):
            unpack(packed)
