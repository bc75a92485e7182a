"""Files: opening, uploads, temporary folders, and the demonstration scan of `promem demo`.

In: paths, bytes. Out: existing paths. Raises FileProblem with a message for the status line. Knows neither scene nor
page.
"""

import asyncio
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, Optional

from .nifti_integrity import is_complete

SCANS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
NIFTI = (".nii", ".nii.gz")
WEIGHTS = (".safetensors", ".pt", ".pth")
SEGMENTATIONS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")
# The program that makes the demonstration, from the top of a checkout.
PROGRAM = pathlib.Path("target", "release", "promem")
DEMONSTRATION_SECONDS = 120.0


class FileProblem(Exception):
    """A file cannot be used. The message is for the user."""


def existing(path: Any, kinds: tuple[str, ...]) -> pathlib.Path:
    """The file that a user has named. Raises FileProblem."""
    named = str(path or "").strip()
    if not named:
        raise FileProblem("No file name was given.")
    file = pathlib.Path(named).expanduser()
    if file.is_dir():
        raise FileProblem(f"{file} is a folder, expected a file that ends with {', '.join(kinds)}.")
    if not file.is_file():
        raise FileProblem(f"{file} does not exist.")
    if ending(file, kinds) is None:
        raise FileProblem(f"{file.name} cannot be read: expected a file that ends with {', '.join(kinds)}.")
    return file.resolve()


def require_complete(file: pathlib.Path) -> pathlib.Path:
    """The same file. Raises FileProblem if a part of it is missing."""
    if ending(file, NIFTI) and not is_complete(file):
        raise FileProblem(f"{file.name} cannot be read: it is damaged or incomplete.")
    return file


def ending(file: pathlib.Path, kinds: tuple[str, ...]) -> Optional[str]:
    """The longest of the extensions that a file's name has."""
    return max((kind for kind in kinds if file.name.lower().endswith(kind)), key=len, default=None)


def stem(name: str) -> str:
    """A file's name without its extension."""
    kind = ending(pathlib.Path(name), SCANS + SEGMENTATIONS)
    return name[: -len(kind)] if kind else name


def uploaded(file: Mapping[str, Any], folder: pathlib.Path) -> pathlib.Path:
    """Writes an uploaded file into a folder. Raises FileProblem."""
    # The name only: the sender does not choose the folder.
    name = pathlib.PurePath(str(file.get("name") or "").replace("\\", "/")).name
    content = file.get("content")
    if isinstance(content, list):
        content = b"".join(content)
    if not name or not content:
        raise FileProblem(f"{name or 'The file'} was not uploaded: {file.get('error') or 'it is empty'}.")
    path = folder / name
    path.write_bytes(content)
    return existing(path, SCANS)


def demonstration_program() -> Optional[pathlib.Path]:
    """The program that makes the demonstration; None where it is not built."""
    found = pathlib.Path(__file__).resolve().parents[3] / PROGRAM
    return found if found.is_file() else None


async def demonstration(folder: pathlib.Path) -> pathlib.Path:
    """Makes the demonstration's scan in a folder. Raises FileProblem."""
    program = demonstration_program()
    if program is None:
        raise FileProblem(f"The demonstration needs {PROGRAM}: build it with `make build`.")
    process = await asyncio.create_subprocess_exec(
        str(program),
        "demo",
        str(folder),
        "--force",
        "--quiet",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), DEMONSTRATION_SECONDS)
    except asyncio.TimeoutError as late:
        process.kill()
        await process.wait()
        raise FileProblem(f"The demonstration took longer than {DEMONSTRATION_SECONDS:.0f} s.") from late
    if process.returncode != 0:
        raise FileProblem(f"The demonstration cannot be made: {said.decode(errors='replace').strip()}")
    return existing(folder / "scan.nii.gz", SCANS)


class TemporaryFolders:
    """Temporary folders, which are removed with the viewer."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="promem-viewer-")

    def folder(self, name: str) -> pathlib.Path:
        path = pathlib.Path(self._folder.name, name)
        path.mkdir(exist_ok=True)
        return path

    def close(self) -> None:
        self._folder.cleanup()
