"""The worker's one scan: a session on shared voxels, what it was told, and its labels in shared memory.

In: names of shared memory, prompts. Out: masks, scores, and boxes of labels that have changed and were written. Knows nothing of messages.
"""

from typing import Any, Optional

import numpy as np

from ..errors import InvalidArgument, PromemError
from ..model import Model
from ..session import AxisChoice, Session
from . import memory
from .prompts import Grid, Said, read, steps


class Scan:
    def __init__(
        self,
        model: Model,
        voxels: np.ndarray,
        results: np.ndarray,
        **options: Any,
    ) -> None:
        """options: as Session has them. Both arrays stay as long as this."""
        self._results = results
        self._told: dict[int, dict[int, Said]] = {}  # by object, then slice
        self.session = Session(model, voxels, **options)

    def describe(self) -> dict[str, Any]:
        session = self.session
        return {"axis": session.axis, "slices": session.slice_count, "slice_shape": list(session.slice_shape)}

    def set_axis(self, axis: AxisChoice) -> None:
        before = self.session.axis
        self.session.set_axis(axis)
        if self.session.axis != before:
            self._told.clear()

    def reset(self) -> None:
        self.session.reset()
        self._told.clear()

    def set_prompts(self, object: int, slices: Any) -> int:
        """Makes what is said of an object this, and nothing else. Returns how many steps that took."""
        if type(object) is not int or not 1 <= object <= 65535:
            raise InvalidArgument(f"object: {object!r:.40}, expected 1 to 65535")
        grid = self._grid()
        after = read(slices, grid)
        todo = steps(self._told.get(object, {}), after, grid)
        try:
            for name, arguments in todo:
                getattr(self.session, name)(object, *arguments)
        except PromemError:
            self._forget(object)
            raise
        self._told[object] = after
        return len(todo)

    def _forget(self, object: int) -> None:
        """Where it is not known what the session knows, it shall know nothing."""
        self._told.pop(object, None)
        if any(prompt.object == object for prompt in self.session.prompts):
            self.session.remove_object(object)

    def _grid(self) -> Grid:
        k, j, i = self.session.shape
        return Grid((i, j, k), "ijk".index(self.session.axis), self.session.slice_shape)

    def publish(self) -> Optional[list[int]]:
        """Writes the labels that may have changed since the last time: their box [k0, k1, j0, j1, i0, i1], k1, j1, i1 outside."""
        changed = self.session.take_changes()
        if changed is None:
            return None
        self._results[changed.slices] = self.session.labels(changed)
        return [bound for part in changed.slices for bound in (part.start, part.stop)]

    def close(self) -> None:
        """Ends what runs on it."""
        self.session.close()


def open_arrays(memory_name: Any, shape: Any, dtype: Any, results: Any) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and, cleared, labels."""
    voxels = memory.attach(memory_name, shape, dtype)
    return voxels, memory.attach(results, shape, "uint16", writable=True)
