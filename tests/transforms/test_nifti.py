"""The door for NIfTI files lets sound volumes in, refuses all others, and says why."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import resource
import struct
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utad_monai.transforms import InvalidImageError, nifti, read_nifti

SHAPE = (6, 5, 4)
AFFINE = np.array([[-1.5, 0, 0, 4], [0, -2, 0, 5], [0, 0, 3, -6], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(1, 1000, SHAPE).astype(np.int16)
FLIPPED = (1.5, 0, 0, 0, 0, -2, 0, 5, 0, 0, 3, -6)
"""Rows of an sform that differs from `AFFINE` by a flip."""
NAN, INF = float("nan"), float("inf")

# (offset, struct format) of fields of the NIfTI-1 header
SIZEOF_HDR, DIM, DIM_0, DIM_1, DATATYPE, BITPIX = (0, "i"), (40, "8h"), (40, "h"), (42, "h"), (70, "h"), (72, "h")
XYZT_UNITS = (123, "b")
PIXDIM, VOX_OFFSET, SCALING, FORM_CODES = (80, "3f"), (108, "f"), (112, "2f"), (252, "2h")
QUATERNION, SFORM, MAGIC = (256, "3f"), (280, "12f"), (344, "4s")

Patch = tuple[tuple[int, str], tuple[Any, ...]]


def nifti_bytes(volume: np.ndarray[Any, Any] = VOXELS, *patches: Patch, affine: Any = AFFINE) -> bytes:
    """Return a NIfTI-1 file with fields of its header overwritten."""
    content = bytearray(nibabel.Nifti1Image(volume, affine).to_bytes())
    for (offset, form), values in patches:
        struct.pack_into("<" + form, content, offset, *values)
    return bytes(content)


def header_only(shape: tuple[int, int, int], dtype: type) -> bytes:
    """Return a header that claims a volume, and 60 bytes of it."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header["dim"] = [3, *shape, 1, 1, 1, 1]
    header.set_sform(AFFINE, 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return bytes(header.binaryblock) + bytes(64)


def byteswapped(image_class: type) -> bytes:
    header = image_class(VOXELS, AFFINE).header.as_byteswapped(">")
    return bytes(image_class(VOXELS, AFFINE, header).to_bytes())


def with_value(value: float, dtype: type = np.float32) -> np.ndarray[Any, Any]:
    volume = VOXELS.astype(dtype)
    volume[2:4, 2:4, 1:3] = value
    return volume


def write(folder: Path, content: bytes, name: str = "case_t1.nii") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def damaged(position: int) -> bytes:
    stream = bytearray(gzip.compress(nifti_bytes()))
    stream[position] ^= 0xFF
    return bytes(stream)


HTML = b"<!DOCTYPE html><html><body>403 Forbidden</body></html>\n" * 20
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 262496\n"
RGB = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])

BAD_CONTAINERS = {
    "zero bytes": (b"", "empty"),
    "gzip cut at half": (gzip.compress(nifti_bytes())[:180], "truncated"),
    "gzip with a wrong CRC": (damaged(-8), "CRC"),
    "gzip with a wrong length": (damaged(-4), "gzip.*length"),
    "gzip with a damaged stream": (damaged(20), "damaged or truncated gzip"),
    "plain NIfTI named .gz": (nifti_bytes(), "not a gzip file"),
    "HTML page named .gz": (HTML, "not a gzip file"),
    "Git LFS pointer named .gz": (LFS, "not a gzip file"),
    "voxels shorter than the header says": (gzip.compress(nifti_bytes()[:-20]), "too short: 572 bytes .* expects 592"),
    "gzip in gzip": (gzip.compress(gzip.compress(nifti_bytes()) + bytes(600)), "not a NIfTI file"),
    "gzip of nothing": (gzip.compress(b""), "not a NIfTI file: 0 bytes"),
    "claims 32767^3 voxels": (gzip.compress(header_only((32767, 32767, 32767), np.int16)), "too large"),
}

