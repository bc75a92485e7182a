"""Sessions on what other packages call an image. ITK's is stood in for where it is not installed."""

import gc
import importlib.util
import sys
import types

import numpy as np
import promem
import pytest
from promem import _images

# Voxel sizes, directions and an origin that no two axes share.
SPACING, ORIGIN = (0.5, 1.5, 2.5), (10.0, -20.0, 30.0)
TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
LPS = np.eye(4)
LPS[:3, :3], LPS[:3, 3] = TURN * SPACING, ORIGIN
RAS = np.diag([-1, -1, 1, 1]) @ LPS


class FakeItk:
    """As much of itk-python as is asked of it; checked against itk-core 5.4.7."""

    class Region:
        def GetIndex(self):
            return (2, 3, 4)

    class Image:
        def __init__(self, array):
            self.array, self.origin, self.spacing, self.direction = array, (0, 0, 0), (1, 1, 1), np.eye(3)
            self.region = types.SimpleNamespace(GetIndex=lambda: (0, 0, 0))

        def GetImageDimension(self):
            return self.array.ndim

        def GetBufferedRegion(self):
            return self.region

        def GetOrigin(self):
            return self.origin

        def GetSpacing(self):
            return self.spacing

        def GetDirection(self):
            return self.direction

        def SetOrigin(self, origin):
            self.origin = origin

        def SetSpacing(self, spacing):
            self.spacing = spacing

        def SetDirection(self, direction):
            self.direction = direction

    @classmethod
    def module(cls):
        made = types.ModuleType("itk")
        cls.Image.__module__ = "itk.itkImagePython"
        made.image_from_array = lambda array: cls.Image(array.copy())
        made.array_view_from_image = lambda image: image.array.view()
        made.array_from_matrix = made.matrix_from_array = np.array
        return made


@pytest.fixture
def itk(monkeypatch):
    if importlib.util.find_spec("itk") is not None:
        return importlib.import_module("itk")
    made = FakeItk.module()
    monkeypatch.setitem(sys.modules, "itk", made)
    return made


def itk_image(itk, array):
    image = itk.image_from_array(array)
    image.SetOrigin(list(ORIGIN))
    image.SetSpacing(list(SPACING))
    image.SetDirection(itk.matrix_from_array(TURN))
    return image


@pytest.fixture
def nibabel():
    return pytest.importorskip("nibabel")


@pytest.fixture
def sitk():
    return pytest.importorskip("SimpleITK")


def sitk_image(sitk, array):
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(ORIGIN)
    image.SetSpacing(SPACING)
    image.SetDirection(TURN.ravel())
    return image


@pytest.fixture(params=["nibabel", "SimpleITK", "itk"])
def image(request, small):
    """The small scan as an image of a package."""
    if request.param == "nibabel":
        return request.getfixturevalue("nibabel").Nifti1Image(small.T.astype(np.int16), RAS)
    if request.param == "SimpleITK":
        return sitk_image(request.getfixturevalue("sitk"), small.astype(np.int16))
    return itk_image(request.getfixturevalue("itk"), small.astype(np.int16))


def prompted(session):
    session.add_box(3, (6, 4, 4), (19, 14, 4))
    session.propagate(range=(3, 5), never_stop=True)
    return session.labels()


def test_images_of_all_packages_are_the_same_scan(image, model, small):
    with promem.Session(model, small.astype(np.int16), RAS) as session:
        expected = prompted(session)
        assert expected.any()
    with promem.Session(model, image) as session:
        np.testing.assert_allclose(session.ijk_to_ras, RAS, atol=1e-6)
        assert session.shape == small.shape and session.axis == "k"
        np.testing.assert_array_equal(prompted(session), expected)
        x, y, z, _ = LPS @ [7, 5, 3, 1]
        assert session.add_point_mm(3, (x, y, z), space="LPS") == (7, 5, 3)


def test_labels_come_back_as_the_image_that_was_given(image, model):
    with promem.Session(model, image) as session:
        labels = prompted(session)
        made = session.label_image()
    assert type(made).__module__.partition(".")[0] == type(image).__module__.partition(".")[0]
    again = _images.read(made)
    assert again.voxels.dtype == np.uint16
    np.testing.assert_array_equal(again.voxels, labels)
    np.testing.assert_allclose(again.ijk_to_ras, RAS, atol=1e-6)


def test_an_image_is_its_own_label_map(image, model):
    with promem.Session(model, image) as session:
        on = np.flatnonzero(prompted(session).any(axis=(1, 2))).tolist()
        made = session.label_image()
        session.reset()
        assert session.add_label_map(made, slice="all") == {3: on}


def test_a_label_map_on_another_grid_is_refused(sitk, model, small):
    with promem.Session(model, sitk_image(sitk, small)) as session:
        labels = sitk_image(sitk, (small > 90).astype(np.uint8))
        labels.SetOrigin((10.0, -20.0, 30.1))
        with pytest.raises(
            promem.InvalidArgument, match=r"label map: voxel \[0, 0, 0\] lies at .*30\.1.* expected one"
        ):
            session.add_label_map(labels)
        labels.SetOrigin((10.0, -20.0, 30.001))
        session.add_label_map(labels)


