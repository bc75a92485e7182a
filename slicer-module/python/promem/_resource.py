"""What everything that is to be closed has in common: models, sessions, jobs, engines, shared arrays.

In: a `close` and a `closed`. Out: the end of a `with` closes; a copy or a pickle is refused with what to do instead; a
`repr` for people.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NoReturn, SupportsIndex, TypeVar

from .errors import PromemError

_Own = TypeVar("_Own", bound="Resource")


class Resource(ABC):
    """Something that belongs to this process and is given back once."""

    # What to do instead of copying it.
    _instead_of_a_copy: ClassVar[str]

    @abstractmethod
    def close(self) -> None:
        """Gives it back. Closing twice is allowed."""

    @property
    @abstractmethod
    def closed(self) -> bool: ...

    @abstractmethod
    def _describe(self) -> str:
        """What `repr` says of it while it is open."""

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """copy.copy, copy.deepcopy and pickle all ask here."""
        raise TypeError(f"{_name(self)} cannot be copied or pickled: {self._instead_of_a_copy}")

    def __repr__(self) -> str:
        if self.closed:
            return f"<{_name(self)}, closed>"
        try:
            return f"<{_name(self)} {self._describe()}>"
        except PromemError as trouble:
            return f"<{_name(self)}: {trouble}>"


def _name(resource: Resource) -> str:
    """The name under which the package shows a class, such as promem.Session."""
    kind = type(resource)
    return ".".join([*kind.__module__.split(".")[:-1], kind.__qualname__])
