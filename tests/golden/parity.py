#!/usr/bin/env python3
"""Full size against the public implementation: writes FOLDER/<network>.npz for `tests/parity.rs` (`make parity`).

Per network: image features, a mask prompt's memory, one propagated slice, and a click that corrects a click on a tracked
slice by the video predictor, at 512 pixels with pseudo-random weights.
"""

import argparse
import pathlib

import numpy as np
import torch
from corrections import Recorder, click, propagate
from networks import FILES, VIDEO_PREDICTOR, official
from reference import PROMEM, Reference, phantom

NAMES = [f"{generation}_hiera_{size}" for generation in ("sam2", "sam2.1") for size in FILES]
SIZE, DEPTH, PROMPT = 512, 3, 1
#: (x, y, label): inside the phantom, beside it, on its rim.
CORRECTIONS = [
    click(PROMPT, (280, 230, 1)),
    propagate(PROMPT, PROMPT + 1),
    click(PROMPT + 1, (380, 200, 0)),
    click(PROMPT + 1, (300, 250, 1)),
]


def write(name, folder):
    images, masks = phantom(DEPTH, SIZE)
    predictor = official(name, SIZE, VIDEO_PREDICTOR)
    reference = Reference(predictor)
    with torch.inference_mode():
        enc = reference.encode(images[PROMPT : PROMPT + 1])
        memory, prompted = reference.prompt_mask(enc, PROMPT, masks[PROMPT][None, None])
        results, trace = reference.propagate(images, PROMPT, memory, PROMEM, DEPTH - 1)
    step = trace[0]["candidates"][0]
    recorder = Recorder(predictor, images)
    recorder.start()
    for prompt in CORRECTIONS:
        corrected = recorder.propagate(prompt) if prompt["do"] == "propagate" else recorder.prompt(prompt, masks)
    arrays = {
        "image.features@4": reference.grid(enc["feats"][-1], enc)[..., ::4, ::4],
        "image.high0@16": enc["high_res"][0][..., ::16, ::16],
        "image.high1@8": enc["high_res"][1][..., ::8, ::8],
        "memory@2": memory.features[..., ::2, ::2],
        "pointer": prompted["pointer"],
        "scores": torch.tensor([step["iou"], step["object_logit"]]),
        "logits@2": results[PROMPT + 1]["low"][..., ::2, ::2],
        "corrected.logits@2": corrected["logits@2"],
        "corrected.pointer": corrected["pointer"],
        "corrected.scores": torch.stack([corrected["iou"].flatten()[0], corrected["object_logit"].flatten()[0]]),
    }
    np.savez_compressed(folder / f"{name}.npz", **{k: v.float().numpy() for k, v in arrays.items()})
    print(name, "done", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--config", choices=NAMES, action="append")
    parser.add_argument("--save-pt", action="store_true", help="write an official-style .pt of each network instead")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.config or NAMES:
        if arguments.save_pt:
            torch.save({"model": official(name).state_dict()}, arguments.folder / f"{name}.pt")
        else:
            write(name, arguments.folder)


if __name__ == "__main__":
    main()
