"""What an installation will do.

In: the files to download or unpack. Out: sizes, and a text for the user who is asked to confirm. Changes nothing.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Optional

from .errors import format_bytes


@dataclass(frozen=True)
class Artifact:
    """A wheel or zip archive. address: its URL, or its path when installing offline. have: bytes downloaded already."""

    name: str
    address: str
    size: int
    sha256: Optional[str] = None
    have: int = 0


@dataclass(frozen=True)
class Plan:
    """`what`, libtorch or libpromem, of `version` goes from `source` into `folder`.

    source: the package index, without a password, or the file or folder. unpacked: bytes of the installation; an
    estimate for this version and architecture before the download. free: bytes free on the disk. installed: nothing is
    to be done. development: with the C++ headers.
    """

    version: str
    folder: str
    source: str
    offline: bool
    artifacts: tuple[Artifact, ...]
    unpacked: int
    free: int
    installed: bool = False
    development: bool = False
    what: str = "libtorch"

    @property
    def download(self) -> int:
        """Bytes of the downloads, including those that are downloaded already."""
        return 0 if self.offline else sum(artifact.size for artifact in self.artifacts)

    @property
    def remaining(self) -> int:
        """Bytes still to download."""
        return 0 if self.offline else sum(max(0, artifact.size - artifact.have) for artifact in self.artifacts)

    @property
    def needed(self) -> int:
        """Bytes that must be free: downloads are removed only when everything is in place."""
        return self.remaining + self.unpacked

    @property
    def text(self) -> str:
        """The whole plan, a few lines."""
        contents = " with C++ headers" if self.development else ""
        lines = [f"{self.what} {self.version} for the CPU{contents}, into {self.folder}"]
        if self.installed:
            return lines[0] + "\nIt is already installed."
        lines.append(f"from {self.source}:")
        lines += [f"  {artifact.name} ({format_bytes(artifact.size)})" for artifact in self.artifacts]
        if self.offline:
            lines.append(f"Nothing is downloaded; {format_bytes(self.unpacked)} when unpacked.")
        else:
            present = self.download - self.remaining
            begun = f", {format_bytes(present)} of which are downloaded already" if present else ""
            lines.append(
                f"{format_bytes(self.download)} to download{begun}; about {format_bytes(self.unpacked)} when unpacked."
            )
        lines.append(f"{format_bytes(self.needed)} of disk space are needed, {format_bytes(self.free)} are free.")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` takes it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        artifacts = tuple(Artifact(**artifact) for artifact in values["artifacts"])
        return cls(**{**values, "artifacts": artifacts})
