"""Writes training_step.json: the loss of one training step on the public `_track_step`, at toy size.

A clip of five slices, the first prompted by a mask, the object absent from the last; window 6, prompt attended to, no
dropout, no random choices. Losses from the formulas of sam2.1_training (losses.py), summed over slices as
MultiStepMultiMasksAndIous sums them.
`tests/train.rs` computes the same in Rust.
"""

import json
import pathlib

import torch
from losses import WEIGHTS, dice, focal, iou
from networks import toy
from reference import phantom

DEPTH, SIZE, FIRST = 9, 128, 4
MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)


def clip():
    """Grey 0..1 normalised as SAM 2 does, [5, 3, S, S], and masks [5, S, S]."""
    images, masks = phantom(DEPTH, SIZE)
    grey = (images * 0.25 + 0.4).clamp(0, 1)
    masks = masks.clone()
    masks[-1] = 0
    return ((grey - MEAN) / STD)[FIRST:], masks[FIRST:]


def slice_loss(outputs, mask):
    _, multimasks, ious, _, _, _, scores = outputs
    truth = mask[None, None]
    targets = truth.expand_as(multimasks)
    of_focal, of_dice = focal(multimasks, targets), dice(multimasks, targets)
    of_iou = iou(multimasks, targets, ious)
    present = (truth.flatten(1).sum(-1, keepdim=True) > 0).float()
    of_object = torch.nn.functional.binary_cross_entropy_with_logits(scores, present)
    best = torch.argmin(of_focal * WEIGHTS["mask"] + of_dice * WEIGHTS["dice"], dim=-1)[0]
    masks = WEIGHTS["mask"] * of_focal[0, best] + WEIGHTS["dice"] * of_dice[0, best]
    return (masks + WEIGHTS["iou"] * of_iou.mean()) * present[0, 0] + WEIGHTS["object"] * of_object


@torch.inference_mode()
def main():
    torch.set_num_threads(1)
    images, masks = clip()
    m = toy("2.1", SIZE)
    outputs = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    losses = []
    for t in range(len(images)):
        _, feats, pos, sizes = m._prepare_backbone_features(m.forward_image(images[t : t + 1]))
        first = t == 0
        given = masks[0][None, None] if first else None
        current, sam, _, _ = m._track_step(t, first, feats, pos, sizes, None, given, outputs, len(images), False, None)
        current["pred_masks"], current["obj_ptr"] = sam[3], sam[5]
        current["object_score_logits"] = sam[6]
        m._encode_memory_in_output(feats, sizes, None, True, sam[4], sam[6], current)
        outputs["cond_frame_outputs" if first else "non_cond_frame_outputs"][t] = current
        losses.append(float(slice_loss(sam, masks[t])))
    # The prompted slice's output is its own mask, +-10: a constant without a gradient, which our training leaves out.
    assert losses[0] < 1e-3, losses
    path = pathlib.Path(__file__).with_name("training_step.json")
    path.write_text(json.dumps({"slices": losses[1:], "total": sum(losses[1:])}) + "\n")
    print(path.name, losses)


if __name__ == "__main__":
    main()