BAD_PLAIN = {
    "HTML page": (HTML, "not a NIfTI file"),
    "Git LFS pointer": (LFS, "too short for its header"),
    "wrong magic": (nifti_bytes(VOXELS, (MAGIC, (b"xyz\0",))), "magic"),
    "header of a two-file NIfTI": (nifti_bytes(VOXELS, (MAGIC, (b"ni1\0",))), "magic"),
    "sizeof_hdr 999": (nifti_bytes(VOXELS, (SIZEOF_HDR, (999,))), "sizeof_hdr"),
    "dim[0] is 0": (nifti_bytes(VOXELS, (DIM_0, (0,))), r"dim\[0\] = 0"),
    "dim[0] is 9": (nifti_bytes(VOXELS, (DIM_0, (9,))), r"dim\[0\]"),
    "negative axis": (nifti_bytes(VOXELS, (DIM_1, (-6,))), "negative dimension"),
    "axis of length 0": (nifti_bytes(VOXELS, (DIM_1, (0,))), "zero or negative dimension"),
    "unknown data type code": (nifti_bytes(VOXELS, (DATATYPE, (9999,))), "data type code 9999"),
    "no data type": (nifti_bytes(VOXELS, (DATATYPE, (0,))), "data type"),
    "complex voxels": (nifti_bytes(VOXELS.astype(np.complex64)), "complex64"),
    "RGB voxels": (nifti_bytes(RGB), "one real number"),
    "quadruple precision": (nifti_bytes(VOXELS, (DATATYPE, (1536,))), "data type"),
    "voxel offset past the end": (nifti_bytes(VOXELS, (VOX_OFFSET, (1e9,))), "voxel offset"),
    "voxel offset NaN": (nifti_bytes(VOXELS, (VOX_OFFSET, (NAN,))), "voxel offset nan"),
    "voxel offset negative": (nifti_bytes(VOXELS, (VOX_OFFSET, (-352.0,))), "voxel offset"),
    "voxel offset 0": (nifti_bytes(VOXELS, (VOX_OFFSET, (0.0,))), "voxel offset 0"),
    "voxel offset inside the header": (nifti_bytes(VOXELS, (VOX_OFFSET, (348.0,))), "voxel offset 348"),
    "voxel offset a little too far": (nifti_bytes(VOXELS, (VOX_OFFSET, (368.0,))), "too short"),
    "spacing 0, no forms": (nifti_bytes(VOXELS, (PIXDIM, (0, 0, 0)), (FORM_CODES, (0, 0))), "spacing"),
    "spacing NaN, no forms": (nifti_bytes(VOXELS, (PIXDIM, (NAN,) * 3), (FORM_CODES, (0, 0))), "spacing.*nan"),
    "spacing negative, no sform": (nifti_bytes(VOXELS, (PIXDIM, (-1, 1, 1)), (FORM_CODES, (1, 0))), "spacing"),
    "sform of rank 2": (nifti_bytes(VOXELS, (SFORM, (*(1, 0, 0, 0) * 2, 0, 0, 3, 0))), "singular"),
    "sform of two axes almost alike": (
        nifti_bytes(VOXELS, (SFORM, (1, 1, 0, 0, 0, 1e-4, 0, 0, 0, 0, 3, 0))),
        "singular",
    ),
    "sform of zeros": (nifti_bytes(VOXELS, (SFORM, (0,) * 12)), "singular"),
    "sform with NaN": (nifti_bytes(VOXELS, (SFORM, (NAN,) * 12)), "affine that is not finite"),
    "impossible quaternion": (nifti_bytes(VOXELS, (QUATERNION, (3, 3, 3)), (FORM_CODES, (1, 0))), "affine"),
    "scl_inter NaN": (nifti_bytes(VOXELS, (SCALING, (1, NAN))), "scl_inter"),
    "scaled out of float32": (nifti_bytes(VOXELS, (SCALING, (3e38, 0))), "not finite"),
    "2-D": (nifti_bytes(VOXELS[:, :, 1]), r"shape \(6, 5\)"),
    "one slice": (nifti_bytes(VOXELS[:, :, 1:2]), r"shape \(6, 5, 1\)"),
    "one row": (nifti_bytes(VOXELS[:1]), r"shape \(1, 5, 4\)"),
    "4-D": (nifti_bytes(np.stack([VOXELS, VOXELS], axis=-1)), r"4-D with shape \(6, 5, 4, 2\)"),
    "5-D vector": (nifti_bytes(np.zeros((*SHAPE, 1, 3), np.float32)), "5-D"),
    "some NaN": (nifti_bytes(with_value(NAN)), "8 voxels that are NaN or infinite"),
    "some infinity": (nifti_bytes(with_value(INF)), "8 voxels that are NaN or infinite"),
    "some minus infinity": (nifti_bytes(with_value(-INF)), "not finite"),
    "larger than float32": (nifti_bytes(with_value(1e300, np.float64)), "not finite"),
    "claims 513^3 voxels": (header_only((513, 513, 513), np.int16), "too large.*134217728"),
    "claims 512^3 voxels": (header_only((512, 512, 512), np.float64), "too short"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_CONTAINERS.values(), ids=BAD_CONTAINERS.keys())
def test_bad_container_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = write(tmp_path, content, "case_t1.nii.gz")
    with pytest.raises(InvalidImageError, match=reason) as refusal:
        read_nifti(path)
    assert refusal.value.path == path


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("content", "reason"), BAD_PLAIN.values(), ids=BAD_PLAIN.keys())
def test_bad_file_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str, ending: str) -> None:
    path = write(tmp_path, gzip.compress(content) if ending == ".nii.gz" else content, f"case_t1{ending}")
    with pytest.raises(InvalidImageError, match=reason) as refusal:
        read_nifti(path)
    assert refusal.value.path == path
    assert refusal.value.remedy


