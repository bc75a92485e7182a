#!/usr/bin/env python3
"""Segments a scan from a mask on one slice, or from a point.

python segment.py SCAN OUTPUT (--mask MASK | --point I,J,K) [--spacing I,J,K] [--model FILE] [--range FIRST,LAST]

SCAN, MASK and OUTPUT are .npy arrays [k, j, i], or what nibabel or SimpleITK reads and writes, where one of them is
installed. MASK lies on the scan's grid; each of its labels is an object, and the middle slice of each is the prompt.
--spacing is for .npy.
"""

import argparse
import pathlib

import numpy as np
import promem


def read(path):
    """An array, or an image that says where its voxels lie."""
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r")
    try:
        import nibabel

        return nibabel.load(path)
    except ImportError:
        import SimpleITK

        return SimpleITK.ReadImage(str(path))


def write(path, labels):
    """Labels as the scan was given."""
    if isinstance(labels, np.ndarray):
        np.save(path, labels)
    elif hasattr(labels, "to_filename"):
        labels.to_filename(path)
    else:
        import SimpleITK

        SimpleITK.WriteImage(labels, str(path))


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

    scan = read(given.scan)
    with promem.Model(given.model) as model, promem.Session(model, scan, spacing_ijk=given.spacing) as session:
        if given.point is not None:
            session.add_point(1, given.point)
        if given.mask is not None:
            session.add_label_map(read(given.mask))
        session.propagate(lambda step: print(f"slice {step.slice}: {step.done}/{step.expected}"), range=given.range)
        write(given.output, session.label_image())


if __name__ == "__main__":
    main()
