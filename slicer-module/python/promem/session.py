"""Sessions: a scan seen along one axis through a model, with prompts and with what was found from them."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Optional

import numpy as np

from . import _abi, _arguments, _images, _prompts, _voxels
from ._arguments import Extent, ExtentLike, object_number, slice_number
from ._callbacks import ProgressReceiver, goes_on
from ._handle import Handle, Owner
from .errors import InvalidArgument
from .job import Job
from .model import Model
from .options import propagate_options
from .progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from .options import PropagateKeywords

Axis = Literal["i", "j", "k"]
AxisChoice = Literal["auto", "i", "j", "k"]
Space = Literal["RAS", "LPS"]


@dataclass(frozen=True)
class Prompt:
    """What is said of an object on a slice.

    points: how many count, clicks and points of scribbles since the newest mask. has_box: whether a box counts.
    regions: how many were added to the mask or taken away from it, lassos and boxes that exclude. prompts: how many
    lie on the slice, of any kind.
    """

    object: int
    slice: int
    points: int
    has_box: bool
    has_mask: bool
    regions: int
    prompts: int


class Session(Owner):
    """A scan seen through a model. Voxel indices are (i, j, k), arrays [k, j, i]; all count from 0.

    What only reads (`labels`, `mask`, `scores`, `take_changes`, `cancel` and the properties but `prompts`) may be
    called from any thread at any time, also inside a progress callback. Of the rest one may run at a time; while it
    does, or while a job runs, they raise Busy. Every method raises Closed after `close`.
    """

    _instead_of_a_copy = (
        "it works on memory of this process; begin another promem.Session of the same image and add its prompts, or "
        "pass on what labels() gives"
    )

    @_arguments.refuses(
        spacing="give spacing_ijk=(along i, along j, along k), which is the reverse of the array's axes [k, j, i]",
        affine="give ijk_to_ras=, which is what nibabel calls an affine",
        voxels="give the array first, or as image=",
    )
    def __init__(
        self,
        model: Model,
        image: Any,
        ijk_to_ras: Any = None,
        *,
        spacing_ijk: Optional[Sequence[float]] = None,
        axis: AxisChoice = "auto",
        window: Optional[Sequence[float]] = None,
        copy: bool = False,
        cache_bytes: Optional[int] = None,
    ) -> None:
        """Begins a session.

        image: an array [k, j, i] of int8 to int64, uint8 to uint64, float32 or float64, of any strides, or what numpy
            reads in place; or an image of nibabel, SimpleITK or ITK, which says itself where its voxels lie. Values
            that are not finite count as the lowest. It is read in place, and kept alive, but must not change until the
            session is closed.
        ijk_to_ras: the map from (i, j, k, 1) to millimetres (right, anterior, superior), 4x4 or its upper 3x4; it must
            have an inverse. nibabel calls it an image's affine.
        spacing_ijk: instead of it, millimetres along i, j, k: the order of voxel indices, not that of the array's axes.
            Without either: 1 mm.
        axis: "i", "j" or "k", across which the slices lie; "auto": that of the largest spacing, at a tie "k".
        window: the intensities that the network sees, (width, level) as viewers have them; None: chosen from the scan
            and the object.
        copy: copy the voxels (to 4 bytes each), so that the array may change.
        cache_bytes: bound of the embeddings that are kept; None: 1 GiB.

        Errors: Unsupported for a scalar type, InvalidArgument for a shape or an option, BadFormat for a map without an
        inverse.
        """
        read = _images.read(image)
        kept = _voxels.readable(read.voxels)
        self._ijk_to_ras, map_ = _voxels.placed(read.ijk_to_ras, ijk_to_ras, spacing_ijk)
        self._back = read.back
        volume = _voxels.described(kept, map_)
        options = _abi.SessionOptions(struct_size=ctypes.sizeof(_abi.SessionOptions))
        options.axis = _arguments.choice(axis, _abi.AXES, "axis")
        options.window_width, options.window_level = _arguments.window(window)
        options.copy_voxels = bool(copy)
        if cache_bytes is not None:
            # 0 is the default in C; here it means what it says.
            options.cache_bytes = max(1, _arguments.whole(cache_bytes, "cache_bytes", 64))

        def new(pointer: Any) -> None:
            model._handle.call("promem_session_new", ctypes.byref(volume), ctypes.byref(options), pointer)

        k, j, i = kept.shape
        self._shape: tuple[int, int, int] = k, j, i
        self._handle = Handle(
            self,
            "session",
            _abi.Session,
            new,
            "promem_session_free",
            "promem_session_cancel",
            keep=None if copy else (kept, read.keep),
        )

    # What is seen.

    @property
    def shape(self) -> tuple[int, int, int]:
        """The scan's size [k, j, i]."""
        return self._shape

    @property
    def ijk_to_ras(self) -> "Optional[NDArray[np.float64]]":
        """The map from (i, j, k, 1) to millimetres (right, anterior, superior), 4x4; None where neither the image nor
        the caller said.
        """
        return None if self._ijk_to_ras is None else self._ijk_to_ras.copy()

    @property
    def axis(self) -> Axis:
        """The axis that slices lie across: "i", "j" or "k"."""
        return self._slices()[0]

    @property
    def slice_count(self) -> int:
        return self._slices()[1]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """Rows and columns of a slice. Across k they are (j, i), across j (k, i), across i (k, j): of an array [k, j,
        i], what is left when the axis is indexed.
        """
        return self._slices()[2]

    def _slices(self) -> tuple[Axis, int, tuple[int, int]]:
        axis, count, rows, columns = ctypes.c_uint32(), ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_uint64()
        self._handle.call("promem_session_slices", axis, count, rows, columns)
        names: tuple[Axis, ...] = ("i", "j", "k")
        return names[axis.value - _abi.AXES["i"]], count.value, (rows.value, columns.value)

    def set_axis(self, axis: AxisChoice) -> None:
        """Sees the scan across another axis. Where it is another, prompts, results and embeddings are dropped."""
        self._handle.call("promem_session_set_axis", _arguments.choice(axis, _abi.AXES, "axis"))

    def set_window(self, window: Optional[Sequence[float]]) -> None:
        """Shows the network other intensities: (width, level); None: chosen from the scan and the object. Prompts and
        results stay.
        """
        self._handle.call("promem_session_set_window", *_arguments.window(window))

    def set_cache_limit(self, cache_bytes: Optional[int]) -> None:
        """Another bound of the embeddings that are kept; None: 1 GiB. What does not fit is dropped."""
        limit = 0 if cache_bytes is None else max(1, _arguments.whole(cache_bytes, "cache_bytes", 64))
        self._handle.call("promem_session_set_cache_limit", limit)

    def reset(self) -> None:
        """Takes back every prompt, the masks of `set_initial` and every result. A session is good again after this, whatever went wrong before."""
        self._handle.call("promem_session_reset")

    # What is said of objects. An object's number, 1 to 65535, is its label.

    @property
    def prompts(self) -> list[Prompt]:
        """What has been said, by object, then slice."""
        count = ctypes.c_size_t()
        self._handle.call("promem_session_prompt_count", ctypes.byref(count))
        found = (_abi.Prompt * count.value)()
        self._handle.call("promem_session_list_prompts", found, count.value)
        return [
            Prompt(p.object, p.slice, p.points, bool(p.has_box), bool(p.has_mask), p.regions, p.prompts) for p in found
        ]

    def add_point(self, object: int, ijk: Sequence[int], positive: bool = True) -> None:
        """Says that a voxel belongs to an object, or (`positive` False) does not.

        Prompts of an object are an ordered history: each refines the mask that its slices have by then, of earlier
        prompts or of a propagation. `undo` takes back the newest.

        Errors: InvalidArgument, also for `positive` False where the slice has no mask of the object; Busy.
        """
        at = _arguments.indices(ijk, "point")
        self._handle.call("promem_session_add_point", object_number(object), at, bool(positive))

    def add_point_mm(
        self, object: int, point: Sequence[float], *, space: Space, positive: bool = True
    ) -> tuple[int, int, int]:
        """As `add_point`, of a point in millimetres; returns the voxel (i, j, k) that it lies in.

        space: what the three numbers are: "RAS", right, anterior, superior, as in Slicer and nibabel; "LPS", left,
            posterior, superior, as in DICOM, SimpleITK and ITK.

        Errors: InvalidArgument for a point outside the scan, and where neither the image nor `ijk_to_ras` said where
        the scan lies; Busy.
        """
        if self._ijk_to_ras is None:
            raise InvalidArgument(
                "point in mm: it is not known where this scan lies, expected an image of nibabel, SimpleITK or ITK, or "
                "ijk_to_ras=, when the session began"
            )
        voxel = _prompts.voxel_at(point, space, self._ijk_to_ras, self._shape)
        self.add_point(object, voxel, positive)
        return voxel

    def add_scribble(self, object: int, voxels: Sequence[Sequence[int]], positive: bool = True) -> None:
        """Draws a line on an object, or (`positive` False) beside it.

        voxels: (i, j, k) each, or an array of shape (n, 3), joined by straight lines on any plane or across planes.
            The line becomes points on every slice that it crosses, which refine the mask there.

        Errors: InvalidArgument for a voxel outside the scan, none, and as for `add_point`; Busy.
        """
        line, count = _arguments.voxels(voxels, "scribble")
        self._handle.call("promem_session_add_scribble", object_number(object), line, count, bool(positive))

    def add_lasso(self, object: int, corners: Sequence[Sequence[int]], positive: bool = True) -> None:
        """Draws a closed polygon.

        corners: at least 3 voxels (i, j, k), or an array of shape (n, 3), on one plane: equal along one axis.
        positive: on a slice the region is added to the object's mask; without a mask there it goes around the object.
            False: it is taken away from the mask, to the voxel. On a plane across the slices: points inside the
            polygon, on every slice that it crosses.

        Errors: InvalidArgument for fewer corners, several planes, and as for `add_point`; Busy.
        """
        polygon, count = _arguments.voxels(corners, "lasso")
        self._handle.call("promem_session_add_lasso", object_number(object), polygon, count, bool(positive))

    def add_box_3d(
        self, object: int, corner_ijk: Sequence[int], opposite_ijk: Sequence[int], positive: bool = True
    ) -> None:
        """Gives a box over several slices: two opposite corners, both inside.

        positive: the object lies on the slices of the box and of its other prompts only, and the box is a prompt on the
            middle one; flat on a plane across the slices, a point in its middle is. On one slice it is as `add_box`.
            False: what lies in the box is taken away from the object's masks, to the voxel.

        Errors: InvalidArgument for corners outside the scan and as for `add_point`; Busy.
        """
        corners = (_arguments.indices(ijk, "box corner") for ijk in (corner_ijk, opposite_ijk))
        self._handle.call("promem_session_add_box_3d", object_number(object), *corners, bool(positive))

    def add_box(self, object: int, corner_ijk: Sequence[int], opposite_ijk: Sequence[int]) -> None:
        """Gives an object's box on a slice: two opposite corners, both inside; it replaces an earlier box of that
        slice.

        Errors: InvalidArgument for corners outside the volume or on two slices, Busy.
        """
        corners = (_arguments.indices(ijk, "box corner") for ijk in (corner_ijk, opposite_ijk))
        self._handle.call("promem_session_add_box", object_number(object), *corners)

    def add_mask(self, object: int, slice: int, mask: Any) -> None:
        """Gives an object's mask on a slice, an array of `slice_shape`.

        mask: truth values, or numbers: 0 outside, and one other value inside (1, 255, a label). NaN and a second value,
            such as probabilities have, are refused: say `mask > 0.5`, or `labels == 3`.

        It is the result on its slice, voxel for voxel, and takes the place of the slice's earlier prompts; later ones
        refine it.

        Errors: InvalidArgument for another shape, other values or an empty mask, Busy.
        """
        given = _prompts.slice_mask(mask, self.slice_shape)
        bytes_ = _voxels.pointer(given, ctypes.c_uint8)
        self._handle.call("promem_session_add_mask", object_number(object), slice_number(slice), bytes_, given.size)

    def add_label_map(self, label_map: Any, *, slice: _prompts.Slices = None) -> dict[int, list[int]]:
        """Gives masks of several objects from one label map: each label is an object of that number. Returns the slices
        by object.

        label_map: whole numbers [k, j, i] of the scan's shape, 0 where there is no object; or an image of nibabel,
            SimpleITK or ITK on the scan's grid.
        slice: which of a label's slices count: a number or several, on which each label must be; "all"; None: the
            middle of the label's extent, as on the command line. A label that lies on one slice is taken as it is.

        Errors: InvalidArgument for another shape, grid or values, Busy. Nothing is added then.
        """
        read = _images.read(label_map, "label map")
        position = "kji".index(self.axis)
        masks = _prompts.label_map(read.voxels, self._shape, position, slice)
        if read.ijk_to_ras is not None and self._ijk_to_ras is not None:
            _voxels.check_same_grid(self._ijk_to_ras, read.ijk_to_ras, self._shape, "label map")
        for object, slices in masks.items():
            for number, mask in slices.items():
                self.add_mask(object, number, mask)
        return {object: list(slices) for object, slices in masks.items()}

    def set_initial(self, label_map: Any) -> None:
        """Begins with masks that exist, of a former result or another tool. They are the result until the next
        propagation, and its beginning: prompts correct them. What was found before is dropped, and so are masks that
        were set before; prompts stay.

        label_map: as in `add_label_map`, where 0 everywhere sets no masks; None: no masks.

        Errors: InvalidArgument for another shape, grid or values, Busy.
        """
        if label_map is None:
            label_map = np.zeros(self._shape, np.uint16)
        read = _images.read(label_map, "label map")
        labels = _prompts.labels(read.voxels, self._shape)
        if read.ijk_to_ras is not None and self._ijk_to_ras is not None:
            _voxels.check_same_grid(self._ijk_to_ras, read.ijk_to_ras, self._shape, "label map")
        self._handle.call("promem_session_set_initial", _voxels.pointer(labels, ctypes.c_uint16), labels.size)

    def undo(self, object: int) -> bool:
        """Takes back the newest prompt of an object, whatever it is, on every slice that it lies on; False where there
        is none. The result changes with the next propagation. Errors: InvalidArgument, Busy.
        """
        undone = ctypes.c_uint32()
        self._handle.call("promem_session_undo", object_number(object), ctypes.byref(undone))
        return bool(undone.value)

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

    def predict_slice(self, object: int, slice: int) -> "tuple[NDArray[np.bool_], float]":
        """What the prompts of an object on a slice select there: a mask (bool, of `slice_shape`) and its predicted IoU
        (1 for a mask that was given). Results of propagations are not touched, and the next one begins with this.

        Errors: InvalidArgument without a positive prompt there, ComputeError, Busy.
        """
        mask, score = np.zeros(self.slice_shape, np.uint8), ctypes.c_double()
        room = _voxels.pointer(mask, ctypes.c_uint8)
        number = object_number(object), slice_number(slice)
        self._handle.call("promem_session_predict_slice", *number, room, mask.size, ctypes.byref(score))
        return mask.view(np.bool_), score.value

    def propagate(self, progress: Optional[ProgressCallback] = None, **options: "Unpack[PropagateKeywords]") -> None:
        """Segments: walks from every prompted slice, and keeps what it finds for `labels`, `mask` and `scores`.

        progress: called after each slice, on this thread. Where it returns something false (False, 0, numpy's False)
            the walk stops; None and anything true goes on. What it raises stops the walk, too, and is raised here; so
            does Ctrl-C.
        options: see `promem.propagate_options`.

        What an earlier propagation found from the same prompts with the same search is not computed again: after a new
        prompt only what it can change is, and after a cancel it goes on where it stood.

        Errors: InvalidArgument without prompts or for an option, Cancelled, ComputeError (what was done is kept), Busy.
        """
        chosen = propagate_options(**options)
        receiver = ProgressReceiver(None if progress is None else lambda told: goes_on(progress(_progress(told))))
        self._handle.call("promem_session_propagate", ctypes.byref(chosen), receiver.callback, None)

    def start_propagate(
        self, progress: Optional[ProgressCallback] = None, **options: "Unpack[PropagateKeywords]"
    ) -> Job:
        """As `propagate`, in the background. Keep the job: it is cancelled with the last reference to it.

        progress: called after each slice, on a thread of this package, one call after the other. Where it returns
            something false the job is cancelled; what it raises cancels the job, too, and is raised by `Job.wait`.

        Errors: InvalidArgument for an option, Busy; what goes wrong later is raised by `Job.wait`.
        """
        chosen = propagate_options(**options)

        def start(job: Any) -> None:
            self._handle.call("promem_session_start_propagate", ctypes.byref(chosen), job)

        return Job(self, start, progress)

    def start_precompute(self) -> Job:
        """Computes embeddings in the background, those next to prompts first, until the cache is full.

        Models that see the object and its surroundings (the default one) know what to compute only once there is a
        prompt.
        Errors: Busy.
        """
        return Job(self, lambda job: self._handle.call("promem_session_start_precompute", job))

    def cancel(self) -> None:
        """Ends what is running after the slice that it is at. Does nothing where nothing runs."""
        self._handle.call("promem_session_cancel")

    # What was found.

    def labels(self, extent: Optional[ExtentLike] = None) -> "NDArray[np.uint16]":
        """The number of the object at each voxel, 0 where there is none: uint16 [k, j, i], of the volume or an extent.

        Where objects overlap, the higher score on that slice wins, at a tie the lower number. Errors: InvalidArgument
        for an extent.
        """
        box, shape = _arguments.extent(extent, self._shape)
        labels = np.empty(shape, np.uint16)
        room = _voxels.pointer(labels, ctypes.c_uint16)
        self._handle.call("promem_session_read_labels", box, room, labels.size)
        return labels

    def label_image(self) -> Any:
        """The labels of the volume as what the session was given: an image of nibabel, SimpleITK or ITK on the same
        grid, else an array.
        """
        return self._back(self.labels())

    def mask(self, object: int, extent: Optional[ExtentLike] = None) -> "NDArray[np.bool_]":
        """One object's mask, whatever other objects claim: bool [k, j, i], of the volume or an extent; empty without a
        result.
        """
        box, shape = _arguments.extent(extent, self._shape)
        mask = np.empty(shape, np.uint8)
        room = _voxels.pointer(mask, ctypes.c_uint8)
        self._handle.call("promem_session_read_mask", object_number(object), box, room, mask.size)
        return mask.view(np.bool_)

    def scores(self, object: int) -> "NDArray[np.float64]":
        """An object's score on every slice, float64: the predicted IoU, 1 for a mask that was given, NaN where it has
        none.
        """
        scores = np.empty(self.slice_count, np.float64)
        room = _voxels.pointer(scores, ctypes.c_double)
        self._handle.call("promem_session_read_scores", object_number(object), room, scores.size)
        return scores

    def take_changes(self) -> Optional[Extent]:
        """The box of the voxels whose label may have changed since the last call; None where nothing has."""
        box, any_ = (ctypes.c_int64 * 6)(), ctypes.c_uint32()
        self._handle.call("promem_session_take_changes", box, ctypes.byref(any_))
        return Extent((box[0], box[1]), (box[2], box[3]), (box[4], box[5])) if any_.value else None

    def close(self) -> None:
        """Cancels what runs, waits for it, and frees the session; the voxels may change then. Closing twice is
        allowed.
        """
        super().close()

    def _describe(self) -> str:
        axis, slices, _ = self._slices()
        size = " x ".join(str(size) for size in self._shape[::-1])
        return f"on {size} voxels (i, j, k), {slices} slices across {axis}"


def _progress(told: _abi.Progress) -> Progress:
    return Progress(told.object, told.slice, told.done, told.expected, told.score, bool(told.found))