@pytest.mark.parametrize("offset", [0, 540])
def test_voxel_offset_inside_a_nifti_2_header_is_refused(tmp_path: Path, offset: int) -> None:
    content = bytearray(nibabel.Nifti2Image(VOXELS, AFFINE).to_bytes())
    struct.pack_into("<q", content, 168, offset)
    with pytest.raises(InvalidImageError, match="voxel offset"):
        read_nifti(write(tmp_path, bytes(content)))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "missing: no such file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.symlink_to("nowhere.nii"), "symbolic link"),
        (lambda path: path.symlink_to(path.name), "symbolic link"),
        (lambda path: os.mkfifo(path), "not a regular file"),
    ],
    ids=["missing", "directory", "dangling link", "link to itself", "pipe"],
)
def test_what_is_not_a_file_is_refused(tmp_path: Path, make: Any, reason: str) -> None:
    path = tmp_path / "case_t1.nii"
    make(path)
    with pytest.raises(InvalidImageError, match=reason):
        read_nifti(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, nifti_bytes())
    path.chmod(0)
    with pytest.raises(InvalidImageError, match="Permission denied"):
        read_nifti(path)


def test_read_error_of_the_disk_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, nifti_bytes())
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(InvalidImageError, match="Permission denied"):
        read_nifti(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("claim", [(32767, 32767, 32767), (512, 512, 512)])
def test_lying_header_costs_neither_memory_nor_time(tmp_path: Path, claim: tuple[int, int, int], ending: str) -> None:
    content = header_only(claim, np.float64)
    path = write(tmp_path, gzip.compress(content) if ending == ".nii.gz" else content, f"lie{ending}")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(InvalidImageError, match=r"too large|too short"):
        read_nifti(path)
    assert time.monotonic() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB; the claim is 1 GiB or more


def test_too_large_a_claim_is_refused_before_any_voxel_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, header_only((32767, 32767, 32767), np.int16))
    counts: list[int] = []
    read_bytes = nifti.read_bytes
    monkeypatch.setattr(nifti, "read_bytes", lambda path, count: (counts.append(count), read_bytes(path, count))[1])
    with pytest.raises(InvalidImageError, match="too large"):
        read_nifti(path)
    assert counts == [540]


FOUR = np.stack([VOXELS, VOXELS + 1, VOXELS + 2, VOXELS + 3], axis=-1)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("channel", range(4))
def test_one_channel_of_a_4d_file_is_read(tmp_path: Path, channel: int, compressed: bool) -> None:
    content = nifti_bytes(FOUR)
    path = write(tmp_path, gzip.compress(content) if compressed else content, f"a.nii{'.gz' if compressed else ''}")
    volume = read_nifti(path, channel, channel_count=4)
    assert np.array_equal(volume.array, FOUR[..., channel])
    assert volume.warnings == ()
    np.testing.assert_array_equal(volume.affine, AFFINE)


def test_unasked_channels_are_refused_with_the_order_of_msd(tmp_path: Path) -> None:
    with pytest.raises(InvalidImageError, match="4-D") as refusal:
        read_nifti(write(tmp_path, nifti_bytes(FOUR)))
    assert "looks like an MSD" in refusal.value.remedy
    assert "channel order FLAIR, T1w, T1gd, T2w" in refusal.value.remedy
    with pytest.raises(InvalidImageError, match="4-D") as refusal:
        read_nifti(write(tmp_path, nifti_bytes(FOUR[..., :3])))
    assert "MSD" not in refusal.value.remedy


