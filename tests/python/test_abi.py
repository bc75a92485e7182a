"""promem/_abi.py is include/promem.h."""

import ctypes
import re
import shutil
import subprocess

import promem
import pytest
from conftest import ROOT
from promem import _abi, _library

HEADER = (ROOT / "include" / "promem.h").read_text()
CODE = re.sub(r"//[^\n]*|/\*.*?\*/", "", HEADER, flags=re.S)
NUMBERS = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint8_t": ctypes.c_uint8,
    "uint16_t": ctypes.c_uint16,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "double": ctypes.c_double,
    "float": ctypes.c_float,
    "promem_status": ctypes.c_int32,
}
STRUCTS = dict(
    re.findall(r"typedef struct \{(.*?)\} (\w+);", CODE, re.S)[n][::-1] for n in range(CODE.count("struct {"))
)
FUNCTIONS = re.findall(r"^(?:const )?(\w+) (\*?)(promem_\w+)\(([^)]*)\);", CODE, re.M)


def ctype(text):
    """The ctypes type of a C type such as `const char *`."""
    text = text.replace("const ", "").strip()
    if text in _abi.CALLBACKS:
        return _abi.CALLBACKS[text]
    if not text.endswith("*"):
        return None if text == "void" else NUMBERS[text]
    pointed = text[:-1].strip()
    if pointed in ("void", "char"):
        return {"void": ctypes.c_void_p, "char": ctypes.c_char_p}[pointed]
    known = {**NUMBERS, **_abi.STRUCTS, **_abi.OPAQUE}
    return ctypes.POINTER(known[pointed] if pointed in known else ctype(pointed))


def arguments(text):
    """The types of `type name, type name`."""
    parts = [re.fullmatch(r"(.*?)(\w+)", " ".join(part.split()))[1] for part in text.split(",")]
    return [ctype(part) for part in parts] if text.strip() != "void" else []


def test_every_function_of_the_header_is_declared_as_it_is_there():
    assert len(FUNCTIONS) == len(re.findall(r"^[a-z][^\n(]*\bpromem_\w+\(", CODE, re.M))
    assert {name for _, _, name, _ in FUNCTIONS} == set(_abi.PROTOTYPES)
    for result, star, name, given in FUNCTIONS:
        own_result, own_arguments = _abi.PROTOTYPES[name]
        assert own_result == ctype(f"{result} {star}"), name
        assert list(own_arguments) == arguments(given), name


def test_every_struct_of_the_header_has_its_fields():
    assert set(STRUCTS) == set(_abi.STRUCTS)
    for name, body in STRUCTS.items():
        fields = []
        for kind, star, field, sizes in re.findall(r"([\w ]+?)\s+(\*?)(\w+)((?:\[\d+\])*);", body):
            found = ctype(f"{kind} {star}")
            for size in reversed(re.findall(r"\d+", sizes)):
                found = found * int(size)
            fields.append((field, found))
        assert fields == list(_abi.STRUCTS[name]._fields_), name


def test_every_callback_of_the_header_has_its_arguments():
    callbacks = re.findall(r"typedef (\w+) \(\*(\w+)\)\(([^)]*)\);", CODE)
    assert {name for _, name, _ in callbacks} == set(_abi.CALLBACKS)
    for result, name, given in callbacks:
        assert _abi.CALLBACKS[name]._restype_ == ctype(result), name
        assert list(_abi.CALLBACKS[name]._argtypes_) == arguments(given), name


def test_every_constant_of_the_header_is_known():
    found = {name: int(value) for name, value in re.findall(r"#define (PROMEM_\w+) (\d+)\n", HEADER)}
    names = {"int": "i", "uint": "u", "float": "f"}
    scalars = {
        f"PROMEM_{kind.upper()}{8 * size}": _abi.SCALARS[f"{letter}{size}"]
        for kind, letter in names.items()
        for size in (1, 2, 4, 8)
        if f"{letter}{size}" in _abi.SCALARS
    }
    known = {"PROMEM_ABI_VERSION": _abi.ABI_VERSION, **_abi.STATUSES, **scalars}
    known.update({f"PROMEM_AXIS_{name.upper()}": number for name, number in _abi.AXES.items()})
    known.update({f"PROMEM_{name.upper()}": number for name, number in _abi.DIRECTIONS.items()})
    known.update({f"PROMEM_{name.upper()}": number for name, number in _abi.MEMORIES.items()})
    known.update({f"PROMEM_LOG_{name}": number for name, number in _abi.LOG_LEVELS.items()})
    known.update({f"PROMEM_PRIOR_{name.upper()}": number for name, number in _abi.PRIORS.items() if name})
    known.update({f"PROMEM_VIEW_{name.upper()}": number for name, number in _abi.VIEWS.items() if name})
    known.update(PROMEM_DEFAULT=_abi.CHOICES[None], PROMEM_NO=_abi.CHOICES[False], PROMEM_YES=_abi.CHOICES[True])
    assert found == known


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_structs_lie_in_memory_as_the_compiler_lays_them(tmp_path):
    lines, expected = [], []
    for name, struct in _abi.STRUCTS.items():
        lines.append(f'printf("%zu\\n", sizeof({name}));')
        expected.append(ctypes.sizeof(struct))
        for field, *_ in struct._fields_:
            lines.append(f'printf("%zu\\n", offsetof({name}, {field}));')
            expected.append(getattr(struct, field).offset)
    source = tmp_path / "layout.c"
    source.write_text(f'#include <stdio.h>\n#include "promem.h"\nint main(void) {{ {" ".join(lines)} return 0; }}\n')
    subprocess.run(["gcc", f"-I{ROOT / 'include'}", source, "-o", tmp_path / "layout"], check=True)
    told = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    assert [int(line) for line in told.split()] == expected


def test_statuses_have_the_names_that_the_library_gives_them():
    for name, number in _abi.STATUSES.items():
        assert _library.call("promem_status_name", number).decode() == name


def test_versions_of_package_and_library_are_the_same():
    cargo = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    pyproject = (ROOT / "slicer-module" / "python" / "pyproject.toml").read_text()
    assert promem.version() == cargo == promem.__version__ == re.search(r'^version = "(.*)"', pyproject, re.M)[1]
    assert promem.libtorch_version() == _abi.LIBTORCH_VERSION
