#!/usr/bin/env python3
"""Writes corrections.json, corrections_2.0.npz and corrections_2.1.npz: what the public video predictor makes of
clicks, boxes and masks on slices that have a mask already, at toy size.

The calls are those of `SAM2VideoPredictor`: `add_new_points_or_box`, `add_new_mask`, `propagate_in_video`, with
`add_all_frames_to_correct_as_cond` and without filled holes and exclusive objects. Only the loading of frames is
replaced, and memories are kept in fp32 instead of bfloat16. `tests/golden_corrections.rs` replays the same steps.

Keys are `sequence.step.what`, of a propagation `sequence.step.object.slice.what`; a trailing `@n` says that only every
n-th row and column is stored. Memories are those that `propagate_in_video_preflight` encodes of the slices with new
prompts.
"""

import json
import pathlib

import numpy as np
import torch
from networks import VIDEO_PREDICTOR, toy
from reference import phantom
from sam2 import sam2_video_predictor

HERE = pathlib.Path(__file__).parent
SIZE, DEPTH = 128, 9
ABSENT_BIAS = -8.0  # last bias of the object score head in `absent`: every object is absent
LOUD_FACTOR = 50.0  # of the mask heads' last layers in `loud`: logits exceed the bounds of a dense prompt, +-32


def click(slice_index, *points, object_id=1):
    """Points are (x, y, label) in network pixels."""
    return {"do": "points", "object": object_id, "slice": slice_index, "points": [list(p) for p in points]}


def box(slice_index, corners, *points, object_id=1):
    return {**click(slice_index, *points, object_id=object_id), "box": corners}


def paint(slice_index, object_id=1):
    """The phantom's own mask."""
    return {"do": "mask", "object": object_id, "slice": slice_index}


def propagate(first, last):
    return {"do": "propagate", "first": first, "last": last}


INSIDE, BESIDE, RIM, OTHER_SIDE, NEAR = (70, 57, 1), (20, 100.5, 0), (75, 62, 1), (95, 50, 0), (62, 70.5, 1)
CORNERS = [48, 30, 92, 84]

SEQUENCES = {
    "fresh": [click(4, p) for p in (INSIDE, BESIDE, RIM, OTHER_SIDE, NEAR)] + [propagate(4, 4)],
    "one_call": [click(4, INSIDE, BESIDE, RIM), click(4, OTHER_SIDE, NEAR), propagate(4, 5)],
    "box": [box(4, CORNERS), *(click(4, p) for p in (BESIDE, INSIDE, OTHER_SIDE, RIM)), propagate(4, 5)],
    "box_and_point": [box(4, CORNERS, INSIDE), click(4, OTHER_SIDE), propagate(4, 4)],
    "painted": [paint(4), *(click(4, p) for p in (OTHER_SIDE, RIM, BESIDE, INSIDE, NEAR)), propagate(4, 5)],
    "painted_over": [click(4, INSIDE), click(4, BESIDE), paint(4), click(4, NEAR), propagate(4, 5)],
    "tracked_up": [
        click(4, INSIDE),
        propagate(4, 8),
        click(6, OTHER_SIDE),
        click(6, INSIDE),
        click(6, BESIDE),
        propagate(6, 8),
        click(6, RIM),
        click(8, RIM),
        propagate(6, 8),
    ],
    "tracked_down": [paint(4), propagate(4, 0), click(2, INSIDE), click(2, OTHER_SIDE), propagate(2, 0)],
    "tracked_painted": [box(4, CORNERS), propagate(4, 8), paint(6), click(6, OTHER_SIDE), propagate(6, 8)],
    "prompted_again": [click(4, INSIDE), propagate(4, 6), propagate(4, 2), click(4, OTHER_SIDE), propagate(4, 6)],
    "two_objects": [
        click(4, INSIDE),
        box(5, [10, 80, 40, 120], object_id=2),
        propagate(4, 8),
        click(7, (25, 100, 1), object_id=2),
        click(6, OTHER_SIDE),
        click(7, INSIDE, object_id=2),
        propagate(6, 8),
    ],
    "absent": [*(click(4, p) for p in (INSIDE, BESIDE, RIM)), propagate(4, 5), click(5, INSIDE), propagate(5, 5)],
    "loud": [click(4, INSIDE), click(4, OTHER_SIDE), propagate(4, 6), click(6, RIM), click(6, BESIDE), propagate(6, 7)],
}