@pytest.mark.parametrize(
    ("volume", "channel", "count", "reason"),
    [
        (VOXELS, 0, None, r"shape \(6, 5, 4\): a 4-D file is needed \(channel 0"),
        (VOXELS, 0, 4, r"a 4-D file is needed \(4 channels are"),
        (FOUR, 4, None, r"has 4 channels .* where channel 4 \(counted from 0\) is expected"),
        (FOUR, -1, None, "has 4 channels"),
        (FOUR[..., :3], 0, 4, "has 3 channels .* where 4 channels are expected"),
        (FOUR[..., None, :], 0, None, r"a 4-D file is needed \(channel 0"),
    ],
)
def test_a_channel_that_is_not_there_is_refused(
    tmp_path: Path, volume: np.ndarray[Any, Any], channel: int, count: int | None, reason: str
) -> None:
    with pytest.raises(InvalidImageError, match=reason):
        read_nifti(write(tmp_path, nifti_bytes(volume)), channel, count)


@pytest.mark.parametrize("channel", [0, 3])
def test_a_4d_file_is_checked_to_its_end_whatever_the_channel(tmp_path: Path, channel: int) -> None:
    content = nifti_bytes(FOUR)
    with pytest.raises(InvalidImageError, match=f"too short: {len(content) - 20} bytes .* expects {len(content)}"):
        read_nifti(write(tmp_path, content[:-20]), channel)
    stream = bytearray(gzip.compress(content))
    stream[-8] ^= 0xFF
    with pytest.raises(InvalidImageError, match="CRC"):
        read_nifti(write(tmp_path, bytes(stream), "a.nii.gz"), channel)


def test_only_the_asked_channel_is_judged(tmp_path: Path) -> None:
    volume = FOUR.astype(np.float32)
    volume[1, 1, 1, 2] = NAN
    volume[1, 1, 1, 3] = -5
    path = write(tmp_path, nifti_bytes(volume))
    assert read_nifti(path, 0).warnings == ()
    with pytest.raises(InvalidImageError, match="channel 2 has 1 voxels that are NaN"):
        read_nifti(path, 2)
    assert read_nifti(path, 3).warnings == ("channel 3 has negative intensities (down to -5): background must be 0",)


def test_the_size_limit_is_that_of_the_asked_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, nifti_bytes(FOUR))
    monkeypatch.setattr(nifti, "MAX_VOXELS", VOXELS.size)
    assert read_nifti(path, 3).array.shape == SHAPE
    monkeypatch.setattr(nifti, "MAX_VOXELS", VOXELS.size - 1)
    with pytest.raises(InvalidImageError, match="too large"):
        read_nifti(path, 3)


SOUND = {
    "plain": nifti_bytes(),
    "gzip": gzip.compress(nifti_bytes()),
    "big-endian": byteswapped(nibabel.Nifti1Image),
    "NIfTI-2": bytes(nibabel.Nifti2Image(VOXELS, AFFINE).to_bytes()),
    "big-endian NIfTI-2": byteswapped(nibabel.Nifti2Image),
    "float64": nifti_bytes(VOXELS.astype(np.float64)),
    "float32": nifti_bytes(VOXELS.astype(np.float32)),
    "uint16": nifti_bytes(VOXELS.astype(np.uint16)),
    "only a qform": nifti_bytes(VOXELS, (FORM_CODES, (1, 0))),
    "both forms": nifti_bytes(VOXELS, (FORM_CODES, (1, 1))),
    "slope 0, which means none": nifti_bytes(VOXELS, (SCALING, (0, NAN))),
    "voxel offset after an extension": nifti_bytes(VOXELS, (VOX_OFFSET, (368.0,)))[:352]
    + bytes(16)
    + nifti_bytes()[352:],
}


@pytest.mark.parametrize("content", SOUND.values(), ids=SOUND.keys())
def test_sound_file_is_read_exactly_and_silently(tmp_path: Path, content: bytes) -> None:
    compressed = content[:2] == b"\x1f\x8b"
    volume = read_nifti(write(tmp_path, content, "case_t1.nii.gz" if compressed else "case_t1.nii"))
    assert volume.array.dtype == np.float32
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array, VOXELS)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert volume.warnings == ()


