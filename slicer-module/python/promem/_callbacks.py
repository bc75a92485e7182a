"""Callbacks from C: what Python raises in them waits until the C function has returned.

ctypes would print an exception that leaves a callback, and forget it.
"""

import ctypes
import threading
from collections.abc import Generator
from ctypes import POINTER, c_int32
from typing import Any, Callable, Optional

from . import _abi

_held = threading.local()


def hold(error: BaseException) -> None:
    """Keeps the first exception of this thread's callbacks."""
    if getattr(_held, "error", None) is None:
        _held.error = error


def raise_held() -> None:
    """Raises what was kept."""
    error = getattr(_held, "error", None)
    if error is not None:
        _held.error = None
        try:
            raise error
        finally:
            del error  # no cycle through the traceback


def goes_on(answer: Any) -> bool:
    """What a progress callback has returned: None, as functions without a word do, and anything true goes on."""
    return answer is None or bool(answer)


# The second argument, the caller's data, stays where C has put it: who is called may look at fewer arguments than it is given.
_OneArgument = ctypes.CFUNCTYPE(c_int32, POINTER(_abi.Progress))


class ProgressReceiver:
    """A C callback that passes each slice's progress to `receive`, which says whether to go on.

    Without `receive` it goes on, and lets Ctrl-C stop the walk all the same: Python handles signals while it runs, never inside C.
    """

    def __init__(self, receive: Optional[Callable[[_abi.Progress], bool]]) -> None:
        self._answers = _answers(receive)
        next(self._answers)
        self._thunk = _OneArgument(self._answers.send)
        self.callback: Any = ctypes.cast(self._thunk, _abi.ProgressCallback)


def _answers(receive: Optional[Callable[[_abi.Progress], bool]]) -> Generator[int, Any, None]:
    """Gets pointers to progress and yields answers: 1 to go on, 0 to stop.

    A generator, since Python delivers a pending KeyboardInterrupt as soon as a callback begins: a function would be left before its first
    `try`, while a generator is resumed inside of one.
    """
    answer = 1
    while True:
        try:
            progress = yield answer
            answer = 0
            if getattr(_held, "error", None) is None and (receive is None or receive(progress.contents)):
                answer = 1
        except GeneratorExit:
            return
        except BaseException as error:
            hold(error)
            answer = 0
