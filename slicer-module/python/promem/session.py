"""Sessions: a scan seen along one axis through a model, with prompts and with what was found from them."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from . import _abi, _arguments
from ._arguments import Extent, ExtentLike, object_number, slice_number
from ._callbacks import ProgressReceiver
from ._handle import Handle
from .job import Job
from .model import Model
from .options import propagate_options


@dataclass(frozen=True)
class Prompt:
    """What is said of an object on a slice. points: how many."""

    object: int
    slice: int
    points: int
    has_box: bool
    has_mask: bool


@dataclass(frozen=True)
class Progress:
    """A slice of an object, just made.

    done: how many slices times objects; expected: of how many (it falls when a run ends early). score: the mask's predicted IoU; 1 for a
    mask that was given. found: False where the object was not found and its run ended.
    """

    object: int
    slice: int
    done: int
    expected: int
    score: float
    found: bool


class Session:
    """A scan seen through a model. Voxel indices are (i, j, k), arrays [k, j, i]; all count from 0.

    What only reads (`labels`, `mask`, `scores`, `take_changes`, `cancel` and the properties but `prompts`) may be called from any thread
    at any time, also inside a progress callback. Of the rest one may run at a time; while it does, or while a job runs, they raise Busy.
    Every method raises Closed after `close`.
    """

    def __init__(
        self,
        model: Model,
        voxels: np.ndarray,
        ijk_to_ras: Any = None,
        spacing: Optional[Sequence[float]] = None,
        axis: str = "auto",
        window: Optional[tuple[float, float]] = None,
        copy: bool = False,
        cache_bytes: Optional[int] = None,
    ) -> None:
        """Begins a session.

        voxels: an array [k, j, i] of int8 to int64, uint8 to uint64, float32 or float64, of any strides; values that are not finite count
            as the lowest. It is read in place, and kept alive, but must not change until the session is closed.
        ijk_to_ras: the map from (i, j, k, 1) to millimetres (right, anterior, superior), 4x4 or its upper 3x4; it must have an inverse.
        spacing: instead of it, millimetres along i, j, k. Without either: 1 mm.
        axis: "i", "j" or "k", across which the slices lie; "auto": that of the largest spacing, at a tie "k".
        window: the intensities that the network sees, (width, level) as viewers have them; None: chosen from the scan and the object.
        copy: copy the voxels (to 4 bytes each), so that the array may change.
        cache_bytes: bound of the embeddings that are kept; None: 1 GiB.

        Errors: Unsupported for a scalar type, InvalidArgument for a shape or an option, BadFormat for a map without an inverse.
        """
        kept = _arguments.voxels(voxels)
        volume = _arguments.volume(kept, ijk_to_ras, spacing)
        options = _abi.SessionOptions(struct_size=ctypes.sizeof(_abi.SessionOptions))
        options.axis = _arguments.choice(axis, _abi.AXES, "axis")
        options.window_width, options.window_level = _arguments.window(window)
        options.copy_voxels = bool(copy)
        if cache_bytes is not None:
            # 0 is the default in C; here it means what it says.
            options.cache_bytes = max(1, _arguments.whole(cache_bytes, "cache_bytes", 64))

        def new(pointer: Any) -> None:
            model._handle.call("promem_session_new", ctypes.byref(volume), ctypes.byref(options), pointer)

        self._shape: tuple[int, int, int] = kept.shape
        self._handle = Handle(
            self,
            "session",
            _abi.Session,
            new,
            "promem_session_free",
            "promem_session_cancel",
            keep=None if copy else kept,
        )

    # What is seen.

    @property
    def shape(self) -> tuple[int, int, int]:
        """The scan's size [k, j, i]."""
        return self._shape

    @property
    def axis(self) -> str:
        """The axis that slices lie across: "i", "j" or "k"."""
        return self._slices()[0]

    @property
    def slice_count(self) -> int:
        return self._slices()[1]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Rows and columns of a slice. Across k they are (j, i), across j (k, i), across i (k, j): of an array [k, j, i], what is left when
        the axis is indexed.
        """
        return self._slices()[2]

    def _slices(self) -> tuple[str, int, tuple[int, int]]:
        axis, count, rows, columns = ctypes.c_uint32(), ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
        self._handle.call("promem_session_slices", axis, count, rows, columns)
        name = next(name for name, number in _abi.AXES.items() if number == axis.value)
        return name, count.value, (rows.value, columns.value)

    def set_axis(self, axis: str) -> None:
        """Sees the scan across another axis. Where it is another, prompts, results and embeddings are dropped."""
        self._handle.call("promem_session_set_axis", _arguments.choice(axis, _abi.AXES, "axis"))

    def set_window(self, window: Optional[tuple[float, float]]) -> None:
        """Shows the network other intensities: (width, level); None: chosen from the scan and the object. Prompts and results stay."""
        self._handle.call("promem_session_set_window", *_arguments.window(window))

    def set_cache_limit(self, cache_bytes: Optional[int]) -> None:
        """Another bound of the embeddings that are kept; None: 1 GiB. What does not fit is dropped."""
        limit = 0 if cache_bytes is None else max(1, _arguments.whole(cache_bytes, "cache_bytes", 64))
        self._handle.call("promem_session_set_cache_limit", limit)

    def reset(self) -> None:
        """Takes back every prompt and every result. A session is good again after this, whatever went wrong before."""
        self._handle.call("promem_session_reset")

    # What is said of objects. An object's number, 1 to 65535, is its label.

    @property
    def prompts(self) -> list[Prompt]:
        """What has been said, by object, then slice."""
        count = ctypes.c_size_t()
        self._handle.call("promem_session_prompt_count", ctypes.byref(count))
        found = (_abi.Prompt * count.value)()
        self._handle.call("promem_session_list_prompts", found, count.value)
        return [Prompt(p.object, p.slice, p.points, bool(p.has_box), bool(p.has_mask)) for p in found]

    def add_point(self, object: int, ijk: Sequence[int], positive: bool = True) -> None:
        """Says that a voxel belongs to an object, or (`positive` False) does not. Errors: InvalidArgument, Busy."""
        at = _arguments.indices(ijk, "point")
        self._handle.call("promem_session_add_point", object_number(object), at, bool(positive))

    def add_box(self, object: int, corner_ijk: Sequence[int], opposite_ijk: Sequence[int]) -> None:
        """Gives an object's box on a slice: two opposite corners, both inside; it replaces an earlier box of that slice.

        Errors: InvalidArgument for corners outside the volume or on two slices, Busy.
        """
        corners = (_arguments.indices(ijk, "box corner") for ijk in (corner_ijk, opposite_ijk))
        self._handle.call("promem_session_add_box", object_number(object), *corners)

    def add_mask(self, object: int, slice: int, mask: Any) -> None:
        """Gives an object's mask on a slice, an array of `slice_shape`, not 0 inside; it replaces an earlier one.

        Alone it is the result on its slice, voxel for voxel; beside points or a box it guides what they select.
        Errors: InvalidArgument for another shape or an empty mask, Busy.
        """
        given = _arguments.mask(mask, self.slice_shape)
        bytes_ = _arguments.pointer(given, ctypes.c_uint8)
        self._handle.call("promem_session_add_mask", object_number(object), slice_number(slice), bytes_, given.size)

    def remove_last_point(self, object: int, slice: int) -> None:
        """Takes back the newest point of an object on a slice. Errors: InvalidArgument where there is none, Busy."""
        self._handle.call("promem_session_remove_last_point", object_number(object), slice_number(slice))

    def remove_slice(self, object: int, slice: int) -> None:
        """Takes back everything said of an object on a slice. Errors: InvalidArgument where there is nothing, Busy."""
        self._handle.call("promem_session_remove_slice", object_number(object), slice_number(slice))

    def remove_object(self, object: int) -> None:
        """Takes back everything said of an object. Errors: InvalidArgument where there is nothing, Busy."""
        self._handle.call("promem_session_remove_object", object_number(object))

    def clear_prompts(self) -> None:
        """Takes back every prompt. Results stay until the next propagation or `reset`."""
        self._handle.call("promem_session_clear_prompts")

    # What is computed.

    def predict_slice(self, object: int, slice: int) -> tuple[np.ndarray, float]:
        """What the prompts of an object on a slice select there: a mask (bool, of `slice_shape`) and its predicted IoU (1 for a mask that
        was given). Results of propagations are not touched, and the next one begins with this.

        Errors: InvalidArgument without a positive prompt there, ComputeError, Busy.
        """
        mask, score = np.zeros(self.slice_shape, np.uint8), ctypes.c_double()
        room = _arguments.pointer(mask, ctypes.c_uint8)
        number = object_number(object), slice_number(slice)
        self._handle.call("promem_session_predict_slice", *number, room, mask.size, ctypes.byref(score))
        return mask.view(np.bool_), score.value

    def propagate(self, progress: Optional[Callable[[Progress], Any]] = None, **options: Any) -> None:
        """Segments: walks from every prompted slice, and keeps what it finds for `labels`, `mask` and `scores`.

        progress: called after each slice, on this thread; where it returns False the walk stops. What it raises stops the walk, too, and
            is raised here; so does Ctrl-C.
        options: see `promem.propagate_options`.

        What an earlier propagation found from the same prompts with the same search is not computed again: after a new prompt only what
        it can change is, and after a cancel it goes on where it stood.

        Errors: InvalidArgument without prompts or for an option, Cancelled, ComputeError (what was done is kept), Busy.
        """
        chosen = propagate_options(**options)
        receiver = ProgressReceiver(None if progress is None else lambda told: progress(_progress(told)) is not False)
        self._handle.call("promem_session_propagate", ctypes.byref(chosen), receiver.callback, None)

    def start_propagate(self, **options: Any) -> Job:
        """As `propagate`, in the background. Errors: InvalidArgument for an option, Busy; what goes wrong later is raised by `Job.wait`."""
        chosen = propagate_options(**options)
        return Job(self, lambda job: self._handle.call("promem_session_start_propagate", ctypes.byref(chosen), job))

    def start_precompute(self) -> Job:
        """Computes embeddings in the background, those next to prompts first, until the cache is full.

        Models that see the object and its surroundings (the default one) know what to compute only once there is a prompt.
        Errors: Busy.
        """
        return Job(self, lambda job: self._handle.call("promem_session_start_precompute", job))

    def cancel(self) -> None:
        """Ends what is running after the slice that it is at. Does nothing where nothing runs."""
        self._handle.call("promem_session_cancel")

    # What was found.

    def labels(self, extent: Optional[ExtentLike] = None) -> np.ndarray:
        """The number of the object at each voxel, 0 where there is none: uint16 [k, j, i], of the volume or an extent.

        Where objects overlap, the higher score on that slice wins, at a tie the lower number. Errors: InvalidArgument for an extent.
        """
        box, shape = _arguments.extent(extent, self._shape)
        labels = np.empty(shape, np.uint16)
        room = _arguments.pointer(labels, ctypes.c_uint16)
        self._handle.call("promem_session_read_labels", box, room, labels.size)
        return labels

    def mask(self, object: int, extent: Optional[ExtentLike] = None) -> np.ndarray:
        """One object's mask, whatever other objects claim: bool [k, j, i], of the volume or an extent; empty without a result."""
        box, shape = _arguments.extent(extent, self._shape)
        mask = np.empty(shape, np.uint8)
        room = _arguments.pointer(mask, ctypes.c_uint8)
        self._handle.call("promem_session_read_mask", object_number(object), box, room, mask.size)
        return mask.view(np.bool_)

    def scores(self, object: int) -> np.ndarray:
        """An object's score on every slice, float64: the predicted IoU, 1 for a mask that was given, NaN where it has none."""
        scores = np.empty(self.slice_count, np.float64)
        room = _arguments.pointer(scores, ctypes.c_double)
        self._handle.call("promem_session_read_scores", object_number(object), room, scores.size)
        return scores

    def take_changes(self) -> Optional[Extent]:
        """The box of the voxels whose label may have changed since the last call; None where nothing has."""
        box, any_ = (ctypes.c_int64 * 6)(), ctypes.c_uint32()
        self._handle.call("promem_session_take_changes", box, ctypes.byref(any_))
        return Extent((box[0], box[1]), (box[2], box[3]), (box[4], box[5])) if any_.value else None

    def close(self) -> None:
        """Cancels what runs, waits for it, and frees the session; the voxels may change then. Closing twice is allowed."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _progress(told: _abi.Progress) -> Progress:
    return Progress(told.object, told.slice, told.done, told.expected, told.score, bool(told.found))
