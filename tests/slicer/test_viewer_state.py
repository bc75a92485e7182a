"""What the viewer's page says, as values: no browser, no Slicer."""

import gzip
import pathlib
import struct
import sys

import pytest
from SegmentEditorProMemLib.options import BadOption, Options
from SegmentEditorProMemLib.report import Progress, Report

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "slicer-module" / "viewer"))

from promem_browser import files, view_state  # noqa: E402
from promem_browser.nifti_integrity import is_complete  # noqa: E402


class Chosen:
    model, search, windows, beams, intensity, stop = "", "paper", "1, 6", 2, "displayed", "automatic"


def report(scores, prompted=()):
    return Report("liver", "k", tuple(scores), tuple(prompted), 2.5)


def test_a_bar_shows_score_and_slice_number():
    strip = view_state.strip_shown(report([None, 0.4, 0.8, 1.0, 0.95], [3]), frozenset({1, 2, 3, 4}), 4)
    assert [bar["kind"] for bar in strip["bars"]] == ["none", "doubtful", "fair", "prompt", "good"]
    assert [bar["slice"] for bar in strip["bars"]] == [0, 1, 2, 3, 4]
    assert strip["bars"][1]["title"] == "Slice 2: predicted IoU 0.40"
    assert (strip["at"], strip["count"], strip["doubtful"]) == (90.0, 5, 1)


def test_an_undone_slice_has_no_bar():
    strip = view_state.strip_shown(report([0.4, 0.9, 0.9]), frozenset({1}), None)
    assert [bar["kind"] for bar in strip["bars"]] == ["none", "good", "none"]
    assert (strip["at"], strip["doubtful"]) == (-1.0, 0)


def test_one_bar_for_several_slices_goes_to_the_worst_of_them():
    scores = [0.9] * 250
    scores[101] = 0.2
    strip = view_state.strip_shown(report(scores), frozenset(range(250)), 0)
    assert len(strip["bars"]) == view_state.MAX_BARS
    assert [bar["slice"] for bar in strip["bars"] if bar["kind"] == "doubtful"] == [101]


def test_progress_shows_slices_and_time():
    assert view_state.progress_shown(None) is None
    shown = view_state.progress_shown(Progress("liver", 3, 12, 20, 75.2))
    assert shown == {"percent": 25.0, "text": "3 of 12 slices, about 80 s left"}
    assert view_state.progress_shown(Progress("liver", 12, 12, 31, 0.0))["text"] == "12 of 12 slices"


def test_page_choices_become_options_or_an_error():
    before = Options(device="cpu", threads=3)
    assert view_state.options_of(Chosen(), before) == before
    chosen = Chosen()
    chosen.search, chosen.windows, chosen.beams, chosen.model = "custom", "2 4", "3", " a.pt "
    options = view_state.options_of(chosen, before)
    assert (options.windows, options.beams, options.model, options.threads) == ((2, 4), 3, "a.pt", 3)
    chosen.beams = "many"
    with pytest.raises(BadOption, match="beams: 'many', expected a number"):
        view_state.options_of(chosen, before)


def test_segment_sizes_are_in_millilitres():
    assert [view_state._size(n, ml) for n, ml in ((0, 0), (5, 0.026), (900, 4.51), (90000, 451.4))] == [
        "empty",
        "0.03 ml",
        "4.5 ml",
        "451 ml",
    ]


def test_an_upload_cannot_choose_its_folder(tmp_path):
    sent = {"name": "../../etc/ct.nii.gz", "content": [b"a", b"b"]}
    path = files.uploaded(sent, tmp_path)
    assert path.parent == tmp_path.resolve() and path.read_bytes() == b"ab"
    for sent in ({"name": "", "content": b"a"}, {"name": "ct.nii", "content": None, "error": "it was too large"}):
        with pytest.raises(files.FileProblem, match="was not uploaded"):
            files.uploaded(sent, tmp_path)


def test_a_file_stem_excludes_its_extension():
    assert [files.stem(name) for name in ("a.b.nii.gz", "liver.seg.nrrd", "CT.NRRD", "plain")] == [
        "a.b",
        "liver",
        "CT",
        "plain",
    ]


def header(version, order):
    """Of 5 x 4 x 3 voxels of 16 bits that begin right behind it."""
    sizes, bits, begin = (3, 5, 4, 3, 1, 1, 1, 1), 16, {1: 352, 2: 544}[version]
    content = bytearray(begin)
    for kind, at, values in {
        1: (("i", 0, [348]), ("8h", 40, sizes), ("h", 72, [bits]), ("f", 108, [begin])),
        2: (("i", 0, [540]), ("h", 14, [bits]), ("8q", 16, sizes), ("q", 168, [begin])),
    }[version]:
        struct.pack_into(order + kind, content, at, *values)
    return bytes(content)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [1, 2])
def test_a_truncated_nifti_file_is_detected(tmp_path, version, order):
    whole, plain, zipped = header(version, order) + bytes(120), tmp_path / "a.nii", tmp_path / "a.nii.gz"
    for length, expected in ((len(whole), True), (len(whole) - 1, False), (200, False), (3, False)):
        plain.write_bytes(whole[:length])
        zipped.write_bytes(gzip.compress(whole[:length]))
        assert [is_complete(plain), is_complete(zipped)] == [expected, expected]
    zipped.write_bytes(gzip.compress(whole)[:-9])
    assert not is_complete(zipped)
