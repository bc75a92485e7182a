"""What can be asked of the worker.

In: the name of a method and its arguments. Out: a result, or a computation that runs. One model, one scan. Knows nothing of messages' form,
of order and of who asks.
"""

import inspect
import os
import time
from typing import Any, Callable, Optional, Union

from .. import _abi, library
from ..errors import InvalidArgument
from ..options import propagate_options
from ..session import AxisChoice
from .jobs import Running, known
from .masks import pack
from .models import Models
from .scan import Scan, open_arrays

Result = Union[dict[str, Any], Running]

# What only reads, and is answered while something runs.
READS = {"hello", "scores", "die", "sleep"}
# What ends a propagation instead of being refused by it.
ENDS = {"open_scan", "close_scan"}
# What is answered when it has ended.
RUNS = {"propagate", "precompute"}


class Methods:
    def __init__(self) -> None:
        self._models = Models()
        self._open: Optional[Scan] = None
        self._known: dict[str, Callable[..., Result]] = {
            "hello": self.hello,
            "load_model": self.load_model,
            "open_scan": self.open_scan,
            "close_scan": self.close_scan,
            "set_axis": self.set_axis,
            "set_window": self.set_window,
            "reset": self.reset,
            "set_prompts": self.set_prompts,
            "predict": self.predict,
            "propagate": self.propagate,
            "precompute": self.precompute,
            "scores": self.scores,
        }
        if os.environ.get("PROMEM_WORKER_TEST") == "1":
            self._known.update(die=self.die, sleep=self.sleep)

    def check(self, name: str, arguments: dict[str, Any]) -> None:
        """Refuses what no method takes. Errors: InvalidArgument."""
        if name not in self._known:
            raise InvalidArgument(f"method {name!r:.40}: expected one of {', '.join(self._known)}, cancel")
        try:
            inspect.signature(self._known[name]).bind(**arguments)
            if name == "propagate":
                inspect.signature(propagate_options).bind(**arguments)
        except TypeError as trouble:
            raise InvalidArgument(f"{name}: {trouble}") from trouble

    def call(self, name: str, arguments: dict[str, Any]) -> Result:
        return self._known[name](**arguments)

    def changed(self) -> Optional[list[int]]:
        """The box of labels that were changed and have been written."""
        return None if self._open is None else self._open.publish()

    @property
    def _scan(self) -> Scan:
        if self._open is None:
            raise InvalidArgument("no scan is open; expected open_scan before this")
        return self._open

    def hello(self) -> Result:
        return {
            "version": library.version(),
            "abi": _abi.ABI_VERSION,
            "devices": [{"name": name} for name in library.devices()],
            "pid": os.getpid(),
            "threads": library.thread_count(),
        }

    def load_model(
        self,
        path: Optional[str] = None,
        device: str = "auto",
        precision: str = "auto",
        threads: Optional[int] = None,
    ) -> Result:
        """Another model closes the scan; the same one changes nothing."""
        if threads is not None:
            library.set_thread_count(threads)
        if self._models.load(path, device, precision):
            self.close_scan()
        return self._models.describe()

    def open_scan(
        self,
        memory: str,
        shape: list[int],
        dtype: str,
        results: str,
        ijk_to_ras: Optional[list[list[float]]] = None,
        axis: str = "auto",
        window: Optional[list[float]] = None,
        cache_bytes: Optional[int] = None,
    ) -> Result:
        model = self._models.model
        self.close_scan()
        voxels, labels = open_arrays(memory, shape, dtype, results)
        options = {"ijk_to_ras": ijk_to_ras, "axis": axis, "window": window, "cache_bytes": cache_bytes}
        self._open = Scan(model, voxels, labels, **options)
        return self._open.describe()

    def close_scan(self) -> Result:
        scan, self._open = self._open, None
        if scan is not None:
            scan.close()
        return {}

    def set_axis(self, axis: AxisChoice) -> Result:
        self._scan.set_axis(axis)
        return self._scan.describe()

    def set_window(self, window: Optional[list[float]] = None) -> Result:
        self._scan.session.set_window(window)
        return {}

    def reset(self) -> Result:
        self._scan.reset()
        return {}

    def set_prompts(self, object: int, slices: list[dict[str, Any]]) -> Result:
        return {"steps": self._scan.set_prompts(object, slices)}

    def predict(self, object: int, slice: int) -> Result:
        mask, score = self._scan.session.predict_slice(object, slice)
        return {"mask": pack(mask), "score": known(score)}

    def propagate(self, **options: Any) -> Result:
        scan = self._scan
        given = {name: value for name, value in options.items() if value is not None}
        return Running(scan.session.start_propagate(**given), False, scan.publish)

    def precompute(self) -> Result:
        scan = self._scan
        return Running(scan.session.start_precompute(), True, scan.publish)

    def scores(self, object: int) -> Result:
        return {"scores": [known(score) for score in self._scan.session.scores(object).tolist()]}

    # For tests of what happens to a worker.

    def sleep(self, seconds: float) -> Result:
        """As a long computation: nothing is read meanwhile."""
        time.sleep(seconds)
        return {}

    def die(self, signal: int) -> Result:
        os.kill(os.getpid(), signal)
        return {}
