"""A scan with one object in it that the default model finds, of any size."""

import numpy as np


def ellipsoid(shape, seed=0):
    """Voxels [k, j, i] like those of a CT, and where the object is."""
    sizes = np.array(shape, dtype=float)
    k, j, i = (grid / size - 0.5 for grid, size in zip(np.ogrid[: shape[0], : shape[1], : shape[2]], sizes))
    inside = (i - 0.03) ** 2 / 0.23**2 + (j + 0.04) ** 2 / 0.18**2 + k**2 / 0.3**2 < 1
    body = i**2 / 0.46**2 + j**2 / 0.41**2 + 0 * k < 1
    noise = np.random.default_rng(seed).normal(0, 12, shape)
    return np.where(inside, 160, np.where(body, 40, -900) + noise).astype(np.int16), inside


def show(app):
    """The window in which the object stands out."""
    app.volume.GetScalarVolumeDisplayNode().SetWindowLevel(400, 40)
    app.effect.setParameter("Threads", "1")


def paint(app, truth, slice_):
    """The object on one slice, as with another tool."""
    from SegmentEditorProMemLib.grid import Extent

    box = Extent.of_slices(truth.shape, "k", slice_, slice_ + 1)
    app.scene.write(app.segments[0], box, truth[slice_ : slice_ + 1])
