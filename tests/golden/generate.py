#!/usr/bin/env python3
"""Writes toy_2.0.npz, toy_2.1.npz and their traces: what the public implementation computes at toy size.

`tests/golden.rs` reads them. Images and masks are those of `reference.phantom`, which the Rust tests recompute. Keys are
`part.what`; a trailing `@n` says that only every n-th row and column is stored.
"""

import json
import pathlib

import numpy as np
import torch
from networks import toy
from reference import PROMEM, SAM2, Reference, SearchOptions, phantom
from sam2.modeling.position_encoding import compute_axial_cis
from sam2.modeling.sam2_utils import get_1d_sine_pe

HERE = pathlib.Path(__file__).parent
SIZE, DEPTH = 128, 9
PROMPT = DEPTH // 2

# (x, y) and labels of `PointKind`, in network pixels.
POINTS = {
    "point": ([[70.0, 57.0]], [1]),
    "points": ([[70.0, 57.0], [20.0, 100.5], [75.0, 62.0]], [1, 0, 1]),
    "box": ([[48.0, 30.0], [92.0, 84.0]], [2, 3]),
    "box_point": ([[48.0, 30.0], [92.0, 84.0], [70.0, 57.0]], [2, 3, 1]),
}

SEARCHES = {
    f"k{k}_w{''.join(map(str, windows))}_{'pinned' if pinned else 'free'}": SearchOptions(
        windows=windows, beams=k, include_prompt=pinned, stop_when_absent=False
    )
    for k in (1, 2, 3)
    for windows in ((1, 6), (2, 4, 6))
    for pinned in (False, True)
}


def strided(tensor, n):
    return tensor[..., ::n, ::n]


def points(name):
    coords, labels = POINTS[name]
    return torch.tensor([coords]), torch.tensor([labels], dtype=torch.int32)


class Goldens:
    def __init__(self):
        self.arrays, self.traces = {}, {}

    def put(self, key, value):
        value = value.detach().float().numpy() if torch.is_tensor(value) else np.asarray(value, np.float32)
        self.arrays[key] = np.atleast_1d(np.array(value))  # a copy: weights change later

    def decoded(self, key, out, memory=None):
        self.put(f"{key}.logits", out["low"])
        self.put(f"{key}.iou", [out["iou"]])
        self.put(f"{key}.object_logit", out["object_logit"])
        self.put(f"{key}.pointer", out["pointer"])
        if memory is not None:
            self.put(f"{key}.memory", memory.features)


def modules(g, r, images):
    m = r.m
    image = images[PROMPT : PROMPT + 1]
    for level, stage in enumerate(m.image_encoder.trunk(image)):
        g.put(f"trunk.{level}@2", strided(stage, 2))
    for level, features in enumerate(m.image_encoder.neck(m.image_encoder.trunk(image))[0][:3]):
        g.put(f"neck.{level}@4", strided(features, 4))
    small, _ = phantom(3, 160)
    for level, features in enumerate(m.image_encoder.neck(m.image_encoder.trunk(small[1:2]))[0][:3]):
        g.put(f"neck160.{level}@5", strided(features, 5))
    enc = r.encode(image)
    g.put("image.features", r.grid(enc["feats"][-1], enc))
    g.put("image.high0@4", strided(enc["high_res"][0], 4))
    g.put("image.high1@2", strided(enc["high_res"][1], 2))
    g.put("position.image", enc["pos"][-1].permute(1, 2, 0).reshape(1, 64, 8, 8))
    g.put("position.sine_1d", get_1d_sine_pe(torch.tensor([0.0, 0.2, 1.0, -0.4]), dim=64))
    rotation = compute_axial_cis(dim=64, end_x=8, end_y=8)
    g.put("position.rotation", torch.view_as_real(rotation))
    g.put("prompt.dense_position", m.sam_prompt_encoder.get_dense_pe())
    mask_logits = torch.nn.functional.interpolate(image[:, :1] * 6 - 2, size=(32, 32), mode="area")
    g.put("prompt.mask_logits", mask_logits)
    for name in POINTS:
        g.put(f"prompt.sparse.{name}", m.sam_prompt_encoder(points(name), None, None)[0])
    g.put("prompt.dense.mask", m.sam_prompt_encoder(None, None, mask_logits)[1])
    sparse, _ = m.sam_prompt_encoder(points("points"), None, None)
    _, dense = m.sam_prompt_encoder(None, None, mask_logits)
    features = r.grid(enc["feats"][-1] + m.no_mem_embed, enc)
    position = m.sam_prompt_encoder.get_dense_pe()
    masks, ious, tokens, object_logit = m.sam_mask_decoder.predict_masks(
        features, position, sparse, dense, False, enc["high_res"]
    )
    g.put("decoder.masks@2", strided(masks, 2))
    g.put("decoder.ious", ious)
    g.put("decoder.tokens", tokens)
    g.put("decoder.object_logit", object_logit)


def prompts(g, r, images, masks):
    enc = r.encode(images[PROMPT : PROMPT + 1])
    first = {}
    memory, out = r.prompt_mask(enc, PROMPT, masks[PROMPT][None, None])
    g.decoded("prompted.mask", dict(out, low=out["low"]), memory)
    first["mask"] = memory
    for name in POINTS:
        first[name], out = r.prompt_points(enc, PROMPT, *points(name))
        g.decoded(f"prompted.{name}", out, first[name])
    # Features after attention to one and to three memories.
    later = {}
    bank = [first["mask"]]
    for z in (PROMPT + 1, PROMPT + 2):
        e = r.encode(images[z : z + 1])
        chosen = [(m, z - m.slice_index - 1) for m in bank]
        out = r.candidate(e, z, chosen, bank, PROMEM, False, DEPTH)
        bank.append(r.remember(e, z, out["high"], out["object_logit"], out["pointer"]))
    z = PROMPT + 3
    e = r.encode(images[z : z + 1])
    for count in (1, 3):
        chosen = [(m, z - m.slice_index - 1) for m in bank[-count:]]
        later[count] = r.condition(e, z, chosen, bank, PROMEM, False, DEPTH)
        g.put(f"memory_attention.{count}", later[count])
    return first


