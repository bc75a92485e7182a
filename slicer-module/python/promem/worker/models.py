"""The model of the worker.

In: a file, a device, a precision. Out: the model, loaded once. Knows nothing of scans.
"""

import os
from typing import Any, Optional

from ..errors import InvalidArgument
from ..model import Model


class ModelHolder:
    """Holds the model that was requested last."""

    def __init__(self) -> None:
        self._model: Optional[Model] = None
        self._asked: Any = None

    @property
    def model(self) -> Model:
        if self._model is None:
            raise InvalidArgument("no model is loaded; expected load_model before this")
        return self._model

    def load(self, path: Optional[str], device: str, precision: str) -> bool:
        """False if that model is already loaded. If loading fails, the previous model stays."""
        # A rewritten file is another model.
        if self._model is not None and self._asked == (path, device, precision, _stamp(self._model.info.path)):
            return False
        model = Model(path, device, precision)
        former, self._model = self._model, model
        self._asked = (path, device, precision, _stamp(model.info.path))
        if former is not None:
            former.close()
        return True

    def describe(self) -> dict[str, Any]:
        info = self.model.info
        try:
            licence: Optional[str] = self.model.metadata("promem.licence")
        except InvalidArgument:
            licence = None  # published weights do not say
        return {
            "network": info.network,
            "device": info.device,
            "precision": info.precision,
            "path": info.path,
            "image_size": info.image_size,
            "licence": licence,
        }


def _stamp(path: str) -> Optional[tuple[int, int, int]]:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
