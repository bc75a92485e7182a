"""Non-learning baselines, under the protocol of `promem evaluate`.

    promem evaluate --dataset ... --export-tasks TASKS --output anywhere
    baselines.py --method flow-fit --tasks TASKS --output MASKS [--given]
    promem evaluate --dataset ... --predictions flow-fit=MASKS --output REPORT

flow      DIS optical flow from slice to slice, composed back to the prompt slice; the prompt's mask is warped. It stops
          where the intensities under the mask no longer match those of the prompt slice.
flow-fit  the same, each mask refined: histograms of the intensities inside and around the prompt's mask give the
          likelihood ratio of the pixels near the warped border.
copy      the prompt's mask, on as many slices as a ball of its area covers.

Existing outputs are kept, so a run that was stopped resumes. Needs the packages of requirements.txt in this folder.
"""

import argparse
import json
import pathlib
import sys

import cv2
import nibabel as nib
import numpy as np

#: Longer side of the images that are matched; small ones are enlarged, since the flow's patches are 8 pixels wide.
SIDE = 256
#: Intensities of soft tissue in CT, and between which medians of the object they are used.
CT_WINDOW, CT_OBJECT = (-250.0, 400.0), (-200.0, 350.0)
#: Percentiles of the neighbourhood that become black and white.
BLACK_WHITE = (0.5, 99.5)
#: Slices on each side of the prompt that the percentiles are taken from.
NEIGHBOURHOOD = 4
#: Bins of the intensity histograms, and by how many of them they are smoothed.
BINS, BIN_SMOOTHING = 64, 1.5
#: Width of the ring around the mask whose intensities are 'outside', and of the band that refinement may change, as
#: fractions of the radius of a disc of the mask's area.
RING, BAND = 1.2, 0.35
#: Propagation ends where the fraction of the warped mask that matches the object's intensities falls below this fraction
#: of that on the prompt slice, or the area below this fraction of the prompt's.
MIN_FIT, MIN_AREA = 0.7, 0.05


class Slices:
    """The slices of a scan along one axis as 8-bit images of a common size, and the inverse mapping of masks."""

    def __init__(self, image: np.ndarray, axis: int, prompt: int, mask: np.ndarray, spacing: np.ndarray):
        self.volume = np.moveaxis(image, axis, 0)
        self.count, self.shape = len(self.volume), self.volume.shape[1:]
        in_plane = np.delete(spacing, axis)
        extent = np.array(self.shape) * in_plane
        scale = SIDE / extent.max()
        self.size = tuple(int(max(32, round(n))) for n in extent * scale)[::-1]  # width, height
        volume = self.volume.astype(np.float32)
        median = np.median(volume[prompt][mask])
        if volume.min() < -500 and CT_OBJECT[0] < median < CT_OBJECT[1]:
            volume = np.clip(volume, *CT_WINDOW)
        near = volume[max(0, prompt - NEIGHBOURHOOD) : prompt + NEIGHBOURHOOD + 1]
        low, high = np.percentile(near, BLACK_WHITE)
        self.values = np.clip((volume - low) / max(high - low, 1e-6), 0, 1) * 255

    def picture(self, index: int) -> np.ndarray:
        shrink = self.shape[0] > self.size[1]
        return cv2.resize(
            self.values[index], self.size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        ).astype(np.uint8)

    def mask_in(self, mask: np.ndarray) -> np.ndarray:
        return cv2.resize(mask.astype(np.float32), self.size, interpolation=cv2.INTER_LINEAR)

    def mask_out(self, soft: np.ndarray) -> np.ndarray:
        shrink = self.shape[0] < self.size[1]
        return cv2.resize(soft, self.shape[::-1], interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR) >= 0.5


