#!/usr/bin/env python3
"""Writes pseudo_random.json: values of the weights that need no file, computed with numpy.

One key for each branch of the formula, which is written out again here so that Rust and this file agree by
computing the same thing twice. Each case holds the first values and the sum of all (float64) of the float32 array.

    python tests/golden/pseudo_random.py        # needs numpy only
"""

import hashlib
import json
import pathlib

import numpy as np

CASES = [
    ("image_encoder.trunk.patch_embed.proj.weight", (96, 3, 7, 7)),  # a matrix whose module is `proj`
    ("image_encoder.trunk.blocks.0.attn.qkv.weight", (288, 96)),
    ("image_encoder.trunk.blocks.0.attn.qkv.bias", (288,)),
    ("image_encoder.trunk.blocks.0.norm1.weight", (96,)),
    ("image_encoder.trunk.pos_embed", (1, 96, 7, 7)),
    ("maskmem_tpos_enc", (7, 1, 1, 64)),
    ("no_mem_embed", (1, 1, 256)),
    ("memory_encoder.fuser.layers.0.gamma", (256,)),
    ("memory_encoder.out_proj.weight", (64, 256, 1, 1)),
    ("sam_prompt_encoder.point_embeddings.0.weight", (1, 256)),
    ("sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix", (2, 128)),
    ("sam_mask_decoder.iou_token.weight", (1, 256)),
    ("sam_mask_decoder.output_upscaling.0.weight", (256, 64, 2, 2)),  # transposed convolution
    ("sam_mask_decoder.output_upscaling.1.weight", (64,)),  # its norm
    ("sam_mask_decoder.output_upscaling.3.weight", (64, 32, 2, 2)),
    ("sam_mask_decoder.pred_obj_score_head.layers.2.weight", (1, 256)),
    ("sam_mask_decoder.pred_obj_score_head.layers.2.bias", (1,)),
]


def pseudo_random(key, shape):
    h = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32 * 1000.0
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    x = np.sin(i * 12.9898 + h) * 43758.5453
    x = x - np.floor(x)
    if key.endswith("gamma"):
        value = np.full(x.shape, 0.5)
    elif key == "sam_mask_decoder.pred_obj_score_head.layers.2.bias":
        value = np.full(x.shape, 2.0)
    elif key.endswith("weight") and len(shape) >= 2 and "embed" not in key.rsplit(".", 2)[-2]:
        transposed = ".output_upscaling." in key and len(shape) == 4 and not key.endswith("1.weight")
        fan_in = shape[0] if transposed else int(np.prod(shape[1:]))
        value = (x - 0.5) * 2.0 * np.sqrt(3.0 / fan_in)
    elif key.endswith("weight") and len(shape) == 1:
        value = 1.0 + 0.1 * (x - 0.5)
    else:
        value = 0.1 * (x - 0.5)
    return value.astype(np.float32)


def main():
    out = []
    for key, shape in CASES:
        value = pseudo_random(key, shape)
        out.append(
            {
                "key": key,
                "shape": shape,
                "first": [float(v) for v in value[:8]],
                "sum": float(value.astype(np.float64).sum()),
            }
        )
    text = "[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]\n"
    (pathlib.Path(__file__).parent / "pseudo_random.json").write_text(text)


if __name__ == "__main__":
    main()
