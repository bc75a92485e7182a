"""A scene of arrays and an engine of thresholds, for tests of the controller that need neither Slicer nor a network.

The engine's "network": from a prompted slice outwards, a slice's mask is where the scan is as bright as the object
number says (object n: n times 100), until there is none.
"""

import numpy as np
from promem.worker import EngineError, masks
from SegmentEditorProMemLib.grid import AXES, Extent, Grid


class SceneError(Exception):
    pass


class ArrayScene:
    """What `Scene` is, over numpy. `allowed`: where the editor's masking lets writes through."""

    Error = SceneError

    def __init__(self, voxels, segments=("liver",), ijk_to_ras=None):
        self.array = voxels
        self.allowed = np.ones(voxels.shape, bool)
        self.masks = {name: np.zeros(voxels.shape, bool) for name in segments}
        self.placed = {name: [] for name in segments}
        self.boxes = dict.fromkeys(segments)
        self.previews = {}
        self.undo_states = []
        self.writes = []
        self.stamp = 1
        self.shown_window = (400.0, 200.0)
        self.on_prompts_changed = lambda segment: None
        self._grid = Grid(voxels.shape, np.diag([0.7, 0.8, 3.0, 1.0]) if ijk_to_ras is None else ijk_to_ras)
        self.closed = False
        self.surfaces_are_behind = False

    def grid(self):
        return self._grid

    def voxels(self):
        return self.array

    def source_stamp(self):
        return self.stamp

    def window(self):
        return self.shown_window

    def segment_ids(self):
        return list(self.masks)

    def name(self, segment):
        return segment.capitalize()

    def selected(self):
        return next(iter(self.masks), None)

    def mask(self, segment, extent=None):
        if segment not in self.masks:
            raise SceneError(f"segment {segment}: it is not there any more")
        return self.masks[segment][(extent or Extent.whole(self.array.shape)).slices].copy()

    def occupied(self, segment):
        return Extent.of(self.masks[segment])

    def save_undo(self):
        self.undo_states.append({name: mask.copy() for name, mask in self.masks.items()})

    def edit_stamp(self):
        return {name: mask.tobytes() for name, mask in self.masks.items()}

    def undo(self):
        self.masks = self.undo_states.pop()
        self.surfaces_are_behind = True

    def write(self, segment, extent, mask):
        assert mask.shape == extent.shape
        self.writes.append((segment, extent))
        self.surfaces_are_behind = True
        allowed = self.allowed[extent.slices]
        held = self.masks[segment][extent.slices]
        held[allowed] = mask[allowed]

    def update_surfaces(self):
        self.surfaces_are_behind = False

    def show_preview(self, segment, axis, slice_, mask):
        if mask is None:
            self.previews.pop((segment, slice_), None)
        else:
            self.previews[segment, slice_] = mask

    def clear_previews(self):
        self.previews.clear()

    def add_point(self, segment, ras, positive):
        self.placed[segment].append((tuple(ras), positive))

    def points(self, segment):
        return list(self.placed[segment])

    def remove_last_point(self, segment):
        if self.placed[segment]:
            self.placed[segment].pop()

    def set_box(self, segment, ras, opposite, axis):
        self.boxes[segment] = (tuple(ras), tuple(opposite))

    def box(self, segment):
        return self.boxes[segment]

    def show_prompts(self, segment):
        self.shown_prompts = segment

    def clear_prompts(self, segment):
        self.placed[segment].clear()
        self.boxes[segment] = None

    def close(self):
        self.closed = True


class Memory:
    def __init__(self, array):
        self.array = array
        self.name = f"memory-{id(self)}"
        self.closed = False

    def close(self):
        self.closed = True


