"""Puts libpromem and the default model into the wheel, and names the platform that it is for.

The library is PROMEM_LIBRARY, else what `make build` left in the repository. libtorch (550 MB) stays out.
"""

import os
import pathlib
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# build.rs ends the run path of what it builds with the build machine's libtorch.
PORTABLE_RUN_PATH = b"$ORIGIN:$ORIGIN/../lib"


class PromemBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        repository = pathlib.Path(self.root).parent.parent
        given = os.environ.get("PROMEM_LIBRARY")
        library = pathlib.Path(given) if given else repository / "target" / "release" / "libpromem.so"
        if not library.is_file():
            raise SystemExit(f"promem: {library} is not a file; `make build` builds it, PROMEM_LIBRARY names another")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        if version == "editable":
            # The library is found in the repository.
            return
        self.portable = pathlib.Path(self.directory) / ".libpromem.so"
        self.portable.parent.mkdir(parents=True, exist_ok=True)
        self.portable.write_bytes(without_build_machine(library.read_bytes()))
        files = {str(self.portable): "promem/libpromem.so"}
        model = repository / "models" / "promem-compact.safetensors"
        if model.is_file():
            files[str(model)] = "promem/promem-compact.safetensors"
        files.update({str(repository / name): f"promem/{name}" for name in ("LICENSE", "NOTICE")})
        build_data["force_include"].update(files)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "portable"):
            self.portable.unlink()


def without_build_machine(library: bytes) -> bytes:
    """Ends the run path before the folder of the build machine, so that no other machine looks there."""
    if library.count(PORTABLE_RUN_PATH + b":") != 1:
        return library
    return library.replace(PORTABLE_RUN_PATH + b":", PORTABLE_RUN_PATH + b"\0")
