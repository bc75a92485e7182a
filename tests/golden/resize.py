#!/usr/bin/env python3
"""Writes resize.json: torch's antialiased bilinear resampling, for `rust/slices/resize.rs`."""

import json
import pathlib

import torch
import torch.nn.functional as F

CASES = [((5, 7), (11, 4)), ((8, 8), (8, 3)), ((3, 9), (12, 9)), ((13, 10), (4, 5)), ((6, 6), (9, 16))]


def main():
    cases = []
    for seed, (size, target) in enumerate(CASES):
        generator = torch.Generator().manual_seed(seed)
        image = torch.rand(1, 1, *size, generator=generator)
        out = F.interpolate(image, size=target, mode="bilinear", align_corners=False, antialias=True)
        cases.append({"input": image[0, 0].tolist(), "output": out[0, 0].tolist()})
    path = pathlib.Path(__file__).with_name("resize.json")
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