def absent(g, r, images, masks):
    """The same network with an object score head that says no."""
    bias = r.m.sam_mask_decoder.pred_obj_score_head.layers[2].bias
    kept = bias.data.clone()
    bias.data.fill_(-8.0)
    enc = r.encode(images[PROMPT : PROMPT + 1])
    memory, out = r.prompt_points(enc, PROMPT, *points("point"))
    assert float(out["object_logit"]) < 0
    g.decoded("absent.point", out, memory)
    memory, out = r.prompt_mask(enc, PROMPT, masks[PROMPT][None, None])
    g.decoded("absent.mask", out, memory)
    bias.data.copy_(kept)


def runs(g, name, r, images, first, options):
    for way, last in (("up", DEPTH - 1), ("down", 0)):
        results, trace = r.propagate(images, PROMPT, first, options, last)
        g.traces[f"{name}.{way}"] = trace
        for z, out in results.items():
            g.put(f"{name}.{way}.{z}@4", strided(out["low"], 4))


def stopping(g, r, images, first):
    """Biases of the object score head chosen so that a run ends half way."""
    bias = r.m.sam_mask_decoder.pred_obj_score_head.layers[2].bias
    kept = bias.data.clone()
    options = SearchOptions(stop_when_absent=True)
    lowest = {}
    for way, last in (("up", DEPTH - 1), ("down", 0)):
        _, trace = r.propagate(images, PROMPT, first, SearchOptions(stop_when_absent=False), last)
        best = [t["candidates"][t["order"][0]]["object_logit"] for t in trace]
        lowest[way] = (best[1] + best[2]) / 2
    for shift in sorted(set(lowest.values())):
        bias.data.copy_(kept - shift)
        _, up = r.propagate(images, PROMPT, first, options, DEPTH - 1)
        _, down = r.propagate(images, PROMPT, first, options, 0)
        ended = [len(t) for t in (up, down)]
        if any(n < DEPTH - 1 - PROMPT for n in ended):
            g.put("stop.bias", bias.data)
            runs(g, "stop", r, images, first, options)
            print("  stop rule: ended after", ended, "slices with bias", float(bias))
            break
    else:
        raise SystemExit("no bias makes a run stop half way")
    bias.data.copy_(kept)


def track_step(m, images, prompt, last):
    """SAM 2's own step, with the outputs kept as its video predictor keeps them. `prompt`: mask or points."""
    step = 1 if last >= PROMPT else -1
    outputs = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    logits = {}
    with torch.inference_mode():
        for z in [PROMPT, *range(PROMPT + step, last + step, step)]:
            _, feats, pos, sizes = m._prepare_backbone_features(m.forward_image(images[z : z + 1]))
            initial = z == PROMPT
            out = m.track_step(
                frame_idx=z,
                is_init_cond_frame=initial,
                current_vision_feats=feats,
                current_vision_pos_embeds=pos,
                feat_sizes=sizes,
                point_inputs=prompt.get("points") if initial else None,
                mask_inputs=prompt.get("mask") if initial else None,
                output_dict=outputs,
                num_frames=len(images),
                track_in_reverse=step < 0,
            )
            outputs["cond_frame_outputs" if initial else "non_cond_frame_outputs"][z] = out
            logits[z] = out["pred_masks"]
    return logits


def plain(g, r, images, masks, first):
    coords, labels = points("point")
    given = {"mask": {"mask": masks[PROMPT][None, None]},
             "point": {"points": {"point_coords": coords, "point_labels": labels}}}  # fmt: skip
    for name, prompt in given.items():
        runs(g, f"sam2_{name}", r, images, first[name], SAM2)
        for way, last in (("up", DEPTH - 1), ("down", 0)):
            for z, logits in track_step(r.m, images, prompt, last).items():
                if z == PROMPT:
                    continue
                key = f"sam2_{name}.{way}.{z}@4"
                worst = np.abs(g.arrays[key] - strided(logits, 4).numpy()).max()
                assert worst < 1e-6, f"{key}: the reference differs from track_step by {worst}"
                g.put(key, strided(logits, 4))


def main():
    torch.set_num_threads(1)
    images, masks = phantom(DEPTH, SIZE)
    for version in ("2.0", "2.1"):
        print("toy", version)
        g, r = Goldens(), Reference(toy(version))
        with torch.inference_mode():
            modules(g, r, images)
            first = prompts(g, r, images, masks)
            absent(g, r, images, masks)
            for name, options in SEARCHES.items():
                runs(g, name, r, images, first["mask"], options)
            runs(g, "promem_box", r, images, first["box"], PROMEM)
            stopping(g, r, images, first["mask"])
            plain(g, r, images, masks, first)
        np.savez_compressed(HERE / f"toy_{version}.npz", **g.arrays)
        (HERE / f"toy_{version}.json").write_text(json.dumps(g.traces, separators=(",", ":")) + "\n")
        sizes = [(HERE / f"toy_{version}{end}").stat().st_size // 1000 for end in (".npz", ".json")]
        print("  wrote", len(g.arrays), "arrays;", sizes, "kB")


if __name__ == "__main__":
    main()
