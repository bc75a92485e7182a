"""Errors: a status of the C interface becomes an exception here, and nowhere else."""

from typing import Optional

from . import _abi

_NAMES = {number: name for name, number in _abi.STATUSES.items()}


class PromemError(Exception):
    """What libpromem or this package refuses; its text names the thing, what was found and what was expected.

    `status` is the number of the C interface (include/promem.h), or None where it was this package that refused; `status_name` is its
    name, such as "PROMEM_BAD_MODEL", or "" then.
    """

    status: Optional[int] = None

    def __init__(self, message: str, status: Optional[int] = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status

    @property
    def status_name(self) -> str:
        return "" if self.status is None else _NAMES.get(self.status, "unknown status")


class LibraryNotLoaded(PromemError, ImportError):
    """libpromem or libtorch is missing, of another version, or cannot be used in this process."""


class Closed(PromemError, ValueError):
    """A model, session or job was used after it was closed."""


class InvalidArgument(PromemError, ValueError):
    """An argument, a prompt or an option contradicts the data or the other arguments."""

    status = _abi.STATUSES["PROMEM_INVALID_ARGUMENT"]


class Unsupported(PromemError):
    """The data is well-formed, but of a kind that is not handled."""

    status = _abi.STATUSES["PROMEM_UNSUPPORTED"]


class BadFormat(PromemError, ValueError):
    """A file, or a map to patient space, is not what it should be."""

    status = _abi.STATUSES["PROMEM_BAD_FORMAT"]


class BadModel(PromemError, ValueError):
    """A model file fits no known network."""

    status = _abi.STATUSES["PROMEM_BAD_MODEL"]


class IoError(PromemError):
    """The operating system refused: missing file, full disk, permission."""

    status = _abi.STATUSES["PROMEM_IO_ERROR"]


class ComputeError(PromemError, RuntimeError):
    """libtorch refused: out of memory, missing device."""

    status = _abi.STATUSES["PROMEM_COMPUTE_ERROR"]


class Cancelled(PromemError):
    """Somebody asked to stop; what was done is kept."""

    status = _abi.STATUSES["PROMEM_CANCELLED"]


class Busy(PromemError, RuntimeError):
    """Another call or a job is using the session."""

    status = _abi.STATUSES["PROMEM_BUSY"]


class InternalError(PromemError, RuntimeError):
    """A fault of libpromem; the session stays usable after `reset`."""

    status = _abi.STATUSES["PROMEM_INTERNAL_ERROR"]


_KINDS: dict[Optional[int], type[PromemError]] = {
    kind.status: kind
    for kind in (
        InvalidArgument,
        Unsupported,
        BadFormat,
        BadModel,
        IoError,
        ComputeError,
        Cancelled,
        Busy,
        InternalError,
    )
}


def error(status: int, message: str) -> PromemError:
    """The exception for a status other than PROMEM_OK."""
    return _KINDS.get(status, PromemError)(message or _NAMES.get(status, f"status {status}"), status)
