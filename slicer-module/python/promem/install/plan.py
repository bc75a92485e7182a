"""What an installation will do, before it does it.

In: the files that are to be fetched or unpacked. Out: sizes, and sentences for the user who is asked. Does nothing itself.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Optional

from .errors import bytes_in_words


@dataclass(frozen=True)
class Piece:
    """A wheel or zip file. address: where it is fetched from; where it lies already, offline. have: bytes that are here already."""

    name: str
    address: str
    size: int
    sha256: Optional[str] = None
    have: int = 0


@dataclass(frozen=True)
class Plan:
    """libtorch `version` goes from `source` into `folder`.

    source: the package index, without a password, or the file or folder. unpacked: bytes that stay; where the pieces are still to be fetched
    it is what this version takes on this kind of machine, about. free: bytes free there. installed: it is there already.
    """

    version: str
    folder: str
    source: str
    offline: bool
    pieces: tuple[Piece, ...]
    unpacked: int
    free: int
    installed: bool = False

    @property
    def download(self) -> int:
        """Bytes of what is fetched, those that are here already included."""
        return 0 if self.offline else sum(piece.size for piece in self.pieces)

    @property
    def remaining(self) -> int:
        """Bytes that are still to be fetched."""
        return 0 if self.offline else sum(max(0, piece.size - piece.have) for piece in self.pieces)

    @property
    def needed(self) -> int:
        """Bytes that must be free: what is fetched goes away only when everything is in place."""
        return self.remaining + self.unpacked

    @property
    def text(self) -> str:
        """The whole plan, a few lines."""
        lines = [f"libtorch {self.version} for the CPU, into {self.folder}"]
        if self.installed:
            return lines[0] + "\nIt is there already."
        lines.append(f"from {self.source}:")
        lines += [f"  {piece.name} ({bytes_in_words(piece.size)})" for piece in self.pieces]
        if self.offline:
            lines.append(f"Nothing is downloaded; {bytes_in_words(self.unpacked)} when unpacked.")
        else:
            here = self.download - self.remaining
            begun = f", {bytes_in_words(here)} of which are here already" if here else ""
            lines.append(
                f"{bytes_in_words(self.download)} to download{begun}; about {bytes_in_words(self.unpacked)} when unpacked."
            )
        lines.append(f"{bytes_in_words(self.needed)} must be free, {bytes_in_words(self.free)} are.")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` takes it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        pieces = tuple(Piece(**piece) for piece in values["pieces"])
        return cls(**{**values, "pieces": pieces})
