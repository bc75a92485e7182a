#!/usr/bin/env python3
"""Prepares a checkout for `cargo build`: finds a compiler, and installs libtorch into .deps/libtorch.

The download is that of the Python package, `promem.install --development`, run from this checkout: it needs only the
standard library. Options are passed on to it: `scripts/setup.py --from FOLDER` installs offline, from wheels; `--check`
verifies the installation.
"""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBTORCH = ROOT / ".deps" / "libtorch"
# The package is not installed in the Python that runs this script.
sys.path.insert(0, str(ROOT / "slicer-module" / "python"))

import promem.install.__main__ as installer  # noqa: E402
from promem.install import store  # noqa: E402


def require_tools():
    """A C++ compiler, installed where that is possible, and cargo."""
    if shutil.which("cargo") is None:
        sys.exit("setup: cargo is missing: install Rust (Debian's is too old; see rustup), then run `make setup` again")
    if shutil.which("g++") or shutil.which("c++"):
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", "g++"]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("setup: installing g++ with apt-get", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0:
            return
    sys.exit(f"setup: g++ is missing: install it with `sudo {' '.join(command)}`, then run `make setup` again")


def adopt_earlier_layout(folder):
    """Gives a folder of an earlier version of this script a manifest, so that the installer replaces it atomically."""
    if (folder / "VERSION").exists() and not (folder / store.MANIFEST).exists():
        (folder / store.MANIFEST).write_text('{"version": "without a manifest", "files": {}}\n')


def main():
    require_tools()
    given = os.environ.get("LIBTORCH")
    if given:
        print(f"setup: using libtorch in {given} (LIBTORCH)")
        return 0
    adopt_earlier_layout(LIBTORCH)
    options = sys.argv[1:]
    if not options and store.problem(LIBTORCH, development=True) is None:
        return 0
    return installer.main(["--development", "--to", str(LIBTORCH), *options])


if __name__ == "__main__":
    sys.exit(main())
