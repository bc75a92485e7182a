#!/usr/bin/env python3
"""Writes official_shapes.json: keys and shapes of the eight published networks, from the package `sam2==1.1.0`.

A 2.0 network is stored as its 2.1 sibling without the keys that 2.1 added (asserted: nothing else differs).

    python tests/golden/official_shapes.py        # needs torch and sam2==1.1.0; no weights are downloaded
"""

import json
import pathlib

from sam2.build_sam import build_sam2

SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}


def shapes(generation, letter):
    model = build_sam2(f"configs/{generation}/{generation}_hiera_{letter}.yaml", None, device="cpu")
    return {key: list(value.shape) for key, value in model.state_dict().items()}


def main():
    table = {}
    for letter, size in SIZES.items():
        new, old = shapes("sam2.1", letter), shapes("sam2", letter)
        added = [key for key in new if key not in old]
        assert {key: shape for key, shape in new.items() if key not in added} == old
        table[f"sam2.1_hiera_{size}"] = new
        table[f"sam2_hiera_{size}"] = {"like": f"sam2.1_hiera_{size}", "without": added}
        print(size, len(new), len(old), added)
    out = pathlib.Path(__file__).parent.parent / "fixtures" / "official_shapes.json"
    out.write_text(json.dumps(table, separators=(",", ":")).replace('"sam2', '\n"sam2') + "\n")


if __name__ == "__main__":
    main()