class IntensityModel:
    """Likelihood ratio of an intensity inside and around the object, from histograms on the prompt slice."""

    def __init__(self, picture: np.ndarray, mask: np.ndarray):
        inside = mask >= 0.5
        self.radius = np.sqrt(inside.sum() / np.pi)
        width = max(3, int(RING * self.radius)) * 2 + 1
        ring = cv2.dilate(inside.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))) > 0
        inside_values, outside_values = picture[inside], picture[ring & ~inside]
        self.log_ratio = np.log(self._histogram(inside_values) / self._histogram(outside_values))
        self.typical = self.fitting(picture, inside)

    @staticmethod
    def _histogram(values: np.ndarray) -> np.ndarray:
        counts = np.bincount((values.astype(int) * BINS) // 256, minlength=BINS).astype(np.float64)
        counts = cv2.GaussianBlur(counts[:, None], (1, 0x1F), BIN_SMOOTHING)[:, 0] + 0.5
        return counts / counts.sum()

    def ratio(self, picture: np.ndarray) -> np.ndarray:
        """Logarithm of the likelihood ratio, inside over around."""
        return np.clip(self.log_ratio[(picture.astype(int) * BINS) // 256], -3, 3).astype(np.float32)

    def fitting(self, picture: np.ndarray, mask: np.ndarray) -> float:
        """Fraction of a mask's pixels whose intensities are more likely inside than around."""
        return float((cv2.GaussianBlur(self.ratio(picture), (0, 0), 1.2)[mask] > 0).mean())

    def refine(self, picture: np.ndarray, warped: np.ndarray) -> np.ndarray:
        """Moves the border of a soft mask by the likelihood ratio, within a band around it."""
        band = max(1.5, BAND * np.sqrt(max(1, (warped >= 0.5).sum()) / np.pi))
        hard = (warped >= 0.5).astype(np.uint8)
        signed = cv2.distanceTransform(hard, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - hard, cv2.DIST_L2, 5)
        prior = np.clip(signed / band, -1, 1) * 3
        log_likelihood_ratio = cv2.GaussianBlur(self.ratio(picture), (0, 0), 1.2)
        return 1 / (1 + np.exp(-(prior + log_likelihood_ratio)))


def propagate(slices: Slices, prompt: int, mask: np.ndarray, end: int, fit: bool, stop: bool) -> dict[int, np.ndarray]:
    """Masks from the prompt slice to `end`, by slice."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    step = 1 if end >= prompt else -1
    first, first_mask = slices.picture(prompt), slices.mask_in(mask)
    intensities = IntensityModel(first, first_mask)
    rows, columns = np.indices(first.shape, dtype=np.float32)
    origin = np.dstack([columns, rows])  # where each pixel of the current slice lies on the prompt slice
    before, found = first, {}
    current = first_mask
    area = float((first_mask >= 0.5).sum())
    for index in range(prompt + step, end + step, step):
        picture = slices.picture(index)
        back = flow.calc(picture, before, None)
        place = np.dstack([columns, rows]) + back
        origin = cv2.remap(origin, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        warped = cv2.remap(first_mask, origin[..., 0], origin[..., 1], cv2.INTER_LINEAR)
        current = intensities.refine(picture, warped) if fit else warped
        inside = current >= 0.5
        if not inside.any():
            break
        if stop and ended(intensities, picture, warped, current, area):
            break
        found[index] = slices.mask_out(current)
        before = picture
    return found


def ended(
    intensities: IntensityModel, picture: np.ndarray, warped: np.ndarray, current: np.ndarray, area: float
) -> bool:
    """Whether the intensities under the mask no longer match the object's."""
    covered = warped >= 0.5
    if covered.sum() < MIN_AREA * area:
        return True
    return intensities.fitting(picture, covered) < MIN_FIT * intensities.typical


def copied(
    slices: Slices, prompt: int, mask: np.ndarray, spacing: np.ndarray, axis: int, ends: tuple[int, int] | None
) -> dict:
    area = mask.sum() * np.delete(spacing, axis).prod()
    reach = int(np.sqrt(area / np.pi) / spacing[axis] + 0.5)
    first, last = ends or (max(0, prompt - reach), min(slices.count - 1, prompt + reach))
    return dict.fromkeys(range(first, last + 1), mask)


def segment(
    method: str, image: nib.Nifti1Image, prompt: np.ndarray, axis: int, target: dict, given: bool
) -> np.ndarray:
    """A target's mask on the scan's grid."""
    index, spacing = target["prompt_slice"], np.array(image.header.get_zooms()[:3], dtype=float)
    mask = np.moveaxis(prompt, axis, 0)[index]
    slices = Slices(np.asarray(image.dataobj), axis, index, mask, spacing)
    ends = (target["first"], target["last"]) if given else None
    if method == "copy":
        found = copied(slices, index, mask, spacing, axis, ends)
    else:
        found = {index: mask}
        for end in ends or (0, slices.count - 1):
            found |= propagate(slices, index, mask, end, method == "flow-fit", stop=not given)
    result = np.zeros(prompt.shape, np.uint8)
    view = np.moveaxis(result, axis, 0)
    for place, plane in found.items():
        view[place] = plane
    return result


def run(arguments: argparse.Namespace) -> int:
    lists = sorted(arguments.tasks.glob("*/tasks.json"))
    if not lists:
        print(f"there is no DATASET/tasks.json in {arguments.tasks}", file=sys.stderr)
        return 2
    failures = 0
    for path in lists:
        tasks = json.loads(path.read_text())
        for case in tasks["cases"]:
            try:
                segment_case(arguments, path.parent, arguments.output / path.parent.name, case)
            except Exception as error:  # one broken case must not end the run
                failures += 1
                print(f"{tasks['dataset']} {case['name']}: {error}", file=sys.stderr)
        print(f"{tasks['dataset']}: {len(tasks['cases'])} cases", file=sys.stderr)
    return 1 if failures else 0


def segment_case(arguments: argparse.Namespace, source: pathlib.Path, output: pathlib.Path, case: dict) -> None:
    folder = output / pathlib.Path(case["image"]).parent.name
    folder.mkdir(parents=True, exist_ok=True)
    missing = [target for target in case["targets"] if not (folder / f"{target['file']}.nii.gz").exists()]
    if not missing:
        return
    image = nib.load(source / case["image"])
    axis = "ijk".index(case["axis"])
    for target in missing:
        prompt = np.asarray(nib.load(source / target["prompt"]).dataobj) > 0
        mask = segment(arguments.method, image, prompt, axis, target, arguments.given)
        written = nib.Nifti1Image(mask, None, image.header)
        written.header.set_data_dtype(np.uint8)
        written.header.set_slope_inter(1, 0)
        part = folder / f".{target['file']}.nii.gz"
        nib.save(written, part)
        part.rename(folder / f"{target['file']}.nii.gz")


def self_test() -> int:
    """A disc that moves and shrinks from slice to slice."""
    j, i = np.indices((96, 96))
    truth = np.stack([(i - 48 - k) ** 2 + (j - 48 + k) ** 2 < (24 - 1.5 * abs(k - 10)) ** 2 for k in range(21)], axis=2)
    noise = np.random.default_rng(1).normal(0, 6, truth.shape)
    image = nib.Nifti1Image((60 + 120 * truth + noise + 10 * np.sin(i / 5)[..., None]).astype(np.float32), np.eye(4))
    prompt = truth.copy()
    prompt[..., np.arange(21) != 10] = False
    target = {"prompt_slice": 10, "first": 0, "last": 20}
    worst = 1.0
    for method in ("flow", "flow-fit"):
        for given in (False, True):
            mask = segment(method, image, prompt, 2, target, given) > 0
            dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
            print(f"{method}, {'ground-truth range' if given else 'free'}: Dice {dice:.3f}")
            worst = min(worst, dice)
    return 0 if worst > 0.9 else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("flow", "flow-fit", "copy"), default="flow-fit")
    parser.add_argument("--tasks", type=pathlib.Path, help="folder that `promem evaluate --export-tasks` wrote")
    parser.add_argument("--output", type=pathlib.Path, help="folder of masks to write")
    parser.add_argument("--given", action="store_true", help="use the ground-truth range of each object")
    parser.add_argument("--self-test", action="store_true", help="a generated scan with known masks")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.tasks is None or arguments.output is None:
        parser.error("--tasks and --output are needed")
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