class ThresholdEngine:
    """What `promem.worker.Engine` is, without a process: each `poll` answers one request or makes one slice."""

    def __init__(self):
        self.state = "stopped"
        self.on_event = self.on_died = None
        self.requests = []
        self.memories = {}
        self.computed = []
        self.prompts = {}
        self.dies_at = None
        self.refuses = {}
        self.tells_again = False  # as the real engine does of what it found in the other direction
        self._open = []
        self._walk = None

    def count(self, method):
        return sum(name == method for name, _ in self.requests)

    def last(self, method):
        return [arguments for name, arguments in self.requests if name == method][-1]

    def start(self):
        self.state = "running"

    def stop(self, seconds=1.0):
        self.state = "stopped"

    def scan_memory(self, shape, dtype):
        memory = Memory(np.zeros(shape, dtype))
        self.memories[memory.name] = memory
        return memory

    def send(self, method, done=None, failed=None, **arguments):
        self.requests.append((method, arguments))
        if method == "cancel":
            if self._walk is not None:
                self._walk["cancelled"] = True
            return len(self.requests)
        self._open.append((method, arguments, done or (lambda r: None), failed or (lambda e: None)))
        return len(self.requests)

    def poll(self):
        if self._walk is not None:
            return self._step()
        if not self._open:
            return None
        method, arguments, done, failed = self._open.pop(0)
        if method in self.refuses:
            return failed(EngineError(*self.refuses.pop(method)))
        if method == "propagate":
            self._begin(arguments, done, failed)
            return None
        return done(getattr(self, "_" + method)(**arguments) or {})

    def _hello(self):
        return {"version": "1", "devices": [{"name": "cpu"}]}

    def _load_model(self, **arguments):
        return {"network": "threshold", **arguments}

    def _open_scan(self, memory, shape, dtype, ijk_to_ras, axis, window, results):
        self.voxels, self.results = self.memories[memory].array, self.memories[results].array
        assert list(self.voxels.shape) == shape and self.voxels.dtype.str == dtype
        self.axis = axis
        self.prompts.clear()
        return {"axis": axis, "slices": shape[AXES[axis]], "slice_shape": []}

    def _set_axis(self, axis):
        self.axis = axis
        self.prompts.clear()
        return {"axis": axis, "slices": self.voxels.shape[AXES[axis]]}

    def _set_window(self, window):
        return {}

    def _set_prompts(self, object, slices):
        if not slices:
            self.prompts.pop(object, None)
            self.results[self.results == object] = 0
        else:
            self.prompts[object] = {entry["slice"]: entry for entry in slices}

    def _plane(self, object, slice_):
        entry = self.prompts[object].get(slice_, {})
        if entry.get("mask") and not entry.get("points"):
            return masks.unpack(entry["mask"])
        return np.take(self.voxels, slice_, AXES[self.axis]) == object * 100

    def _predict(self, object, slice):
        return {"mask": masks.pack(self._plane(object, slice)), "score": 0.9}

    def _scores(self, object):
        planes = np.moveaxis(self.results, AXES[self.axis], 0)
        return {"scores": [0.8 if (plane == object).any() else None for plane in planes]}

    def _begin(self, arguments, done, failed):
        first, last = arguments["range"]
        prompted = sorted(self.prompts[arguments["object"]])
        order = [slice_ for slice_ in prompted if first <= slice_ <= last]
        if arguments["direction"] in ("both", "up"):
            order += [slice_ for slice_ in range(prompted[0] + 1, last + 1) if slice_ not in order]
        if arguments["direction"] in ("both", "down"):
            order += [slice_ for slice_ in range(prompted[-1] - 1, first - 1, -1) if slice_ not in order]
        if self.tells_again:
            order += [
                slice_ for object_, slice_ in self.computed if object_ == arguments["object"] and slice_ not in order
            ]
        self._walk = {
            "object": arguments["object"],
            "order": order,
            "at": 0,
            "cancelled": False,
            "done": done,
            "failed": failed,
        }
        planes = np.moveaxis(self.results, AXES[self.axis], 0)
        planes[planes == arguments["object"]] = 0

    def _step(self):
        walk = self._walk
        if self.dies_at is not None and walk["at"] >= self.dies_at:
            self.dies_at, self._walk, self.state = None, None, "stopped"
            self.prompts.clear()
            self._open.clear()
            walk["failed"](EngineError("Died", "The engine was killed (SIGKILL)."))
            return self.on_died("The engine was killed (SIGKILL).")
        if walk["cancelled"] or walk["at"] == len(walk["order"]):
            self._walk = None
            return walk["done"]({"cancelled": walk["cancelled"], "seconds": 1.0})
        object_, slice_ = walk["object"], walk["order"][walk["at"]]
        walk["at"] += 1
        self.computed.append((object_, slice_))
        mask = self._plane(object_, slice_)
        if not mask.any():
            return None
        np.moveaxis(self.results, AXES[self.axis], 0)[slice_][mask] = object_
        step = {
            "event": "progress",
            "object": object_,
            "slice": slice_,
            "done": walk["at"],
            "expected": len(walk["order"]),
        }
        self.on_event({**step, "score": 0.8, "found": True})
        self.on_event({"event": "changed", "extent": [0, 0, 0, 0, 0, 0]})
        return None
