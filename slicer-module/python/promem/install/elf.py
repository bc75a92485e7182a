"""Reads the dependencies and the architecture of a shared library.

In: the path of an ELF file. Out: names of libraries (DT_NEEDED), the architecture. Loads nothing.
"""

import pathlib
import struct
from dataclasses import dataclass

_MACHINES = {62: "x86_64", 183: "aarch64"}
_LOADED, _DYNAMIC = 1, 2  # types of a program header
_END, _NEEDED, _STRINGS = 0, 1, 5  # tags of a dynamic entry


class NotALibrary(ValueError):
    """The file is no 64-bit little-endian ELF library."""


@dataclass(frozen=True)
class Library:
    """needed: the names as the dynamic loader looks for them."""

    machine: str
    needed: tuple[str, ...]


def read(path: pathlib.Path) -> Library:
    """Raises NotALibrary, OSError."""
    with open(path, "rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            raise NotALibrary(f"{path} is not a 64-bit shared library of Linux")
        (machine,) = struct.unpack_from("<H", header, 18)
        (table,) = struct.unpack_from("<Q", header, 32)
        entry_size, entries = struct.unpack_from("<HH", header, 54)
        file.seek(table)
        programs = file.read(entry_size * entries)
        if entry_size < 56 or len(programs) < entry_size * entries:
            raise NotALibrary(f"{path}: its program headers are damaged")
        segments, dynamic = [], b""
        for number in range(entries):
            kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", programs, number * entry_size)
            if kind == _LOADED:
                segments.append((address, offset, size))
            elif kind == _DYNAMIC:
                file.seek(offset)
                dynamic = file.read(size)
        names, strings = [], None
        for tag, value in struct.iter_unpack("<QQ", dynamic[: len(dynamic) // 16 * 16]):
            if tag == _END:
                break
            if tag == _NEEDED:
                names.append(value)
            elif tag == _STRINGS:
                strings = value
        if names and strings is None:
            raise NotALibrary(f"{path}: its dynamic section is damaged")
        needed = tuple(_string(file, path, segments, strings + name) for name in names)
    return Library(_MACHINES.get(machine, f"ELF machine {machine}"), needed)


def _string(file, path: pathlib.Path, segments: list[tuple[int, int, int]], address: int) -> str:
    for start, offset, size in segments:
        if start <= address < start + size:
            file.seek(offset + address - start)
            return file.read(min(1024, size - (address - start))).split(b"\0", 1)[0].decode(errors="replace")
    raise NotALibrary(f"{path}: its string table is damaged")
