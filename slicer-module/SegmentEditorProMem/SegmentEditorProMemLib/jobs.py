"""The controller's jobs: activate, preview, propagate.

Each is a generator that yields after a piece of work and where it waits for the engine.
"""

from collections.abc import Iterator
from typing import Any, Optional

from promem.worker import masks

from .connection import RequestFailed, Steps
from .grid import AXES, Extent
from .i18n import _
from .options import BadOption
from .prompts import is_positive, prompts_of
from .propagation import Propagation, Target, UndoStep
from .report import Progress, Report
from .slice_history import digests_of

# Voxels that are read from the scene between two yields.
MAX_VOXELS_PER_READ = 4 << 20


def activate(controller: Any) -> Steps:
    """Starts the engine and loads the model."""
    yield from controller.connection.load(controller.options, controller.show)
    controller.show("ready", _("Paint the object on one slice, or click into it."))


def preview(controller: Any, segment: str, slice_: int) -> Steps:
    """Shows the mask that the prompts of a slice predict."""
    connection, scene = controller.connection, controller.scene
    axis = controller.axis_of(segment)
    yield from connection.open(controller.options, axis, controller.show)
    prompts = prompts_of(scene, controller.initial_masks, segment, axis, None)
    if slice_ not in prompts or not is_positive(prompts[slice_]):
        scene.show_preview(segment, axis, slice_, None)
        controller.show("ready", _("This slice has only background points. Add a foreground point."))
        return
    controller.show("predicting", controller.message)
    yield from connection.set_prompts(segment, prompts)
    found = yield connection.call("predict", object=connection.object(segment), slice=slice_)
    scene.show_preview(segment, axis, slice_, masks.unpack(found["mask"]))
    controller.show(
        "ready",
        _("Slice {number}: predicted IoU {score:.2f}. Click to correct it, or propagate.").format(
            number=slice_ + 1, score=found["score"]
        ),
    )


def propagate(
    controller: Any, segments: list[str], direction: str, range_: Optional[tuple[int, int]], axis: Optional[str]
) -> Steps:
    """Propagates segments; those with the same axis are propagated together."""
    undo = UndoStep(controller.scene)
    try:
        yield from _propagate(controller, segments, direction, range_, axis, undo)
    finally:
        if undo.is_saved:
            controller.keep_run(segments)


def _propagate(
    controller: Any,
    segments: list[str],
    direction: str,
    range_: Optional[tuple[int, int]],
    axis: Optional[str],
    undo: UndoStep,
) -> Steps:
    scene = controller.scene
    groups: dict[str, list[str]] = {}
    for segment in segments:
        groups.setdefault(axis or controller.axis_of(segment), []).append(segment)
    done = []
    for along, group in groups.items():
        yield from controller.connection.open(controller.options, along, controller.show)
        count = scene.grid().count(along)
        span = (0, count - 1) if range_ is None else tuple(int(slice_) for slice_ in range_)
        if not 0 <= span[0] <= span[1] < count:
            raise BadOption(
                _("range: slices {first} to {last}, expected slices between 1 and {count}").format(
                    first=span[0] + 1, last=span[1] + 1, count=count
                )
            )
        for segment in group:
            controller.keep_axis(segment, along)
        done += yield from _group(controller, group, direction, span, along, len(segments) > 1, undo)
        if controller.cancelled is not None:
            break
    names = [f"{scene.name(report.segment)}: {report.summary}" if len(done) > 1 else report.summary for report in done]
    cancelled = [] if controller.cancelled is None else [_("Cancelled.")]
    controller.message = " ".join(cancelled + names)


