"""Writes losses.json: the losses of SAM 2's training, from the formulas of its configuration.

That is MultiStepMultiMasksAndIous: supervise_all_iou, iou_use_l1_loss, pred_obj_scores, focal_gamma_obj_score 0,
focal_alpha_obj_score -1.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

SIDE, MASKS, BATCH = 12, 3, 4
WEIGHTS = {"mask": 20.0, "dice": 1.0, "iou": 1.0, "object": 1.0}


def focal(inputs, targets, alpha=0.25, gamma=2.0):
    probability = inputs.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    right = probability * targets + (1 - probability) * (1 - targets)
    loss = entropy * (1 - right) ** gamma
    loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return loss.flatten(2).mean(-1)


def dice(inputs, targets):
    probability = inputs.sigmoid().flatten(2)
    targets = targets.flatten(2)
    return 1 - (2 * (probability * targets).sum(-1) + 1) / (probability.sum(-1) + targets.sum(-1) + 1)


def iou(inputs, targets, predicted):
    mask, truth = inputs.flatten(2) > 0, targets.flatten(2) > 0
    both = (mask & truth).float().sum(-1)
    either = (mask | truth).float().sum(-1).clamp(min=1)
    return F.l1_loss(predicted, both / either, reduction="none")


def main():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(BATCH, MASKS, SIDE, SIDE, generator=generator, dtype=torch.float64) * 2
    ious = torch.rand(BATCH, MASKS, generator=generator, dtype=torch.float64)
    scores = torch.randn(BATCH, 1, generator=generator, dtype=torch.float64)
    truth = (torch.rand(BATCH, 1, SIDE, SIDE, generator=generator) > 0.6).double()
    truth[1] = 0  # absent there
    targets = truth.expand_as(logits)
    of_focal, of_dice, of_iou = focal(logits, targets), dice(logits, targets), iou(logits, targets, ious)
    present = torch.any(truth[:, 0].flatten(1) > 0, dim=-1, keepdim=True).double()
    of_object = F.binary_cross_entropy_with_logits(scores, present, reduction="none").sum() / BATCH
    combined = of_focal * WEIGHTS["mask"] + of_dice * WEIGHTS["dice"]
    best, index = torch.argmin(combined, dim=-1), torch.arange(BATCH)
    parts = {
        "focal": ((of_focal[index, best].unsqueeze(1) * present).sum() / BATCH).item(),
        "dice": ((of_dice[index, best].unsqueeze(1) * present).sum() / BATCH).item(),
        "iou": ((of_iou.mean(-1, keepdim=True) * present).sum() / BATCH).item(),
        "object": of_object.item(),
    }
    total = sum(WEIGHTS[{"focal": "mask"}.get(name, name)] * value for name, value in parts.items())
    golden = {"side": SIDE, "masks": MASKS, "batch": BATCH, "total": total, "parts": parts}
    golden |= {"logits": logits.flatten().tolist(), "ious": ious.flatten().tolist()}
    golden |= {"scores": scores.flatten().tolist(), "truth": truth.flatten().int().tolist()}
    pathlib.Path(__file__).with_name("losses.json").write_text(json.dumps(golden))


if __name__ == "__main__":
    main()
