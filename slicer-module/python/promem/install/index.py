"""Finds in the package indexes the wheels that make up libtorch.

In: the addresses of the indexes, the machine's architecture. Out: artifacts: name, address, size and SHA-256 of each
wheel. Downloads no wheel.

libtorch_cpu.so of the wheels on PyPI is linked against the CUDA runtime and CUPTI, so both must be there on a machine
without a GPU, too. A CPU-only wheel (its version ends in +cpu) needs neither and is a third of the size: it is
preferred where an index has it.
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
from .network import CONNECTION_ERRORS, Network
from .plan import Artifact

# The CUDA version that the wheels of libtorch 2.11.0 without a local version were built with.
CUDA_LOCAL = "cu130"
CUDA_DEPENDENCIES = {"nvidia-cuda-runtime": "13.0.96", "nvidia-cuda-cupti": "13.0.85"}

# SHA-256 of the wheels on PyPI. An index that offers another file under one of these names is refused.
PINNED = {
    "torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl": (
        "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756"
    ),
    "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": (
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
    ),
    "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl": (
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"
    ),
    "torch-2.11.0-cp312-cp312-manylinux_2_28_aarch64.whl": (
        "f99924682ef0aa6a4ab3b1b76f40dc6e273fca09f367d15a524266db100a723f"
    ),
    "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl": (
        "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55"
    ),
    "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_aarch64.whl": (
        "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151"
    ),
}

# Bytes on disk of the libraries, and of the development files: measured with the wheels on PyPI.
UNPACKED = {"x86_64": 460_000_000, "aarch64": 300_000_000}
DEVELOPMENT = 80_000_000

# The contents of torch/lib do not depend on the Python version; the build that is tested and pinned comes first.
_PYTHONS = ("cp312", "cp311", "cp313", "cp310", "cp314")

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


def this_machine() -> str:
    """This machine's architecture. Raises InstallError where libtorch does not run."""
    found = platform.machine()
    if sys.platform != "linux" or found not in UNPACKED:
        raise InstallError("system", f"promem runs on Linux on x86_64 and aarch64; this is {sys.platform} on {found}")
    name, version = platform.libc_ver()
    if name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
        raise InstallError("system", f"libtorch {LIBTORCH_VERSION} needs glibc 2.28; this system has {version}")
    return found


def find(network: Network, indexes: list[str], machine: str) -> tuple[str, list[Artifact]]:
    """The index that has libtorch, and the artifacts to download."""
    if not indexes:
        raise InstallError(
            "network", "pip is configured to use no index (no-index): install from a file or folder instead"
        )
    wheels = [(index, artifact) for index in indexes for artifact in _list_files(network, index, "torch")]
    pattern = re.compile(
        rf"torch-{re.escape(LIBTORCH_VERSION)}(?:\+(?P<local>\w+))?-(?P<python>cp\d+)-\w+-(?:many)?linux\w*_{machine}\.whl"
    )
    suitable = []
    for order, (index, artifact) in enumerate(wheels):
        found = pattern.fullmatch(artifact.name)
        if found and found["local"] in (None, "cpu", CUDA_LOCAL):
            python = _PYTHONS.index(found["python"]) if found["python"] in _PYTHONS else len(_PYTHONS)
            suitable.append((found["local"] != "cpu", indexes.index(index), python, order))
    if not suitable:
        shown = " and ".join(settings.without_password(index) for index in indexes)
        raise InstallError("version", f"{shown} has no torch {LIBTORCH_VERSION} for Linux on {machine}")
    needs_cuda, _, _, order = min(suitable)
    index, torch = wheels[order]
    artifacts = [torch]
    if needs_cuda:
        artifacts += [_cuda_dependency(network, indexes, project, machine) for project in CUDA_DEPENDENCIES]
    return index, [_verifiable(network, artifact) for artifact in artifacts]


def _cuda_dependency(network: Network, indexes: list[str], project: str, machine: str) -> Artifact:
    version = CUDA_DEPENDENCIES[project]
    start = f"{project.replace('-', '_')}-{version}-"
    for index in indexes:
        for artifact in _list_files(network, index, project):
            if artifact.name.startswith(start) and artifact.name.endswith(f"_{machine}.whl"):
                return artifact
    shown = " and ".join(settings.without_password(index) for index in indexes)
    raise InstallError("version", f"{shown} has no {project} {version} for Linux on {machine}, which torch needs")


def _verifiable(network: Network, artifact: Artifact) -> Artifact:
    """Requires the SHA-256, the pinned one where there is one; asks the server for a size that the index lacks."""
    pinned = PINNED.get(artifact.name)
    if pinned is not None and artifact.sha256 not in (None, pinned):
        shown = settings.without_password(artifact.address)
        raise InstallError("hash", f"{shown}: the index gives SHA-256 {artifact.sha256}, expected {pinned}")
    artifact = dataclasses.replace(artifact, sha256=artifact.sha256 or pinned)
    if artifact.sha256 is None:
        raise InstallError("hash", f"{settings.without_password(artifact.address)}: the index gives no SHA-256 for it")
    if artifact.size:
        return artifact
    try:
        with network.open(artifact.address, method="HEAD") as answer:
            size = answer.headers.get("Content-Length", "")
    except CONNECTION_ERRORS as error:
        raise network.failure(artifact.address, error) from error
    if not size.isdigit() or int(size) == 0:
        raise InstallError("network", f"{artifact.address}: neither the index nor the server gives its size")
    return dataclasses.replace(artifact, size=int(size))


def _list_files(network: Network, index: str, project: str) -> list[Artifact]:
    """All files that an index lists for a project."""
    page = urllib.parse.urljoin(index, project + "/")
    found = network.read(page, _ACCEPT)
    if found is None:
        return []
    body, kind, address = found
    try:
        files = _from_json(body) if "json" in kind else _from_html(body)
    except (ValueError, KeyError, TypeError) as error:
        raise InstallError("network", f"{address} is not a page of a package index: {error}") from error
    return [
        dataclasses.replace(artifact, address=urllib.parse.urljoin(address, artifact.address)) for artifact in files
    ]


def _from_json(body: bytes) -> list[Artifact]:
    return [
        Artifact(
            name=str(entry["filename"]),
            address=str(entry["url"]).split("#")[0],
            size=int(entry.get("size") or 0),
            sha256=_hash((entry.get("hashes") or {}).get("sha256")),
        )
        for entry in json.loads(body)["files"]
    ]


def _from_html(body: bytes) -> list[Artifact]:
    links = _Links()
    links.feed(body.decode("utf-8", errors="replace"))
    artifacts = []
    for link in links.found:
        address, _, fragment = link.partition("#")
        name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1])
        given = urllib.parse.parse_qs(fragment).get("sha256", [None])[0]
        artifacts.append(Artifact(name, address, 0, _hash(given)))
    return artifacts


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
