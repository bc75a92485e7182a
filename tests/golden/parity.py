#!/usr/bin/env python3
"""Full size against the public implementation: writes FOLDER/<network>.npz for `tests/parity.rs` (`make parity`).

Per network: image features, a mask prompt's memory, and one propagated slice, at 512 pixels with pseudo-random weights.
"""

import argparse
import pathlib

import numpy as np
import torch
from networks import FILES, official
from reference import PROMEM, Reference, phantom

NAMES = [f"{generation}_hiera_{size}" for generation in ("sam2", "sam2.1") for size in FILES]
SIZE, DEPTH, PROMPT = 512, 3, 1


def write(name, folder):
    images, masks = phantom(DEPTH, SIZE)
    reference = Reference(official(name, SIZE))
    with torch.inference_mode():
        enc = reference.encode(images[PROMPT : PROMPT + 1])
        memory, prompted = reference.prompt_mask(enc, PROMPT, masks[PROMPT][None, None])
        results, trace = reference.propagate(images, PROMPT, memory, PROMEM, DEPTH - 1)
    step = trace[0]["candidates"][0]
    arrays = {
        "image.features@4": reference.grid(enc["feats"][-1], enc)[..., ::4, ::4],
        "image.high0@16": enc["high_res"][0][..., ::16, ::16],
        "image.high1@8": enc["high_res"][1][..., ::8, ::8],
        "memory@2": memory.features[..., ::2, ::2],
        "pointer": prompted["pointer"],
        "scores": torch.tensor([step["iou"], step["object_logit"]]),
        "logits@2": results[PROMPT + 1]["low"][..., ::2, ::2],
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
