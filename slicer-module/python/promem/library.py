"""What concerns the library as a whole: versions, devices, threads."""

from . import _library
from ._arguments import whole


def version() -> str:
    """The version of libpromem, such as "0.1.0"."""
    return _text("promem_version")


def libtorch_version() -> str:
    """The version of libtorch that libpromem works with, and with no other."""
    return _text("promem_libtorch_version")


def devices() -> list[str]:
    """The devices that can be computed on, as `Model` takes them. The first is "cpu"."""
    _library.prepare_cuda()
    count = _library.call("promem_device_count")
    return [_text("promem_device_name", number) for number in range(count)]


def set_thread_count(threads: int) -> None:
    """How many threads an operation may use on the CPU, in the whole process; 0: one per core, as by default."""
    _library.call("promem_set_thread_count", whole(threads, "threads", 32))


def thread_count() -> int:
    """How many threads an operation may use on the CPU."""
    return int(_library.call("promem_thread_count"))


def _text(name: str, *arguments: int) -> str:
    return bytes(_library.call(name, *arguments)).decode()
