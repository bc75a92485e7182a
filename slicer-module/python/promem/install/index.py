"""Finds in the package indexes the wheels that make up libtorch.

In: the addresses of the indexes, the kind of machine. Out: pieces: name, address, size and SHA-256 of each wheel. Downloads no wheel.

libtorch_cpu of the wheels on the Python package index needs the CUDA runtime and CUPTI to be loaded, also on a machine without a GPU. A
wheel made for CPUs alone (its version ends in +cpu) needs neither and is a third as large: where an index has it, it is taken.
"""

import dataclasses
import html.parser
import json
import platform
import re
import sys
import urllib.parse
from typing import Optional

from .._abi import LIBTORCH_VERSION
from . import settings
from .errors import InstallError
from .network import BROKEN, Network
from .plan import Piece

# What the wheels of libtorch 2.11.0 without a local version were built with.
CUDA_LOCAL = "cu130"
COMPANIONS = {"nvidia-cuda-runtime": "13.0.96", "nvidia-cuda-cupti": "13.0.85"}

# Bytes of what is kept of a wheel: measured on those of the Python package index.
UNPACKED = {"x86_64": 460_000_000, "aarch64": 300_000_000}

# What lies in torch/lib is the same in the wheels for all Pythons; the build that everybody tests with comes first.
_PYTHONS = ("cp312", "cp311", "cp313", "cp310", "cp314")

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


def machine() -> str:
    """The kind of this machine. Raises InstallError where libtorch does not run."""
    found = platform.machine()
    if sys.platform != "linux" or found not in UNPACKED:
        raise InstallError("system", f"promem runs on Linux on x86_64 and aarch64; this is {sys.platform} on {found}")
    name, version = platform.libc_ver()
    if name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
        raise InstallError("system", f"libtorch {LIBTORCH_VERSION} needs glibc 2.28; this system has {version}")
    return found


def find(network: Network, indexes: list[str], kind: str) -> tuple[str, list[Piece]]:
    """The index that has libtorch, and the pieces."""
    if not indexes:
        raise InstallError("network", "pip is told to use no index (no-index): install from a file or folder instead")
    wheels = [(index, piece) for index in indexes for piece in _offers(network, index, "torch")]
    pattern = re.compile(
        rf"torch-{re.escape(LIBTORCH_VERSION)}(?:\+(?P<local>\w+))?-(?P<python>cp\d+)-\w+-(?:many)?linux\w*_{kind}\.whl"
    )
    suitable = []
    for order, (index, piece) in enumerate(wheels):
        found = pattern.fullmatch(piece.name)
        if found and found["local"] in (None, "cpu", CUDA_LOCAL):
            python = _PYTHONS.index(found["python"]) if found["python"] in _PYTHONS else len(_PYTHONS)
            suitable.append((found["local"] != "cpu", indexes.index(index), python, order))
    if not suitable:
        shown = " and ".join(settings.without_password(index) for index in indexes)
        raise InstallError("version", f"{shown} has no torch {LIBTORCH_VERSION} for Linux on {kind}")
    needs_cuda, _, _, order = min(suitable)
    index, torch = wheels[order]
    pieces = [torch]
    if needs_cuda:
        pieces += [_companion(network, indexes, project, kind) for project in COMPANIONS]
    return index, [_complete(network, piece) for piece in pieces]


def _companion(network: Network, indexes: list[str], project: str, kind: str) -> Piece:
    version = COMPANIONS[project]
    start = f"{project.replace('-', '_')}-{version}-"
    for index in indexes:
        for piece in _offers(network, index, project):
            if piece.name.startswith(start) and piece.name.endswith(f"_{kind}.whl"):
                return piece
    shown = " and ".join(settings.without_password(index) for index in indexes)
    raise InstallError("version", f"{shown} has no {project} {version} for Linux on {kind}, which torch needs")


def _complete(network: Network, piece: Piece) -> Piece:
    """Insists on a hash, and asks for a size that the index does not give."""
    if piece.sha256 is None:
        raise InstallError("hash", f"{settings.without_password(piece.address)}: the index gives no SHA-256 for it")
    if piece.size:
        return piece
    try:
        with network.open(piece.address, method="HEAD") as answer:
            size = answer.headers.get("Content-Length", "")
    except BROKEN as error:
        raise network.failure(piece.address, error) from error
    if not size.isdigit() or int(size) == 0:
        raise InstallError("network", f"{piece.address}: neither the index nor the server says how large it is")
    return dataclasses.replace(piece, size=int(size))


def _offers(network: Network, index: str, project: str) -> list[Piece]:
    """Everything that an index has of a project."""
    page = urllib.parse.urljoin(index, project + "/")
    found = network.read(page, _ACCEPT)
    if found is None:
        return []
    body, kind, address = found
    try:
        files = _from_json(body) if "json" in kind else _from_html(body)
    except (ValueError, KeyError, TypeError) as error:
        raise InstallError("network", f"{address} is not a page of a package index: {error}") from error
    return [dataclasses.replace(piece, address=urllib.parse.urljoin(address, piece.address)) for piece in files]


def _from_json(body: bytes) -> list[Piece]:
    return [
        Piece(
            name=str(entry["filename"]),
            address=str(entry["url"]).split("#")[0],
            size=int(entry.get("size") or 0),
            sha256=_hash((entry.get("hashes") or {}).get("sha256")),
        )
        for entry in json.loads(body)["files"]
    ]


def _from_html(body: bytes) -> list[Piece]:
    links = _Links()
    links.feed(body.decode("utf-8", errors="replace"))
    pieces = []
    for link in links.found:
        address, _, fragment = link.partition("#")
        name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1])
        given = urllib.parse.parse_qs(fragment).get("sha256", [None])[0]
        pieces.append(Piece(name, address, 0, _hash(given)))
    return pieces


def _hash(text: Optional[str]) -> Optional[str]:
    return text.lower() if text and re.fullmatch(r"[0-9a-fA-F]{64}", text) else None


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        address = dict(attrs).get("href")
        if tag == "a" and address:
            self.found.append(address)
