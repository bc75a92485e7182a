"""Errors become messages in the status line.

In: exceptions. Out: messages. Knows the expected exceptions; others are logged as internal errors.
"""

import asyncio
import logging
from typing import Any, Callable, Optional

from SegmentEditorProMemLib.grid import ObliqueView, OutsideScan
from SegmentEditorProMemLib.options import BadOption
from SegmentEditorProMemLib.scene import SceneError

from .files import FileProblem

# Expected errors of the user, a file or the scene: their message is complete.
EXPECTED = (FileProblem, BadOption, SceneError, ObliqueView, OutsideScan)


class ErrorReporter:
    """`with reporter:` turns an exception inside into a message. say: receives it."""

    def __init__(self, say: Callable[[Optional[str]], None]) -> None:
        self._say = say

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, _trace: Any) -> bool:
        if isinstance(error, EXPECTED):
            self._say(str(error))
            return True
        if isinstance(error, Exception):
            # A bug: the page continues, and the terminal shows the traceback.
            logging.getLogger("promem.viewer").error("internal error", exc_info=error)
            self._say(f"Internal error: {kind.__name__}: {error}")
            return True
        return False

    def guarded(self, action: Callable) -> Callable:
        """The action, without exceptions; it clears the previous message first."""

        def act(*arguments: Any) -> Any:
            self._say(None)
            with self:
                return action(*arguments)

        async def wait(*arguments: Any) -> Any:
            self._say(None)
            with self:
                return await action(*arguments)

        return wait if asyncio.iscoroutinefunction(action) else act
