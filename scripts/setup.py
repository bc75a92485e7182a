#!/usr/bin/env python3
"""Puts libtorch where `cargo build` finds it: .deps/libtorch/torch.

Only Python's standard library is used, and pip for the address of the package index: the user's own configuration counts.
Downloads are pinned by name and sha256, go on where they were interrupted, and are unpacked in one step.
"""

import argparse
import hashlib
import html.parser
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

VERSION = "2.11.0"

# libtorch_cpu of the wheel needs the CUDA runtime and CUPTI to load, also on a machine without a GPU.
WHEELS = {
    "x86_64": [
        ("torch", "torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl",
         "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756"),
        ("nvidia-cuda-runtime", "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
         "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
        ("nvidia-cuda-cupti", "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
         "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
    ],
    "aarch64": [
        ("torch", "torch-2.11.0-cp312-cp312-manylinux_2_28_aarch64.whl",
         "f99924682ef0aa6a4ab3b1b76f40dc6e273fca09f367d15a524266db100a723f"),
        ("nvidia-cuda-runtime", "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
         "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55"),
        ("nvidia-cuda-cupti", "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_aarch64.whl",
         "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151"),
    ],
}  # fmt: skip

# What building and running on a CPU take; the wheel's Python modules and CUDA kernels stay out.
KEPT = ("torch/include/", "torch/version.py", "nvidia/cu13/lib/", "torch-2.11.0.dist-info/")
KEPT_LIBRARIES = ("libc10.so", "libtorch.so", "libtorch_cpu.so", "libtorch_global_deps.so", "libgomp", "libshm",
                  "libarm_compute", "libopenblas", "libgfortran", "libnvpl")  # fmt: skip
NEEDED_BYTES = 2_500_000_000
ATTEMPTS = 5


class Failure(Exception):
    """One line for the user."""


def say(text):
    print(text, flush=True)


def ensure_tools():
    """Compiler and pip: installed where that is possible, else named."""
    missing = []
    if shutil.which("g++") is None and shutil.which("c++") is None:
        missing.append("g++")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        missing.append("python3-pip")
    if shutil.which("cargo") is None:
        raise Failure("cargo is missing: install Rust (Debian's is too old; see rustup), then run `make setup` again")
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {' '.join(missing)} with apt-get")
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0:
            return
    raise Failure(
        f"missing: {', '.join(missing)}; install with `sudo {' '.join(command)}`, then run `make setup` again"
    )


def index_address():
    """The package index of the user's pip, else pip's own default."""
    address = os.environ.get("PIP_INDEX_URL")
    if not address:
        found = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
        )
        address = found.stdout.strip() if found.returncode == 0 else ""
    if not address:
        code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
        address = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    return address.rstrip("/") + "/"


class Links(html.parser.HTMLParser):
    """File name -> address, from an index page in HTML."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def handle_starttag(self, tag, attrs):
        address = dict(attrs).get("href")
        if tag == "a" and address:
            name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1])
            self.found[name] = address


def locate(index, project, name):
    """The address of a file in the index."""
    page = urllib.parse.urljoin(index, project + "/")
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
    with urllib.request.urlopen(urllib.request.Request(page, headers={"Accept": accept}), timeout=60) as answer:
        body = answer.read().decode()
        if "json" in answer.headers.get("Content-Type", ""):
            files = {entry["filename"]: entry["url"] for entry in json.loads(body)["files"]}
        else:
            links = Links()
            links.feed(body)
            files = links.found
    if name not in files:
        raise Failure(f"the package index does not offer {name}")
    return urllib.parse.urljoin(page, files[name]).split("#")[0]


class Progress:
    """One line that is rewritten on a terminal, a line every tenth elsewhere."""

    def __init__(self, what, total, done=0):
        self.what, self.total, self.start_at, self.begin = what, max(total, 1), done, time.monotonic()
        self.shown = -1

    def show(self, done):
        percent = 100 * done // self.total
        step = percent if sys.stdout.isatty() else percent // 10
        if step == self.shown:
            return
        self.shown = step
        speed = (done - self.start_at) / max(time.monotonic() - self.begin, 1e-3) / 1e6
        text = f"{self.what}: {percent:3d} % of {self.total / 1e6:.0f} MB, {speed:.1f} MB/s"
        if sys.stdout.isatty():
            print(f"\r{text}\033[K", end="" if done < self.total else "\n", flush=True)
        else:
            say(text)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def download(address, target, expected):
    """Fetches a file; a part that is there already is kept and completed."""
    if target.exists() and sha256(target) == expected:
        return
    part = target.with_name(target.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        have = part.stat().st_size if part.exists() else 0
        try:
            request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
            with urllib.request.urlopen(request, timeout=60) as answer:
                resumed = answer.status == 206
                have = have if resumed else 0
                total = have + int(answer.headers.get("Content-Length", 0))
                progress = Progress(f"{'resuming' if have else 'fetching'} {target.name.split('-')[0]}", total, have)
                with open(part, "ab" if resumed else "wb") as file:
                    while block := answer.read(1 << 18):
                        file.write(block)
                        have += len(block)
                        progress.show(have)
            if have < total:
                raise ConnectionError(f"{have} of {total} bytes came")
            break
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: the part is complete already
                raise
            break
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if attempt == ATTEMPTS:
                raise Failure(f"the download broke off ({error}); run `make setup` again to go on") from error
            say(f"the connection broke off ({error}); going on")
            time.sleep(2 * attempt)
    if sha256(part) != expected:
        part.unlink()
        raise Failure(f"{target.name}: the checksum is not the pinned one; run `make setup` again to fetch it anew")
    part.rename(target)


def is_kept(name):
    if name.startswith("torch/lib/"):
        return name[len("torch/lib/") :].startswith(KEPT_LIBRARIES)
    return name.startswith(KEPT)


def unpack(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        entries = [entry for entry in archive.infolist() if is_kept(entry.filename)]
        total, done = sum(entry.file_size for entry in entries), 0
        progress = Progress(f"unpacking {wheel.name.split('-')[0]}", total)
        for entry in entries:
            archive.extract(entry, folder)
            done += entry.file_size
            progress.show(done)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--into", type=pathlib.Path, default=root / ".deps")
    into = parser.parse_args().into
    ensure_tools()
    given = os.environ.get("LIBTORCH")
    if given:
        say(f"libtorch: using LIBTORCH={given}")
        return
    target, stamp = into / "libtorch", into / "libtorch" / "VERSION"
    if stamp.exists() and stamp.read_text().strip() == VERSION:
        return
    machine = platform.machine()
    if sys.platform != "linux" or machine not in WHEELS:
        raise Failure(f"no libtorch is known for {sys.platform} on {machine}: set LIBTORCH to an installed {VERSION}")
    downloads = into / "download"
    downloads.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(into).free < NEEDED_BYTES:
        raise Failure(f"{into}: libtorch takes {NEEDED_BYTES / 1e9:.1f} GB while it is unpacked, less is free")
    index = index_address()
    fresh = into / "libtorch.unpacking"
    shutil.rmtree(fresh, ignore_errors=True)
    for project, name, digest in WHEELS[machine]:
        wheel = downloads / name
        download(locate(index, project, name), wheel, digest)
        unpack(wheel, fresh)
    (fresh / "VERSION").write_text(VERSION + "\n")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    shutil.rmtree(downloads)
    say(f"libtorch {VERSION} is in {target}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nsetup: interrupted; run `make setup` again to go on")
    except (Failure, OSError) as failure:
        sys.exit(f"setup: {failure}")
