"""The executable reference: SAM2-ProMem's propagation on the public `sam2` package.

Slow on purpose: no caching, no batching, one candidate at a time. The prose that goes with it is docs/method.md. In mode
`sam2` it equals `SAM2Base.track_step` (checked by generate.py).
"""

import dataclasses
import hashlib

import numpy as np
import torch
from sam2.modeling.sam2_utils import get_1d_sine_pe

LAST_SLOT = 6


def fill_pseudo_random(model, scale=1.0):
    """Gives every parameter values that any language can recompute from its checkpoint key alone.

    x_i = frac(sin(i * 12.9898 + h) * 43758.5453) in float64, h = first 4 bytes of sha256(key) / 2**32 * 1000; weights of
    fan-in f get (x - 0.5) * 2 * scale * sqrt(3 / f); 1-d `weight` (norms) 1 + 0.1 * (x - 0.5); layer scale `gamma` 0.5; the
    last bias of the object score head 2.0, so that the object is present; everything else 0.1 * (x - 0.5).
    """
    for key, parameter in model.state_dict().items():
        if not parameter.is_floating_point():
            continue
        h = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32 * 1000.0
        i = np.arange(parameter.numel(), dtype=np.float64)
        x = np.sin(i * 12.9898 + h) * 43758.5453
        x = x - np.floor(x)
        shape = tuple(parameter.shape)
        if key.endswith("gamma"):
            value = np.full(x.shape, 0.5)
        elif key == "sam_mask_decoder.pred_obj_score_head.layers.2.bias":
            value = np.full(x.shape, 2.0)
        elif key.endswith("weight") and len(shape) >= 2 and "embed" not in key.rsplit(".", 2)[-2]:
            transposed = ".output_upscaling." in key and len(shape) == 4 and not key.endswith("1.weight")
            fan_in = shape[0] if transposed else int(np.prod(shape[1:]))
            value = (x - 0.5) * 2.0 * scale * np.sqrt(3.0 / fan_in)
        elif key.endswith("weight") and len(shape) == 1:
            value = 1.0 + 0.1 * (x - 0.5)
        else:
            value = 0.1 * (x - 0.5)
        parameter.copy_(torch.from_numpy(value.reshape(shape)).to(parameter.dtype))


@dataclasses.dataclass(frozen=True)
class Memory:
    """What one segmented slice leaves behind: it never changes once made, so banks may share it."""

    slice_index: int
    features: torch.Tensor  # [1, mem_dim, S/16, S/16]
    pos: torch.Tensor  # [1, mem_dim, S/16, S/16]
    pointer: torch.Tensor  # [1, hidden]


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    windows: tuple = (1, 6)
    beams: int = 2
    include_prompt: bool = False
    pointers: str = "window"
    stop_when_absent: bool = True


PROMEM = SearchOptions()
SAM2 = SearchOptions(windows=(6,), beams=1, include_prompt=True, pointers="sam2", stop_when_absent=False)


def attended(bank, window, slice_index, options):
    """The memories one candidate attends to, as (memory, temporal slot); slot 0 is the slice just before."""
    near = [m for m in bank if 1 <= abs(slice_index - m.slice_index) <= window]
    chosen = []
    if options.include_prompt:
        chosen = [(bank[0], LAST_SLOT)]
        near = [m for m in near if m is not bank[0]]
    near = sorted(near, key=lambda m: -abs(slice_index - m.slice_index))
    return chosen + [(m, abs(slice_index - m.slice_index) - 1) for m in near]


