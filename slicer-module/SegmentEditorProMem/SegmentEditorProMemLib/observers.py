"""Observers of VTK objects that are removed together.

In: objects, events, methods. Knows no scene. Methods are held weakly: an observed object does not keep its observer
alive.
"""

import weakref
from typing import Any, Callable

import vtk


class Observers:
    """The observers of one owner, grouped by a key."""

    def __init__(self) -> None:
        self._tags: dict[Any, list[tuple[Any, int]]] = {}

    def add(self, key: Any, observed: Any, event: Any, method: Callable[..., None], *arguments: Any) -> None:
        """Calls a bound method with the arguments given here."""
        weak = weakref.WeakMethod(method)

        def callback(*_: Any) -> None:
            call = weak()
            if call is not None:
                call(*arguments)

        self._tags.setdefault(key, []).append((observed, observed.AddObserver(event, callback)))

    def add_with_node(self, key: Any, observed: Any, event: Any, method: Callable[[Any], None]) -> None:
        """Calls a bound method with the node of the event."""
        weak = weakref.WeakMethod(method)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def callback(_caller: Any, _event: str, node: Any) -> None:
            call = weak()
            if call is not None:
                call(node)

        self._tags.setdefault(key, []).append((observed, observed.AddObserver(event, callback)))

    def drop(self, key: Any) -> None:
        for observed, tag in self._tags.pop(key, ()):
            observed.RemoveObserver(tag)

    def clear(self) -> None:
        for key in list(self._tags):
            self.drop(key)

    def keys(self) -> set[Any]:
        return set(self._tags)

    def __contains__(self, key: Any) -> bool:
        return key in self._tags