def change(model, name):
    """Changes the weights for a sequence; returns how they were."""
    bias = model.sam_mask_decoder.pred_obj_score_head.layers[2].bias
    heads = [p for head in model.sam_mask_decoder.output_hypernetworks_mlps for p in head.layers[2].parameters()]
    kept = [(p, p.data.clone()) for p in (bias, *heads)]
    if name == "absent":
        bias.data.fill_(ABSENT_BIAS)
    if name == "loud":
        for parameter in heads:
            parameter.data.mul_(LOUD_FACTOR)
    return kept


class Fp32Memories:
    """The module `torch` for the predictor: where it stores memories in bfloat16, they stay as they are."""

    bfloat16 = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


class Recorder:
    """A predictor, its state, and the scores of its last step, which it does not keep."""

    def __init__(self, predictor, images):
        sam2_video_predictor.torch = Fp32Memories()
        sam2_video_predictor.tqdm = lambda slices, **_: slices
        self.predictor = predictor
        self.images, self.state, self.outputs = images, None, None
        step = self.predictor._track_step

        def recorded(*arguments, **named):
            result = step(*arguments, **named)
            self.outputs = result[1]
            return result

        self.predictor._track_step = recorded

    def start(self):
        size = self.predictor.image_size
        sam2_video_predictor.load_video_frames = lambda **_: (self.images, size, size)
        self.state = self.predictor.init_state(video_path=None)

    def prompt(self, step, masks):
        where = {"frame_idx": step["slice"], "obj_id": step["object"]}
        if step["do"] == "mask":
            self.predictor.add_new_mask(self.state, **where, mask=masks[step["slice"]] > 0)
        else:
            points = {}
            if step["points"]:
                values = np.array(step["points"], np.float32)
                points = {"points": values[:, :2], "labels": values[:, 2].astype(np.int32)}
            corners = {"box": np.array(step["box"], np.float32)} if "box" in step else {"clear_old_points": False}
            self.predictor.add_new_points_or_box(self.state, **where, **points, **corners)
        _, _, ious, low, _, pointer, object_logit = self.outputs
        return {"logits@2": low[..., ::2, ::2], "iou": ious.max(), "object_logit": object_logit, "pointer": pointer}

    def propagate(self, step):
        """Memories of the slices with new prompts, then the logits of every slice on the way."""
        state, predictor = self.state, self.predictor
        pending = state["temp_output_dict_per_obj"]
        prompted = [(n, z) for n in sorted(pending) for z in sorted(pending[n]["cond_frame_outputs"])]
        assert not any(outputs["non_cond_frame_outputs"] for outputs in pending.values())
        predictor.propagate_in_video_preflight(state)
        found = {}
        for n, z in prompted:
            memory = state["output_dict_per_obj"][n]["cond_frame_outputs"][z]["maskmem_features"]
            assert memory.dtype == torch.float32
            found[f"{state['obj_idx_to_id'][n]}.{z}.memory"] = memory
        first, last = step["first"], step["last"]
        length = {"start_frame_idx": first, "max_frame_num_to_track": abs(last - first), "reverse": last < first}
        for z, objects, masks in predictor.propagate_in_video(state, **length):
            assert len(objects) == len(masks)
            for n, object_id in enumerate(objects):
                outputs = state["output_dict_per_obj"][n]
                if z in outputs["non_cond_frame_outputs"]:
                    logits = outputs["non_cond_frame_outputs"][z]["pred_masks"]
                    found[f"{object_id}.{z}.tracked@4"] = logits[..., ::4, ::4]
        return found


@torch.inference_mode()
def main():
    torch.set_num_threads(1)
    images, masks = phantom(DEPTH, SIZE)
    for version in ("2.0", "2.1"):
        arrays, recorder = {}, Recorder(toy(version, SIZE, VIDEO_PREDICTOR), images)
        for name, steps in SEQUENCES.items():
            kept = change(recorder.predictor, name)
            recorder.start()
            for number, step in enumerate(steps):
                found = recorder.propagate(step) if step["do"] == "propagate" else recorder.prompt(step, masks)
                for what, value in found.items():
                    arrays[f"{name}.{number}.{what}"] = np.atleast_1d(value.float().numpy().copy())
            for parameter, values in kept:
                parameter.data.copy_(values)
        loudest = max(np.abs(values).max() for key, values in arrays.items() if key.startswith("loud.0.logits"))
        assert loudest > 64, loudest
        path = HERE / f"corrections_{version}.npz"
        np.savez_compressed(path, **arrays)
        print(path.name, len(arrays), "arrays,", path.stat().st_size // 1000, "kB")
    written = {"absent_bias": ABSENT_BIAS, "loud_factor": LOUD_FACTOR, "sequences": SEQUENCES}
    (HERE / "corrections.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
