"""Handles of the C interface, each freed once: by `close`, after its Python object is gone, or when the interpreter ends."""

import atexit
import ctypes
import os
import threading
import time
import weakref
from typing import Any, Callable, Optional

from . import _background, _library
from ._resource import Resource
from .errors import Closed, LibraryNotLoaded, PromemError

# How long the end of the interpreter waits for calls that daemon threads are in.
_SECONDS_AT_EXIT = 10.0

_live: dict[int, "Handle"] = {}
_begin_lock = threading.Lock()
_begun = False
_ends = False

# What else is to be done at the end of the interpreter, after the handles are freed.
at_end: list[Callable[[], None]] = []


class Handle:
    """A pointer that libpromem gave, and who is using it.

    `owner`: the Python object whose end is the handle's end. `make` is called with a place for the pointer. `keep` is let go of after the
    pointer was freed.
    """

    def __init__(
        self,
        owner: Any,
        what: str,
        pointer_to: Any,
        make: Callable[[Any], Any],
        free: str,
        cancel: Optional[str] = None,
        keep: Any = None,
    ) -> None:
        begin()
        self.what, self._free, self._cancel, self._keep = what, free, cancel, keep
        self._idle = threading.Condition()
        self._users: list[int] = []
        self._closing = False
        self._process = os.getpid()
        self._pointer = ctypes.POINTER(pointer_to)()
        try:
            make(ctypes.byref(self._pointer))
            _live[id(self)] = self
            weakref.finalize(owner, _abandon, self).atexit = False
        except BaseException:
            # A callback's exception may come after the pointer was made.
            self.close()
            raise

    @property
    def closed(self) -> bool:
        return self._closing or not self._pointer

    def call(self, name: str, *arguments: Any) -> Any:
        """Calls a function of libpromem whose first argument is this handle. While it runs, the handle is not freed."""
        me, entered = threading.get_ident(), False
        try:
            with self._idle:
                if self.closed:
                    raise Closed(f"{self.what}: it was closed")
                if self._process != os.getpid():
                    raise LibraryNotLoaded(
                        f"{self.what}: it belongs to process {self._process}, of which this is a fork"
                    )
                self._users.append(me)
                entered = True
            return _library.call(name, self._pointer, *arguments)
        finally:
            if entered:
                with self._idle:
                    self._users.remove(me)
                    self._idle.notify_all()

    def close(self, seconds: Optional[float] = None) -> None:
        """Ends what runs, waits for it (at most `seconds`), and frees the pointer. Closing twice is allowed."""
        limit = None if seconds is None else time.monotonic() + seconds
        with self._idle:
            if self._process != os.getpid() or not self._pointer:
                return
            if threading.get_ident() in self._users:
                raise PromemError(f"{self.what}: it cannot be closed inside its own callback; cancel it there")
            self._closing = True
            while self._users:
                if self._cancel is not None:
                    # More than once: a call that was about to begin has not heard the first.
                    _library.end(self._cancel, self._pointer)
                if not self._idle.wait(0.05) and limit is not None and time.monotonic() > limit:
                    return
            pointer, self._pointer = self._pointer, type(self._pointer)()
        if pointer:
            _live.pop(id(self), None)
            _library.end(self._free, pointer)
            self._keep = None


class Owner(Resource):
    """A Python object whose life is that of a handle."""

    _handle: Handle

    def close(self) -> None:
        """Ends what runs, waits for it, and frees it. Closing twice is allowed."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        # Without a handle it was never opened.
        return "_handle" not in self.__dict__ or self._handle.closed


def _abandon(handle: Handle) -> None:
    if not _ends:
        _background.later(handle.close)


def begin() -> None:
    """Loads libpromem and sees to it that everything is freed before the interpreter ends."""
    global _begun
    _library.library()
    with _begin_lock:
        if not _begun:
            _begun = True
            atexit.register(_end)
    _background.start()


def _end() -> None:
    global _ends
    _ends = True
    if _library.is_fork():
        return
    # Newest first: jobs before their sessions, sessions before their models.
    for handle in reversed(list(_live.values())):
        handle.close(_SECONDS_AT_EXIT)
    for work in at_end:
        work()
    _background.finish()
