"""What goes wrong becomes a sentence for the status line; the browser's console and the terminal stay quiet.

In: what is raised. Out: sentences. Knows who can raise what.
"""

import asyncio
import logging
from typing import Any, Callable, Optional

from SegmentEditorProMemLib.grid import ObliqueView, OutsideScan
from SegmentEditorProMemLib.options import BadOption
from SegmentEditorProMemLib.scene import SceneError

from .files import FileProblem

# What a user, a file or a scene can do wrong: a sentence says it.
EXPECTED = (FileProblem, BadOption, SceneError, ObliqueView, OutsideScan)


class ErrorReporter:
    """`with errors:` turns what is raised inside into a sentence. say: takes it."""

    def __init__(self, say: Callable[[Optional[str]], None]) -> None:
        self._say = say

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, _trace: Any) -> bool:
        if isinstance(error, EXPECTED):
            self._say(str(error))
            return True
        if isinstance(error, Exception):
            # A defect. The page goes on, and who started the viewer sees where it was.
            logging.getLogger("promem.viewer").error("internal error", exc_info=error)
            self._say(f"Internal error: {kind.__name__}: {error}")
            return True
        return False

    def guarded(self, action: Callable) -> Callable:
        """An action that raises nothing, and takes back what was said before it."""

        def act(*arguments: Any) -> Any:
            self._say(None)
            with self:
                return action(*arguments)

        async def wait(*arguments: Any) -> Any:
            self._say(None)
            with self:
                return await action(*arguments)

        return wait if asyncio.iscoroutinefunction(action) else act