def test_voxels_are_read_in_place(image, small):
    read = _images.read(image)
    assert not read.voxels.flags.owndata
    np.testing.assert_array_equal(read.voxels, small)


def test_a_simpleitk_image_that_is_changed_or_forgotten_meanwhile_changes_nothing(sitk, model, small):
    image = sitk_image(sitk, small.astype(np.int16))
    with promem.Session(model, small.astype(np.int16), RAS) as session:
        expected = prompted(session)
    with promem.Session(model, image) as session:
        image *= 0
        image[3, 3, 3] = 7
        del image
        gc.collect()
        np.testing.assert_array_equal(prompted(session), expected)


def test_a_nifti_file_keeps_its_maps_codes_and_unit(nibabel, model, small, tmp_path):
    made = nibabel.Nifti1Image(small.T.astype(">i2"), RAS, dtype=np.int16)
    micrometres = RAS.copy()
    micrometres[:3] *= 1000
    made.header.set_sform(micrometres, code=2)
    made.header.set_qform(micrometres, code=1)
    made.header.set_xyzt_units("micron")
    made.header["descrip"] = b"a scan"
    made = nibabel.Nifti1Image(made.dataobj, None, made.header)
    made.to_filename(tmp_path / "scan.nii.gz")
    scan = nibabel.load(tmp_path / "scan.nii.gz")
    with promem.Session(model, scan) as session:
        np.testing.assert_allclose(session.ijk_to_ras, RAS, rtol=1e-5, atol=1e-4)
        labels = prompted(session)
        session.label_image().to_filename(tmp_path / "labels.nii.gz")
    back = nibabel.load(tmp_path / "labels.nii.gz")
    assert back.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(np.asanyarray(back.dataobj).T, labels)
    for field in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "pixdim", "xyzt_units"):
        np.testing.assert_array_equal(back.header[field], scan.header[field], field)


def test_a_nibabel_image_with_a_time_axis_of_one_is_a_scan(nibabel, model, small):
    with promem.Session(model, nibabel.Nifti1Image(small.T[..., None].astype(np.int16), RAS)) as session:
        assert session.shape == small.shape
    with pytest.raises(promem.InvalidArgument, match="4 axes, expected three"):
        promem.Session(model, nibabel.Nifti1Image(np.stack([small.T] * 2, -1).astype(np.int16), RAS))


def test_an_image_of_another_format_comes_back_as_nifti(nibabel, model, small):
    image = nibabel.MGHImage(small.T.astype(np.int16), RAS.astype(np.float32))
    with promem.Session(model, image) as session:
        labels = prompted(session)
        made = session.label_image()
    assert type(made) is nibabel.Nifti1Image
    np.testing.assert_array_equal(np.asanyarray(made.dataobj).T, labels)
    np.testing.assert_allclose(made.affine, RAS, atol=1e-5)


def test_an_itk_region_that_does_not_begin_at_0_lies_where_itk_says(itk, small):
    image = itk_image(itk, small.astype(np.int16))
    if isinstance(itk, types.ModuleType) and hasattr(image, "array"):
        image.region = FakeItk.Region()
    else:
        region = itk.ImageRegion[3]()
        region.SetIndex([2, 3, 4])
        region.SetSize(list(small.shape[::-1]))
        image.SetRegions(region)
    expected = RAS.copy()
    expected[:, 3] = RAS @ [2, 3, 4, 1]
    read = _images.read(image)
    np.testing.assert_allclose(read.ijk_to_ras, expected)
    np.testing.assert_allclose(_images.read(read.back(small.astype(np.uint16))).ijk_to_ras, expected)


def test_what_numpy_reads_in_place_is_an_array(model, small):
    class Tensor:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            if self.array is None:
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            return self.array

    scan = small.astype(np.int16)
    with promem.Session(model, scan) as session:
        expected = prompted(session)
    with promem.Session(model, Tensor(scan)) as session:
        np.testing.assert_array_equal(prompted(session), expected)
        assert isinstance(session.label_image(), np.ndarray) and session.ijk_to_ras is None
    with pytest.raises(promem.InvalidArgument, match="image: Tensor, which numpy cannot read: can't convert cuda:0"):
        promem.Session(model, Tensor(None))


def test_what_is_no_image_is_refused_with_what_is(model, small, image, sitk):
    for words, given in {
        "image: str, expected a numpy array .* or an image of nibabel, SimpleITK or ITK": "scan.nii.gz",
        "image: NoneType, expected a numpy array": None,
        "2 dimensions, expected three": sitk.Image([3, 3], sitk.sitkInt16),
        "3 components a voxel, expected one": sitk.Image([3, 3, 3], sitk.sitkVectorUInt8, 3),
    }.items():
        with pytest.raises(promem.InvalidArgument, match=words):
            promem.Session(model, given)
    with pytest.raises(promem.InvalidArgument, match="the image's own map and ijk_to_ras: 2 are given"):
        promem.Session(model, image, RAS)
    with pytest.raises(promem.InvalidArgument, match="the image's own map and spacing_ijk: 2 are given"):
        promem.Session(model, image, spacing_ijk=SPACING)


def test_the_package_imports_none_of_these(small):
    import subprocess

    code = "import promem, promem.worker, sys; print([m for m in ('nibabel', 'SimpleITK', 'itk') if m in sys.modules])"
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert told.stdout == "[]\n"
