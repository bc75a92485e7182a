"""The scan of the worker: a session on shared voxels, its prompts, and its labels in shared memory.

In: names of shared memory, prompts. Out: masks, scores, and boxes of changed labels. Knows nothing of messages.
"""

from typing import Any, Optional

import numpy as np

from ..errors import InvalidArgument, PromemError
from ..model import Model
from ..session import AxisChoice, Session
from . import memory
from .prompts import Grid, SlicePrompts, parse, session_calls


class Scan:
    def __init__(
        self,
        model: Model,
        voxels: np.ndarray,
        results: np.ndarray,
        **options: Any,
    ) -> None:
        """options: those of Session. The scan keeps both arrays."""
        self._results = results
        self._prompts: dict[int, dict[int, SlicePrompts]] = {}  # by object, then slice
        self.session = Session(model, voxels, **options)

    def describe(self) -> dict[str, Any]:
        session = self.session
        return {"axis": session.axis, "slices": session.slice_count, "slice_shape": list(session.slice_shape)}

    def set_axis(self, axis: AxisChoice) -> None:
        before = self.session.axis
        self.session.set_axis(axis)
        if self.session.axis != before:
            self._prompts.clear()

    def reset(self) -> None:
        self.session.reset()
        self._prompts.clear()

    def set_prompts(self, object: int, slices: Any) -> int:
        """Replaces all prompts of an object. Returns the number of session calls."""
        if type(object) is not int or not 1 <= object <= 65535:
            raise InvalidArgument(f"object: {object!r:.40}, expected 1 to 65535")
        grid = self._grid()
        after = parse(slices, grid)
        todo = session_calls(self._prompts.get(object, {}), after, grid)
        try:
            for name, arguments in todo:
                getattr(self.session, name)(object, *arguments)
        except PromemError:
            self._remove_object(object)
            raise
        self._prompts[object] = after
        return len(todo)

    def _remove_object(self, object: int) -> None:
        """Removes an object after an error, when the session's prompts are unknown."""
        self._prompts.pop(object, None)
        if any(prompt.object == object for prompt in self.session.prompts):
            self.session.remove_object(object)

    def _grid(self) -> Grid:
        k, j, i = self.session.shape
        return Grid((i, j, k), "ijk".index(self.session.axis), self.session.slice_shape)

    def publish(self) -> Optional[list[int]]:
        """Writes changed labels; returns their box [k0, k1, j0, j1, i0, i1], with k1, j1, i1 excluded."""
        changed = self.session.take_changes()
        if changed is None:
            return None
        self._results[changed.slices] = self.session.labels(changed)
        return [bound for part in changed.slices for bound in (part.start, part.stop)]

    def close(self) -> None:
        """Ends running jobs and closes the session."""
        self.session.close()


def open_arrays(memory_name: Any, shape: Any, dtype: Any, results: Any) -> tuple[np.ndarray, np.ndarray]:
    """Opens voxels, and labels, which are cleared."""
    voxels = memory.attach(memory_name, shape, dtype)
    return voxels, memory.attach(results, shape, "uint16", writable=True)