def _group(
    controller: Any,
    segments: list[str],
    direction: str,
    span: tuple[int, int],
    axis: str,
    several: bool,
    undo: UndoStep,
) -> Steps:
    """Propagates segments along one axis: sends prompts, writes slices, records the result. Returns reports."""
    connection, scene = controller.connection, controller.scene
    controller.show("propagating", _("Reading the painted slices …"))
    targets = []
    for segment in segments:
        state = yield from read_state(controller, segment, axis)
        prompts = prompts_of(scene, controller.initial_masks, segment, axis, state)
        if not any(is_positive(given) for given in prompts.values()):
            if several:
                continue
            raise BadOption(
                _("{name}: nothing to start from. Paint it on one slice, click into it, or draw a box.").format(
                    name=scene.name(segment)
                )
            )
        yield from connection.set_prompts(segment, prompts)
        targets.append(Target(segment, connection.object(segment), state, tuple(sorted(prompts))))
    if not targets:
        raise BadOption(_("No segment has a prompt: paint at least one of them on a slice, or click into it."))
    yield from connection.clear_other_prompts([target.segment for target in targets])
    scene.clear_previews()
    propagation = Propagation(scene, connection.scan.grid, axis, connection.scan.labels, targets, direction, undo)
    controller.propagation = propagation
    for target in targets:
        controller.history(target.segment).record(target.before)
    try:
        for target in targets:
            if controller.cancelled is not None:
                break
            controller.show("propagating", _("Segmenting {name} …").format(name=scene.name(target.segment)))
            propagation.mark_started(target, controller.now)
            arguments = controller.options.propagate_arguments
            yield connection.call("propagate", object=target.object, direction=direction, range=list(span), **arguments)
            propagation.labels_updated()
        if controller.cancelled is None:
            propagation.clear_stale_results(span)
    except RequestFailed as failed:
        # The finished slices stay, as after a cancel.
        propagation.labels_updated()
        while propagation.pending:
            propagation.write(controller.now)
        yield from _record_result(controller, propagation)
        controller.propagation = None
        raise RequestFailed(
            failed.kind,
            _("{failed} The slices segmented so far are kept; propagate again to continue.").format(failed=failed),
        ) from failed
    if controller.cancelled is False:
        controller.propagation = None
        if undo.is_saved:
            scene.undo()
            undo.is_saved = False
        scene.update_surfaces()
        return []
    while propagation.pending:
        propagation.write(controller.now)
        yield None
    controller.propagation = None
    yield from _record_result(controller, propagation)
    reports = []
    for target in targets:
        if target.is_deleted or target.segment not in scene.segment_ids():
            continue
        scores = (yield connection.call("scores", object=target.object))["scores"]
        shown = tuple(
            float(s) if s is not None and s == s and propagation.is_wanted(target, n) else None
            for n, s in enumerate(scores)
        )
        seconds = controller.now - target.began
        report = Report(target.segment, axis, shown, target.prompted, seconds, controller.cancelled is not None)
        controller.keep_report(target.segment, report)
        reports.append(report)
    return reports


def progress_of(propagation: Propagation, event: dict[str, Any], now: float) -> Progress:
    """The progress of a propagation, from the event of one slice."""
    target = next(target for target in propagation.targets if target.object == event["object"])
    done, expected = event["done"], max(event["expected"], event["done"])
    left = (now - target.began) / done * (expected - done) if done else None
    return Progress(target.segment, done, expected, event["slice"], left)


def _record_result(controller: Any, propagation: Propagation) -> Steps:
    """Records the segments after a propagation, so that later edits are recognised, and updates 3D surfaces."""
    controller.scene.update_surfaces()
    for target in propagation.targets:
        if target.segment not in controller.scene.segment_ids():
            continue
        digests = yield from _digests(controller, target.segment, propagation.axis)
        controller.history(target.segment).record(propagation.segment_state(target, digests))


def read_state(controller: Any, segment: str, axis: str) -> Steps:
    """The state of a segment: which slices are painted, results, or emptied."""
    digests = yield from _digests(controller, segment, axis)
    return controller.history(segment).classify(axis, digests)


def _digests(controller: Any, segment: str, axis: str) -> Steps:
    digests = {}
    for first, box in _slabs(controller.scene, segment, axis):
        digests.update(digests_of(controller.scene.mask(segment, box), axis, first))
        yield None
    return digests


def _slabs(scene: Any, segment: str, axis: str) -> Iterator[tuple[int, Extent]]:
    """Blocks of whole slices of a segment, each small enough to be read quickly."""
    occupied = scene.occupied(segment)
    if occupied is None:
        return
    shape = scene.grid().shape
    across = shape[0] * shape[1] * shape[2] // shape[AXES[axis]]
    first, end = occupied[AXES[axis]]
    step = max(1, MAX_VOXELS_PER_READ // across)
    for at in range(first, end, step):
        yield at, Extent.of_slices(shape, axis, at, min(at + step, end))
