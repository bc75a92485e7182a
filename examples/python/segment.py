#!/usr/bin/env python3
"""Segments a scan from a mask on one slice, or from a point.

python segment.py SCAN OUTPUT (--mask MASK | --point I,J,K) [--spacing I,J,K] [--model FILE] [--range FIRST,LAST]

SCAN, MASK and OUTPUT are .npy arrays [k, j, i], or NIfTI where nibabel is installed. MASK is as large as the scan; each of its
labels is an object, the slice with most of it is the prompt.
"""

import argparse
import pathlib

import numpy as np
import promem


def read(path):
    """Voxels [k, j, i], and the map from (i, j, k, 1) to right, anterior, superior where the file has one."""
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r"), None
    import nibabel

    image = nibabel.load(path)
    return np.asanyarray(image.dataobj).T, image.affine


def write(path, labels, ijk_to_ras):
    if path.suffix == ".npy":
        np.save(path, labels)
    else:
        import nibabel

        nibabel.save(nibabel.Nifti1Image(labels.T, ijk_to_ras), path)


def numbers(text):
    return tuple(float(part) if "." in part else int(part) for part in text.split(","))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--mask", type=pathlib.Path)
    parser.add_argument("--point", type=numbers)
    parser.add_argument("--spacing", type=numbers)
    parser.add_argument("--range", type=numbers)
    parser.add_argument("--model", type=pathlib.Path)
    given = parser.parse_args()

    voxels, ijk_to_ras = read(given.scan)
    position = {"spacing": given.spacing} if ijk_to_ras is None else {"ijk_to_ras": ijk_to_ras}
    with promem.Model(given.model) as model, promem.Session(model, voxels, axis="k", **position) as session:
        if given.point is not None:
            session.add_point(1, given.point)
        if given.mask is not None:
            mask, _ = read(given.mask)
            for label in np.unique(mask[mask > 0]):
                slice_ = int(np.argmax(np.count_nonzero(mask == label, axis=(1, 2))))
                session.add_mask(int(label), slice_, mask[slice_] == label)
        session.propagate(lambda step: print(f"slice {step.slice}: {step.done}/{step.expected}"), range=given.range)
        write(given.output, session.labels(), ijk_to_ras)


if __name__ == "__main__":
    main()
