"""libpromem's log, passed on to Python's `logging`."""

import functools
import logging
from typing import Any, Optional, Union

from . import _abi, _background, _callbacks, _handle, _library

_LEVELS = {number: getattr(logging, name) for name, number in _abi.LOG_LEVELS.items()}


def set_log(level: Union[int, str, None] = logging.INFO) -> None:
    """Passes libpromem's log on to `logging.getLogger("promem")` and below ("promem.session.load").

    `level`: the least that is passed on, a level of `logging` or its name; None: nothing, as by default. Lines come from a thread of this
    package, shortly after they were written.
    """
    if level is None:
        _silence()
        return
    number = logging.getLevelName(level) if isinstance(level, str) else level
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"log level {level!r}: expected a level of `logging`, its name, or None")
    wanted = max((own for own, known in _LEVELS.items() if known >= number), default=_abi.LOG_LEVELS["ERROR"])
    _handle.begin()
    _library.call("promem_set_log_callback", _CALLBACK, None, wanted)


def _silence() -> None:
    _library.end("promem_set_log_callback", _abi.LogCallback(), None, _abi.LOG_LEVELS["ERROR"])


_handle.at_end.append(_silence)


def _deliver(level: int, target: str, line: str) -> None:
    logging.getLogger(target).log(level, "%s", line)


def _receive(level: int, target: Optional[bytes], line: Optional[bytes], _: Any) -> None:
    try:
        name = (target or b"promem").decode(errors="replace").replace("::", ".")
        text = (line or b"").decode(errors="replace")
        _background.later(functools.partial(_deliver, _LEVELS.get(level, logging.INFO), name, text))
    except BaseException as error:
        _callbacks.hold(error)


# As long as the process, like what it is given to.
_CALLBACK = _abi.LogCallback(_receive)
