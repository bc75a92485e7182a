"""Scans for the viewer's tests, made or of people, and strokes that fill an object's slice."""

import gzip
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Larger along i than along j than along k, and no spacing twice: a swapped axis is seen.
SHAPE, SPACING = (16, 40, 48), (2.0, 2.5, 5.0)
MIDDLE = (8, 20, 24)


def ball():
    """A bright ellipsoid in noise, [k, j, i], and where it is."""
    k, j, i = np.indices(SHAPE)
    inside = ((k - MIDDLE[0]) / 5) ** 2 + ((j - MIDDLE[1]) / 11) ** 2 + ((i - MIDDLE[2]) / 14) ** 2 < 1
    noise = np.random.default_rng(1).normal(0, 15, SHAPE)
    return (np.where(inside, 300, 60) + noise).astype(np.int16), inside


def column(slices):
    """The ball's middle slice, so many times, in noise that is new on each."""
    inside = ball()[1][MIDDLE[0]]
    noise = np.random.default_rng(2).normal(0, 15, (slices, *inside.shape))
    return (np.where(inside, 300, 60) + noise).astype(np.int16)


def write_nrrd(path, voxels):
    """Writes [k, j, i] as NRRD."""
    sizes = " ".join(str(size) for size in voxels.shape[::-1])
    i, j, k = SPACING
    header = (
        f"NRRD0004\ntype: int16\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
        f"space directions: ({i},0,0) (0,{j},0) (0,0,{k})\nspace origin: (-40,-50,-30)\nkinds: domain domain domain\n"
        "endian: little\nencoding: gzip\n\n"
    )
    path.write_bytes(header.encode() + gzip.compress(voxels.astype("<i2").tobytes()))
    return path


def folder_of_scans():
    """Real scans: PROMEM_DATA, else ../shared/data beside the repository; None where there are none."""
    folder = pathlib.Path(os.environ.get("PROMEM_DATA") or ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def as_seen(path):
    """The voxels [k, j, i] of a NIfTI file and where they are, as Slicer numbers them: of a left-handed image it turns
    the slices round.
    """
    import nibabel

    image = nibabel.load(path)
    voxels, affine = np.asanyarray(image.dataobj).T, image.affine.copy()
    if np.linalg.det(affine[:3, :3]) < 0:
        voxels = voxels[::-1]
        affine[:3, 3] += affine[:3, 2] * (len(voxels) - 1)
        affine[:3, 2] *= -1
    return voxels, affine


def strokes(mask, radius):
    """A path (across, down) that fills a mask [down, across] with a brush of that radius in pixels, row by row, within
    its rim.
    """
    rows = []
    for down in range(0, mask.shape[0], max(1, int(radius))):
        across = np.flatnonzero(mask[down])
        reach = int(np.ceil(radius))
        inside = across.size and mask[max(0, down - reach)].any() and mask[min(len(mask) - 1, down + reach)].any()
        if inside and across[-1] - across[0] > 2 * radius:
            ends = [(across[0] + radius, down), (across[-1] - radius, down)]
            rows.append(ends if len(rows) % 2 else ends[::-1])
    return [end for ends in rows for end in ends]


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))
