#!/usr/bin/env python3
"""ProMem in a browser: `python slicer-module/viewer/promem_viewer.py [SCAN]` prints an address to open.

In: optionally a scan, a segmentation and a model file. Out: a page that only this computer can open. Starts the
viewer; knows nothing of the page.
"""

import argparse
import contextlib
import importlib.util
import os
import pathlib
import secrets
import sys
import webbrowser
from collections.abc import Sequence
from typing import Optional

HERE = pathlib.Path(__file__).resolve().parent
# The viewer imports the modules of the effect in Slicer and the engine.
FOLDERS = (HERE, HERE.parent / "python", HERE.parent / "SegmentEditorProMem")
NEEDED = {"trame_slicer": '"trame-slicer[standalone]==2.0.0"', "numpy": "numpy"}
# Other computers cannot connect to it.
ADDRESS = "127.0.0.1"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    chosen = _parse(arguments)
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        install = f"{sys.executable} -m pip install {' '.join(missing)}"
        print(f"The viewer needs packages that are not installed. Install them with: {install}", file=sys.stderr)
        return 1
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        # Without a display VTK would search for one first, and print a warning.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    # Only the address is printed.
    os.environ.setdefault("WSLINK_READY_MSG", "")
    for folder in FOLDERS:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    from promem_browser.application import Viewer

    # Other users of this computer and other pages can reach the port: the page needs a token.
    token = secrets.token_urlsafe(16)
    # trame reads the command line, too; these arguments are not for it.
    sys.argv = sys.argv[:1]
    viewer = Viewer(token, scan=chosen.scan, segmentation=chosen.segmentation, model=chosen.model)

    def announce() -> None:
        address = f"http://{ADDRESS}:{viewer.server.port}/?secret={token}"
        print(f"ProMem: {address}", flush=True)
        if chosen.open:
            webbrowser.open(address)

    try:
        with contextlib.suppress(KeyboardInterrupt):
            viewer.run(ADDRESS, chosen.port, announce)
    finally:
        viewer.close()
    return 0


def _parse(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="promem_viewer.py", description="Segments a scan from a few clicks, in a browser."
    )
    parser.add_argument("scan", nargs="?", metavar="SCAN", help="a file such as ct.nii.gz or ct.nrrd")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="default: 8080; 0: any free port")
    parser.add_argument("--segmentation", metavar="FILE", help="a .seg.nrrd or .nii.gz to continue from")
    parser.add_argument("--model", metavar="FILE", help="a model file; default: the model that comes with promem")
    parser.add_argument("--open", action="store_true", help="open the page in the system's browser")
    chosen = parser.parse_args(arguments)
    if chosen.segmentation and not chosen.scan:
        parser.error("--segmentation: expected the scan that it belongs to")
    if not 0 <= chosen.port <= 65535:
        parser.error(f"--port: {chosen.port}, expected 0 to 65535")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
