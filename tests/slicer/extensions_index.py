"""What Slicer's Extensions Index asks of a repository, read as its own check reads it: as text, by regular expressions.

In: a repository, its entry for the index. Out: sentences about what the index would refuse. The keys are those of the
schema 1.0.1 of the entries; nothing is fetched: addresses of files on GitHub have to be files of the repository.
"""

import json
import re
import urllib.parse

MAX_BYTES = 100_000_000

# A key of the schema -> its type and, where there are few, its values.
KEYS = {
    "$schema": (str, None),
    "build_dependencies": (list, None),
    "build_subdirectory": (str, None),
    "category": (str, ("Segmentation",)),  # of the known categories, ours
    "enabled": (bool, None),
    "scm_revision": (str, None),
    "scm_type": (str, ("git", "local")),
    "scm_url": (str, None),
    "tier": (int, (1, 3, 5)),
}
REQUIRED = ("$schema", "category", "scm_url")
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)

IMAGES = {".png": b"\x89PNG", ".jpg": b"\xff\xd8", ".jpeg": b"\xff\xd8", ".gif": b"GIF8"}
LICENSES = ("LICENSE", "LICENCE", "LICENSE.txt", "COPYING")


def problems(repository, entry_path):
    """Every problem, in a sentence each."""
    entry = json.loads(entry_path.read_text())
    found = list(_entry(entry))
    text = (repository / "CMakeLists.txt").read_text()
    project = re.search(r"project\s*\(\s*([^\s)]+)", text, re.IGNORECASE)
    if project is None or project[1] != entry_path.stem:
        found.append(f"the first project is {project and project[1]}, expected {entry_path.stem}")
    for name, pattern in (
        ("EXTENSION_ICONURL", r'set\s*\(EXTENSION_ICONURL\s*"([^"]+)" *\)'),
        ("EXTENSION_SCREENSHOTURLS", r'set\s*\(EXTENSION_SCREENSHOTURLS\s*"([^"]+)"\)'),
    ):
        given = re.search(pattern, text)
        addresses = given[1].split() if given else []
        if not addresses or not all(address.startswith("http") for address in addresses):
            found.append(f"{name}: no literal addresses of images in CMakeLists.txt")
            continue
        found += filter(None, (_image(repository, address) for address in addresses))
    if not any((repository / name).is_file() for name in LICENSES):
        found.append("no licence in the root of the repository")
    return found


def _entry(entry):
    for key in REQUIRED:
        if not entry.get(key):
            yield f"{key} is missing"
    for key, value in entry.items():
        if key not in KEYS:
            yield f"{key} is not a key of the schema"
            continue
        kind, values = KEYS[key]
        if type(value) is not kind:
            yield f"{key}: {value!r}, expected {kind.__name__}"
        elif values is not None and value not in values:
            yield (
                f"{key} {value}: expected one of {values}"
                if kind is str
                else f"{key}: {value}, expected one of {values}"
            )
    if entry.get("$schema") != SCHEMA:
        yield f"$schema: expected {SCHEMA}"
    if list(entry) != sorted(entry):
        yield "the keys are not sorted"
    address = urllib.parse.urlsplit(entry.get("scm_url", ""))
    if address.scheme not in ("git", "https"):
        yield f"scm_url: scheme {address.scheme}, expected git or https"
    if "slicer" not in address.path.rpartition("/")[2].lower():
        yield f"scm_url: {address.path} has no Slicer in its name"


def _image(repository, address):
    """A file on GitHub has to be an image of this repository."""
    parts = urllib.parse.urlsplit(address)
    if parts.netloc != "raw.githubusercontent.com":
        return f"{address}: expected a file of the repository"
    _, _owner, _name, _branch, *rest = parts.path.split("/")
    path = repository.joinpath(*rest)
    if not path.is_file():
        return f"{'/'.join(rest)} is not in the repository"
    if not path.read_bytes().startswith(IMAGES.get(path.suffix, b"?")):
        return f"{'/'.join(rest)} is not an image"
    return None
