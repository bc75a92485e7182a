"""The options of a user, as arguments of the engine's requests.

In: options of a panel or a script. Out: arguments. Every option has a default.
"""

from dataclasses import dataclass
from typing import Any, Optional

from .i18n import _

DIRECTIONS = ("both", "up", "down")
SEARCHES = ("paper", "off", "custom")
INTENSITIES = ("displayed", "automatic")
STOPS = ("automatic", "never")


class BadOption(ValueError):
    """An option has an invalid value."""


@dataclass(frozen=True)
class Options:
    """The options of the engine.

    model: a model file; None: the default model. device: "auto", "cpu" or "cuda:0". precision: "auto", "fp32" or "bf16".
    threads: CPU threads of the engine; None: all but one, so that the application stays responsive.
    search: "paper" tries memory windows of 1 and 6 slices with two beams; "off" is plain SAM 2; "custom" takes
        `windows` and `beams`.
    intensity: "displayed" is the window of the slice views; "automatic" is chosen from the scan and the prompt.
    stop: "automatic" ends where the object ends; "never" continues to the end of the range.
    """

    model: Optional[str] = None
    device: str = "auto"
    precision: str = "auto"
    threads: Optional[int] = None
    search: str = "paper"
    windows: tuple[int, ...] = (1, 6)
    beams: int = 2
    intensity: str = "displayed"
    stop: str = "automatic"

    def __post_init__(self) -> None:
        for name, choices in (("search", SEARCHES), ("intensity", INTENSITIES), ("stop", STOPS)):
            if getattr(self, name) not in choices:
                raise BadOption(
                    _("{name}: {found!r}, expected one of {choices}").format(
                        name=name, found=getattr(self, name), choices=", ".join(choices)
                    )
                )
        if not self.windows or not all(1 <= window <= 6 for window in self.windows):
            raise BadOption(
                _("windows: {windows}, expected one or more numbers of slices between 1 and 6").format(
                    windows=self.windows
                )
            )
        if not 1 <= self.beams <= 16:
            raise BadOption(_("beams: {beams}, expected 1 to 16").format(beams=self.beams))

    @property
    def model_arguments(self) -> dict[str, Any]:
        return {"path": self.model, "device": self.device, "precision": self.precision, "threads": self.threads}

    @property
    def propagate_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"never_stop": self.stop == "never"}
        if self.search == "off":
            arguments["memory"] = "sam2"
        elif self.search == "custom":
            arguments.update(memory="search", windows=list(self.windows), beams=self.beams)
        else:
            arguments["memory"] = "search"
        return arguments


def windows_from_text(text: str) -> tuple[int, ...]:
    """Windows as a user writes them: "1, 6". Raises BadOption."""
    words = text.replace(",", " ").split()
    if not words or not all(word.isdigit() for word in words):
        raise BadOption(_("windows: {text!r}, expected numbers of slices such as 1, 6").format(text=text))
    return tuple(int(word) for word in words)
