#!/usr/bin/env python3
"""Compares the speed of this project with that of the public implementation (`sam2` 1.1.0), alternating (`make bench`).

Both get the same volume, prompt and weights (SAM 2.1 tiny, pseudo-random). Modes: `plain`, SAM 2's propagation;
`search`, the memory window search (k = 2, windows 1 and 6) as in tests/golden/reference.py; `adaptive`, this project
alone. Each time is the minimum over rounds. The floor is the number of floating-point operations of one slice, with
everything that candidates share counted once, over the rate at which this machine multiplies large matrices. Writes
OUT/compare_sam2.json and OUT/compare_sam2.png.
"""

import argparse
import contextlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "golden"))
from networks import official  # noqa: E402
from nifti_header import BYTES, header  # noqa: E402
from reference import PROMEM, SAM2, Reference, attended, phantom  # noqa: E402

WARM = 7  # past slices that fill the largest window
# ImageNet's, as SAM 2 takes them (`SAM2Transforms`).
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
OPTIONS = {"plain": SAM2, "search": replace(PROMEM, stop_when_absent=False)}
TIMES = ("seconds_per_slice", "first_result_seconds", "reprompt_seconds")
SIDES = {"ours": "this project", "public": "sam2 1.1.0"}


def say(text):
    print(text, flush=True)


def write_case(folder, depth, size):
    """The scan for both: grey [depth, size, size] of 0..255, and the prompt on slice 0."""
    images, masks = phantom(depth, size)
    grey = images[:, 0].numpy()
    grey = np.rint((grey - grey.min()) / (grey.max() - grey.min()) * 255)
    for name, voxels in (("scan.nii", grey), ("mask.nii", masks[:1].numpy())):
        (folder / name).write_bytes(header(voxels.shape[::-1], (1, 1, 1)) + voxels.astype("<i2").tobytes())