class Reference:
    def __init__(self, model):
        self.m = model.eval()
        self.hidden, self.mem = model.hidden_dim, model.mem_dim

    @torch.inference_mode()
    def encode(self, image):
        """[1, 3, S, S] -> embedding."""
        out = self.m.forward_image(image)
        _, feats, pos, sizes = self.m._prepare_backbone_features(out)
        high_res = [f.permute(1, 2, 0).reshape(1, f.size(2), *s) for f, s in zip(feats[:-1], sizes[:-1])]
        return {"feats": feats, "pos": pos, "sizes": sizes, "high_res": high_res}

    def grid(self, tokens, enc):
        return tokens.permute(1, 2, 0).reshape(1, self.hidden, *enc["sizes"][-1])

    @torch.inference_mode()
    def remember(self, enc, slice_index, high, object_logit, pointer, from_points=False):
        features, pos = self.m._encode_new_memory(
            current_vision_feats=enc["feats"],
            feat_sizes=enc["sizes"],
            pred_masks_high_res=high,
            object_score_logits=object_logit,
            is_mask_from_pts=from_points,
        )
        return Memory(slice_index, features, pos[-1], pointer)

    @torch.inference_mode()
    def prompt_mask(self, enc, slice_index, mask):
        """mask [1, 1, S, S] in {0, 1}; the output of its slice."""
        out = self.m._use_mask_as_output(self.grid(enc["feats"][-1], enc), enc["high_res"], mask)
        _, _, ious, low, high, pointer, object_logit = out
        memory = self.remember(enc, slice_index, high, object_logit, pointer)
        return memory, {
            "iou": float(ious.max()),
            "low": low,
            "high": high,
            "pointer": pointer,
            "object_logit": object_logit,
        }

    @torch.inference_mode()
    def prompt_points(self, enc, slice_index, coords, labels, mask_logits=None):
        """coords [1, P, 2] in pixels (x, y), labels [1, P]: 0, 1, or 2 and 3 for a box's corners."""
        out = self.select(enc, coords, labels, mask_logits)
        memory = self.remember(enc, slice_index, out["high"], out["object_logit"], out["pointer"], from_points=True)
        return memory, out

    @torch.inference_mode()
    def select(self, enc, coords, labels, mask_logits=None):
        """What points select, without a memory of it."""
        points = {"point_coords": coords, "point_labels": labels}
        fused = self.grid(enc["feats"][-1] + self.m.no_mem_embed, enc)
        _, _, ious, low, high, pointer, object_logit = self.m._forward_sam_heads(
            backbone_features=fused,
            point_inputs=points,
            mask_inputs=mask_logits,
            high_res_features=enc["high_res"],
            multimask_output=self.m._use_multimask(True, points),
        )
        return {"iou": float(ious.max()), "low": low, "high": high, "pointer": pointer, "object_logit": object_logit}

    @torch.inference_mode()
    def condition(self, enc, slice_index, chosen, bank, options, reverse, num_slices):
        """The slice's features after memory attention, [1, hidden, h, w]."""
        m = self.m
        tokens, positions = [], []
        for memory, slot in chosen:
            tokens.append(memory.features.flatten(2).permute(2, 0, 1))
            positions.append(memory.pos.flatten(2).permute(2, 0, 1) + m.maskmem_tpos_enc[slot])
        limit = m.max_obj_ptrs_in_encoder
        if options.pointers == "sam2":
            limit = min(num_slices, limit)
            recent = [x for x in reversed(bank[1:]) if abs(slice_index - x.slice_index) < limit]
            with_pointer = [bank[0]] + recent
        else:
            with_pointer = [x for x, _ in chosen]
        pointers = torch.stack([x.pointer for x in with_pointer])  # [P, 1, hidden]
        if m.add_tpos_enc_to_obj_ptrs:
            sign = -1 if reverse else 1
            distance = [(slice_index - x.slice_index) * sign for x in with_pointer]
            width = self.hidden if m.proj_tpos_enc_in_obj_ptrs else self.mem
            scaled = torch.tensor(distance, dtype=torch.float32, device=pointers.device) / (limit - 1)
            where = m.obj_ptr_tpos_proj(get_1d_sine_pe(scaled, dim=width)).unsqueeze(1)
        else:
            where = torch.zeros(len(with_pointer), 1, self.mem, device=pointers.device)
        parts = self.hidden // self.mem
        tokens.append(pointers.reshape(-1, 1, parts, self.mem).permute(0, 2, 1, 3).flatten(0, 1))
        positions.append(where.repeat_interleave(parts, dim=0))
        fused = m.memory_attention(
            curr=enc["feats"][-1:],
            curr_pos=enc["pos"][-1:],
            memory=torch.cat(tokens),
            memory_pos=torch.cat(positions),
            num_obj_ptr_tokens=parts * len(with_pointer),
        )
        return self.grid(fused, enc)

    @torch.inference_mode()
    def candidate(self, enc, *where):
        fused = self.condition(enc, *where)
        _, _, ious, low, high, pointer, object_logit = self.m._forward_sam_heads(
            backbone_features=fused, high_res_features=enc["high_res"], multimask_output=True
        )
        return {"iou": float(ious.max()), "low": low, "high": high, "pointer": pointer, "object_logit": object_logit}

    def propagate(self, images, prompt_index, first, options=PROMEM, last=None):
        """One direction, from the prompt slice's memory `first` to slice `last`. Returns results and a trace."""
        results, trace = {}, []
        for z, best, decided in self.walk(images, prompt_index, first, options, last):
            trace.append(decided)
            if best is not None:
                results[z] = best
        return results, trace

    @torch.inference_mode()
    def walk(self, images, prompt_index, first, options=PROMEM, last=None):
        """Yields each slice of `propagate` as soon as it is made: its number, the best candidate, the trace.

        The candidate is None where the run has ended before the slice.
        """
        last = (len(images) - 1) if last is None else last
        step = 1 if last >= prompt_index else -1
        banks = [[first]]
        for z in range(prompt_index + step, last + step, step):
            enc = self.encode(images[z : z + 1])
            candidates = []
            for b, bank in enumerate(banks):
                seen = set()
                for window in options.windows:
                    chosen = attended(bank, window, z, options)
                    key = tuple(m.slice_index for m, _ in chosen)
                    if key in seen:  # a short bank makes two windows the same candidate: run it once
                        continue
                    seen.add(key)
                    out = self.candidate(enc, z, chosen, bank, options, step < 0, len(images))
                    candidates.append((b, window, out))
            order = sorted(range(len(candidates)), key=lambda i: -candidates[i][2]["iou"])  # stable
            best = candidates[order[0]][2]
            scores = [
                {"bank": b, "window": w, "iou": c["iou"], "object_logit": float(c["object_logit"])}
                for b, w, c in candidates
            ]
            decided = {"slice": z, "candidates": scores, "order": order}
            absent = float(best["object_logit"]) <= 0 or not bool((best["high"] > 0).any())
            if options.stop_when_absent and absent:
                yield z, None, decided
                return
            survivors = [candidates[i] for i in order[: options.beams]]
            banks = [
                banks[b] + [self.remember(enc, z, c["high"], c["object_logit"], c["pointer"])] for b, _, c in survivors
            ]
            yield z, best, decided


def phantom(depth, size):
    """A bright off-centre ellipsoid on a smooth background: [depth, 3, size, size] and masks [depth, size, size]."""
    z, y, x = np.meshgrid(np.arange(depth), np.arange(size), np.arange(size), indexing="ij")
    c = np.array([depth / 2, size * 0.45, size * 0.55])
    r = np.array([depth * 0.6, size * 0.2, size * 0.16])
    inside = ((z - c[0]) / r[0]) ** 2 + ((y - c[1]) / r[1]) ** 2 + ((x - c[2]) / r[2]) ** 2 <= 1
    image = 0.5 * np.sin(x / 23.0 + z / 5.0) + 0.5 * np.cos(y / 31.0 - z / 7.0) + 1.5 * inside
    image = np.repeat(image[:, None].astype(np.float32), 3, axis=1)
    return torch.from_numpy(image), torch.from_numpy(inside.astype(np.float32))
