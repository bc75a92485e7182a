"""A package index on this machine with small wheels that look like those of libtorch, for tests of `promem.install`.

In: what the server is to do wrong. Out: addresses, wheels, and what was asked for.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import platform
import random
import struct
import threading
import time
import urllib.parse
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

MACHINE = platform.machine()
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
# Not names of wheels on PyPI, whose SHA-256 are pinned.
TORCH = f"torch-2.11.0-cp311-cp311-manylinux_2_28_{MACHINE}.whl"
TORCH_CPU = f"torch-2.11.0+cpu-cp311-cp311-manylinux_2_28_{MACHINE}.whl"
RUNTIME = f"nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_{MACHINE}.whl"
CUPTI = f"nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_24_{MACHINE}.whl"


def elf(*needed, size=4000, machine=MACHINE, seed=1, kind=3):
    """A shared library of nothing but the names of those that it needs, and noise that no zip file makes smaller."""
    strings, offsets = b"\0", []
    for name in needed:
        offsets.append(len(strings))
        strings += name.encode() + b"\0"
    dynamic_at = 64 + 2 * 56
    entries = [(1, offset) for offset in offsets]
    strings_at = dynamic_at + 16 * (len(entries) + 2)
    base = 0x10000  # addresses are not offsets
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (5, base + strings_at), (0, 0)])
    total = max(size, strings_at + len(strings))
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", kind, ELF_MACHINES[machine], 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    loaded = struct.pack("<IIQQQQQQ", 1, 4, 0, base, base, total, total, 4096)
    table = struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, base + dynamic_at, 0, len(dynamic), len(dynamic), 8)
    body = header + loaded + table + dynamic + strings
    return body + random.Random(seed).randbytes(total - len(body))


def torch_files(local="+cu130", version="2.11.0", size=300_000, machine=MACHINE):
    """What a wheel of torch has in it."""
    cuda = [] if local == "+cpu" else ["libcupti.so.13", "libcudart.so.13"]
    files = {
        "torch/__init__.py": b"raise ImportError\n",
        "torch/version.py": f"__all__ = []\n__version__ = '{version}{local}'\n".encode(),
        "torch/lib/libc10.so": elf("libdl.so.2", "libstdc++.so.6", machine=machine),
        "torch/lib/libtorch_cpu.so": elf("libc10.so", "libgomp.so.1", *cuda, "libc.so.6", size=size, machine=machine),
        "torch/lib/libgomp.so.1": elf("libpthread.so.0", machine=machine),
        "torch/lib/libtorch.so": elf("libtorch_cpu.so", "libtorch_cuda.so", machine=machine),
        "torch/include/torch/script.h": b"#pragma once\n",
        "torch/include/c10/macros/Macros.h": b"#pragma once\n",
        "torch/lib/libtorch_python.so": elf("libtorch_cpu.so", machine=machine),
        f"torch-{version}.dist-info/licenses/LICENSE": b"licence\n",
        f"torch-{version}.dist-info/RECORD": b"",
    }
    if local != "+cpu":
        files["torch/lib/libtorch_cuda.so"] = elf("libtorch_cpu.so", size=900_000, machine=machine)
    return files


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_wheels(folder, size=300_000):
    """The three wheels of the Python package index."""
    folder.mkdir(parents=True, exist_ok=True)
    zipped(folder / TORCH, torch_files(size=size))
    lib = "nvidia/cu13/lib/"
    zipped(
        folder / RUNTIME, {lib + "libcudart.so.13": elf("libc.so.6"), "nvidia_cuda_runtime.dist-info/License.txt": b"x"}
    )
    zipped(folder / CUPTI, {lib + "libcupti.so.13": elf("libutil.so.1"), lib + "libcheckpoint.so": elf(size=50_000)})
    return folder


INSTALLED = {
    "torch/lib/libc10.so",
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libgomp.so.1",
    "torch/version.py",
    "torch-2.11.0.dist-info/licenses/LICENSE",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
    "nvidia_cuda_runtime.dist-info/License.txt",
    "promem-libtorch.json",
}
DEVELOPMENT = {"torch/lib/libtorch.so", "torch/include/torch/script.h", "torch/include/c10/macros/Macros.h"}


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class Index:
    """Serves the wheels of a folder. asked: (path, Range) of every request for a file.

    html: an old-style page. with_hashes, with_sizes: what the page gives. ranges: whether the server goes on in the middle of a file.
    cuts: after how many bytes the next answers end; None: not. status: what the next requests for files are refused with.
    seconds_per_block: how slow it is, for blocks of 16 KB. password: "user:password" that it wants.
    """

    def __init__(self, folder):
        self.folder = folder
        self.asked = []
        self.html, self.with_hashes, self.with_sizes, self.ranges = False, True, True, True
        self.cuts, self.status, self.seconds_per_block, self.password = [], [], 0.0, None
        self.hashes = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"index": self}))
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.address = f"http://{self.host}/simple/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def page(self, project):
        names = [
            path.name
            for path in sorted(self.folder.glob("*.whl"))
            if path.name.startswith(project.replace("-", "_") + "-")
        ]
        if not names:
            return None
        entries = []
        for name in names:
            content = (self.folder / name).read_bytes()
            digest = self.hashes.get(name) or hashlib.sha256(content).hexdigest()
            entries.append({"filename": name, "url": "../../files/" + urllib.parse.quote(name)})
            if self.with_hashes:
                entries[-1]["hashes"] = {"sha256": digest}
            if self.with_sizes:
                entries[-1]["size"] = len(content)
        if not self.html:
            return "application/vnd.pypi.simple.v1+json", json.dumps({"files": entries}).encode()
        links = []
        for entry in entries:
            fragment = f"#sha256={entry['hashes']['sha256']}" if self.with_hashes else ""
            links.append(f'<a href="{entry["url"]}{fragment}">{entry["filename"]}</a><br/>')
        return "text/html", ("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>").encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    index = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        kind, name = urllib.parse.unquote(self.path).strip("/").split("/", 1)
        wanted = self.index.password and "Basic " + base64.b64encode(self.index.password.encode()).decode()
        if wanted and self.headers.get("Authorization") != wanted:
            return self.refuse(401)
        if kind == "simple":
            page = self.index.page(name.strip("/"))
            return self.refuse(404) if page is None else self.say(page[1], page[0])
        if not body:
            self.send_response(200)
            self.send_header("Content-Length", str((self.index.folder / name).stat().st_size))
            return self.end_headers()
        return self.file(name)

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def say(self, content, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def file(self, name):
        wanted = self.headers.get("Range")
        self.index.asked.append((name, wanted))
        if self.index.status:
            return self.refuse(self.index.status.pop(0))
        content = (self.index.folder / name).read_bytes()
        total, start = len(content), 0
        if wanted and self.index.ranges:
            start = int(wanted[len("bytes=") :].rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        content = content[start:]
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        cut = self.index.cuts.pop(0) if self.index.cuts else None
        content = content if cut is None else content[:cut]
        try:
            for at in range(0, len(content), 1 << 14):
                self.wfile.write(content[at : at + (1 << 14)])
                if self.index.seconds_per_block:
                    time.sleep(self.index.seconds_per_block)
        except OSError:
            # The other side has enough.
            pass
        if cut is not None:
            self.close_connection = True
        return None