def test_gzip_is_recognised_by_content_whatever_the_name(tmp_path: Path) -> None:
    volume = read_nifti(str(write(tmp_path, gzip.compress(nifti_bytes()), "case_t1.nii")))
    np.testing.assert_array_equal(volume.array, VOXELS)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    volume = read_nifti(write(tmp_path, nifti_bytes(VOXELS, (SCALING, (0.5, 10)))))
    np.testing.assert_allclose(volume.array, VOXELS * 0.5 + 10)
    assert volume.warnings == ()


def test_intercept_alone_is_applied(tmp_path: Path) -> None:
    volume = read_nifti(write(tmp_path, nifti_bytes(VOXELS, (SCALING, (1, 7)))))
    np.testing.assert_allclose(volume.array, VOXELS + 7.0)


DOUBTFUL = {
    "4-D with one volume": (nifti_bytes(VOXELS[..., None]), "4-D"),
    "slope NaN": (nifti_bytes(VOXELS, (SCALING, (NAN, 0))), "scl_slope"),
    "slope infinite": (nifti_bytes(VOXELS, (SCALING, (INF, NAN))), "scl_slope"),
    "trailing bytes": (nifti_bytes() + bytes(1000), "goes on for 1000 bytes"),
    "extension that is longer than its room": (
        nifti_bytes(VOXELS, (VOX_OFFSET, (368.0,)))[:348] + b"\1\0\0\0" + b"\xff" * 16 + nifti_bytes()[352:],
        "damaged header extensions",
    ),
    "metres by name": (nifti_bytes(VOXELS, (XYZT_UNITS, (1,))), "in metres"),
    "bitpix of another type": (nifti_bytes(VOXELS, (BITPIX, (64,))), "bitpix 64"),
}


@pytest.mark.parametrize(("content", "warning"), DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_doubtful_file_is_read_with_one_warning(tmp_path: Path, content: bytes, warning: str) -> None:
    volume = read_nifti(write(tmp_path, content))
    np.testing.assert_array_equal(volume.array, VOXELS)
    assert len(volume.warnings) == 1
    assert warning in volume.warnings[0]


DOUBTFUL_GEOMETRY = {
    "no form": (nifti_bytes(VOXELS, (FORM_CODES, (0, 0))), "neither sform nor qform"),
    "forms disagree": (nifti_bytes(VOXELS, (FORM_CODES, (1, 1)), (SFORM, FLIPPED)), "disagree"),
    "broken qform beside a sound sform": (
        nifti_bytes(VOXELS, (FORM_CODES, (1, 1)), (QUATERNION, (3, 3, 3))),
        "disagree",
    ),
    "micrometres": (nifti_bytes(affine=np.diag([-1e-6, -1e-6, 3e-6, 1])), "spacing"),
    "metres": (nifti_bytes(affine=np.diag([-1000, -1000, 3000, 1])), "spacing"),
}


@pytest.mark.parametrize(("content", "warning"), DOUBTFUL_GEOMETRY.values(), ids=DOUBTFUL_GEOMETRY.keys())
def test_doubtful_geometry_is_a_warning(tmp_path: Path, content: bytes, warning: str) -> None:
    warnings = read_nifti(write(tmp_path, content)).warnings
    assert len(warnings) == 1
    assert warning in warnings[0]


def test_sform_wins_over_a_qform_that_disagrees(tmp_path: Path) -> None:
    content = nifti_bytes(VOXELS, (FORM_CODES, (1, 1)), (SFORM, FLIPPED))
    np.testing.assert_allclose(read_nifti(write(tmp_path, content)).affine[:3], np.reshape(FLIPPED, (3, 4)))


@pytest.mark.parametrize(("value", "warning"), [(-1024.0, "negative intensities .*-1024"), (1e30, "spike")])
def test_doubtful_intensity_is_a_warning(tmp_path: Path, value: float, warning: str) -> None:
    (text,) = read_nifti(write(tmp_path, nifti_bytes(with_value(value)))).warnings
    assert re.search(warning, text)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(st.lists(st.tuples(st.integers(0, 347), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_header_is_read_or_refused_but_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(nifti_bytes())
    for position, value in changes:
        content[position] = value
    path = write(tmp_path_factory.getbasetemp(), bytes(content), "changed.nii")
    volume = None
    with contextlib.suppress(InvalidImageError):
        volume = read_nifti(path)
    if volume is not None:
        assert np.isfinite(volume.array).all()
        assert np.isfinite(volume.affine).all()