def arithmetic(precision, device):
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def finish(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def public(model, images, mask, mode, precision, device):
    """Seconds of the public implementation, with its own code alone in memory."""
    reference = Reference(model)
    labels = torch.tensor([[2, 3]], dtype=torch.int32, device=device)  # a box's corners
    at, waits = [], []
    with torch.inference_mode(), arithmetic(precision, device):
        begin = time.perf_counter()
        first, _ = reference.prompt_mask(reference.encode(images[:1]), 0, mask[None, None])
        finish(device)
        at.append(time.perf_counter() - begin)
        for _, best, _ in reference.walk(images, 0, first, OPTIONS[mode]):
            finish(device)
            at.append(time.perf_counter() - begin)
            score = best["iou"]
        enc = reference.encode(images[len(images) // 2 : len(images) // 2 + 1])
        for n in range(5):
            far = images.shape[-1] * 0.7
            corners = torch.tensor([[[far * 3 / 7 + n, far * 3 / 7 + n], [far, far]]], device=device)
            finish(device)
            begin = time.perf_counter()
            reference.select(enc, corners, labels)
            finish(device)
            waits.append(time.perf_counter() - begin)
    return {
        "seconds_per_slice": statistics.median(np.diff(at)[WARM:]),
        "first_result_seconds": at[1],
        "reprompt_seconds": statistics.median(waits),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "last_score": score,
    }


def ours(program, folder, mode, precision):
    command = [program, str(folder), mode, precision]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stderr.splitlines()[-1])


def child(case, mode, precision, size, device):
    """The public side in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--case", str(case), "--side", mode, precision, "--size", str(size)]
    done = subprocess.run([*command, "--device", device.type], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the public implementation failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def read_case(folder, device):
    voxels = [np.fromfile(folder / name, "<i2", offset=BYTES) for name in ("scan.nii", "mask.nii")]
    size = int(np.sqrt(len(voxels[1])))
    grey, mask = [torch.from_numpy(v.astype(np.float32)).reshape(-1, size, size) for v in voxels]
    shape = (1, 3, 1, 1)
    images = ((grey / 255)[:, None] - torch.tensor(MEAN).reshape(shape)) / torch.tensor(STD).reshape(shape)
    return images.to(device), mask[0].to(device)


def rate(precision, device):
    """Floating-point operations a second of the best of some large products."""
    kind = torch.float32 if precision == "fp32" else torch.bfloat16
    best = 0.0
    for n in (1024, 2048, 4096) if device.type == "cpu" else (4096, 8192):
        a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
        for _ in range(6):
            finish(device)
            begin = time.perf_counter()
            a @ b
            finish(device)
            best = max(best, 2 * n**3 / (time.perf_counter() - begin))
    return best


def operations(size):
    """Floating-point operations of one slice: {plain, search}, with everything that candidates share counted once."""
    reference = Reference(official("sam2.1_hiera_tiny", size))
    images = torch.zeros(1, 3, size, size)

    def count(work):
        # The counter knows the products of written-out attention alone.
        with FlopCounterMode(display=False) as counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
            result = work()
        return result, counter.get_total_flops()

    enc, encode = count(lambda: reference.encode(images))
    made, _ = count(lambda: reference.prompt_mask(enc, 0, torch.ones(1, 1, size, size)))
    bank = [made[0]] + [made[0].__class__(z, made[0].features, made[0].pos, made[0].pointer) for z in range(1, 8)]
    # One layer's self-attention of the slice is the same for all candidates of one; memories are projected once a bank.
    attention = reference.m.memory_attention
    side = enc["sizes"][-1][0]
    x = torch.zeros(side * side, 1, reference.hidden).transpose(0, 1)
    _, shared = count(lambda: attention.layers[0].self_attn(x, x, x))
    candidate = {}
    for window in (1, 6):
        for options in (PROMEM, SAM2):
            chosen = attended(bank, window, 8, options)
            _, candidate[window, options] = count(
                lambda chosen=chosen, options=options: reference.candidate(enc, 8, chosen, bank, options, False, 9)
            )
    high = torch.zeros(1, 1, size, size)
    logit, pointer = torch.ones(1, 1), torch.zeros(1, reference.hidden)
    _, memory = count(lambda: reference.remember(enc, 0, high, logit, pointer))
    search = encode + 2 * candidate[1, PROMEM] + 2 * candidate[6, PROMEM] - 3 * shared + 2 * memory
    return {"plain": encode + candidate[6, SAM2] + memory, "search": search}


def multiplies_bf16(device):
    if device.type == "cuda":
        return True
    flags = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    return "amx_bf16" in flags or "avx512_bf16" in flags


def table(rows, floors):
    say(
        f"\n{'':14} {'mode':9} {'':5} {'s/slice':>9} {'slices/s':>9} {'first':>7} {'re-prompt':>10} {'peak MB':>8}  {'floor':>6}"
    )
    for row in rows:
        floor = floors.get((row["mode"], row["precision"]))
        times = f"{row['seconds_per_slice'] / floor:5.2f}x" if floor else ""
        say(
            f"{SIDES[row['who']]:14} {row['mode']:9} {row['precision']:5} {row['seconds_per_slice']:9.3f} "
            f"{1 / row['seconds_per_slice']:9.2f} {row['first_result_seconds']:7.2f} {1e3 * row['reprompt_seconds']:7.0f} ms "
            f"{row['peak_mb']:8.0f}  {times}"
        )


def ratios(rows, rounds):
    """Ratios of the minima, and of each round: clock and load of a machine change more slowly than rounds."""
    of = {(row["who"], row["mode"], row["precision"]): row["seconds_per_slice"] for row in rows}

    def listed(values):
        return ", ".join(f"{value:.2f}" for value in values)

    say("\nSpeed-up over the public implementation:")
    for (who, mode, precision), seconds in of.items():
        if who == "ours":
            against = "search" if mode == "adaptive" else mode
            speedups = [
                f"{of['public', against, p] / seconds:.2f} ({p})"
                for p in ("fp32", "bf16")
                if ("public", against, p) in of
            ]
            ours, public = (who, mode, precision), ("public", against, precision)
            by_round = listed(one[public]["seconds_per_slice"] / one[ours]["seconds_per_slice"] for one in rounds)
            say(f"  {mode:9} {precision}: {', '.join(speedups)}; by round in {precision}: {by_round}")
            first = listed(one[ours]["first_result_seconds"] / one[ours]["seconds_per_slice"] for one in rounds)
            say(f"  {'':9} {'':4}  time to the first result, in slices, by round: {first}")
    for precision in ("fp32", "bf16"):
        if ("ours", "search", precision) in of:
            say(
                f"  the search costs {of['ours', 'search', precision] / of['ours', 'plain', precision]:.2f} times plain propagation in {precision}"
            )


def built():
    """The newest build of bench/compare_sam2.rs."""
    found = [p for p in (ROOT / "target" / "release" / "deps").glob("compare_sam2-*") if not p.suffix]
    return str(max(found, key=lambda p: p.stat().st_mtime)) if found else None


def chart(rows, path):
    """A bar for each row, as long as its seconds."""
    font = ImageFont.load_default(18)
    left, line, width = 300, 44, 900
    image = Image.new("RGB", (width, line * len(rows) + 60), "white")
    draw = ImageDraw.Draw(image)
    longest = max(row["seconds_per_slice"] for row in rows)
    draw.text(
        (20, 14), "Seconds a slice (SAM 2 tiny, 512 px, CPU)".replace("CPU", rows[0]["device"].upper()), "#222", font
    )
    for n, row in enumerate(sorted(rows, key=lambda row: -row["seconds_per_slice"])):
        top = 54 + n * line
        end = left + (width - left - 90) * row["seconds_per_slice"] / longest
        draw.text((20, top + 4), f"{SIDES[row['who']]}, {row['mode']}, {row['precision']}", "#222", font)
        draw.rectangle((left, top, end, top + 28), fill="#2a9d8f" if row["who"] == "ours" else "#b0b7bf")
        draw.text((end + 10, top + 4), f"{row['seconds_per_slice']:.2f}", "#222", font)
    image.save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=built(), help="this project's side: the built benchmark `compare_sam2`")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "bench")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--depth", type=int, default=WARM + 9, help="slices of the volume")
    parser.add_argument(
        "--rounds", type=int, default=2, help="rounds; each number is the minimum over rounds, the least disturbed one"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--precisions", nargs="+", choices=("fp32", "bf16"), help="fp32, and bf16 where the hardware has it"
    )
    parser.add_argument("--case", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.side:
        images, mask = read_case(arguments.case, device)
        model = official("sam2.1_hiera_tiny", arguments.size).to(device)
        print(json.dumps(public(model, images, mask, *arguments.side, device)))
        return
    if not arguments.program:
        parser.error("--program: bench/compare_sam2.rs is not built; run `cargo bench --no-run --bench compare_sam2`")
    folder = arguments.out / "compare_sam2"
    folder.mkdir(parents=True, exist_ok=True)
    write_case(folder, arguments.depth, arguments.size)
    precisions = arguments.precisions or ["fp32"] + (["bf16"] if multiplies_bf16(device) else [])
    if "bf16" not in precisions:
        say("This CPU has no bf16 arithmetic: only fp32 is measured.")
    flops = operations(arguments.size)
    floors = {(mode, p): flops[mode] / rate(p, device) for p in precisions for mode in flops}
    for precision in precisions:
        say(
            f"A slice of {arguments.size} px: {flops['plain'] / 1e9:.0f} GFLOP plain, {flops['search'] / 1e9:.0f} searched; floors in {precision} "
            f"{floors['plain', precision]:.3f} and {floors['search', precision]:.3f} s"
        )
    best, rounds = {}, []
    for number in range(arguments.rounds):
        rounds.append({})
        for precision in precisions:
            for mode in ("plain", "search", "adaptive"):
                sides = [("ours", lambda m, p: ours(arguments.program, folder, m, p))]
                if mode != "adaptive":
                    sides.append(("public", lambda m, p: child(folder, m, p, arguments.size, device)))
                for who, measure in sides[:: 1 if number % 2 else -1]:
                    found = {
                        "who": who,
                        "mode": mode,
                        "precision": precision,
                        "device": device.type,
                        **measure(mode, precision),
                    }
                    rounds[-1][who, mode, precision] = found
                    known = best.get((who, mode, precision), found)
                    minima = {time: min(found[time], known[time]) for time in TIMES}
                    best[who, mode, precision] = {**found, **minima}
                    say(
                        f"  round {number + 1}: {SIDES[who]}, {mode}, {precision}: {found['seconds_per_slice']:.3f} s a slice"
                    )
    rows = list(best.values())
    for precision in precisions:
        for mode in OPTIONS:
            scores = [best[who, mode, precision]["last_score"] for who in SIDES]
            say(f"{mode}, {precision}: the last slice's score {scores[0]:.4f}, the public one's {scores[1]:.4f}")
    table(rows, floors)
    ratios(rows, rounds)
    kept = ("who", "mode", "precision", "device", "peak_mb", *TIMES)
    chart(rows, arguments.out / "compare_sam2.png")
    (arguments.out / "compare_sam2.json").write_text(
        json.dumps([{key: row[key] for key in kept} for row in rows], indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
