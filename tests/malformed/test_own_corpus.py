"""Tiny malformed cohorts of every class: a bad case between two sound ones."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

Make = Callable[[Path], Any]
NAN, INF = float("nan"), float("inf")
ERROR, WARNING, SILENT = "error", "warning", "silent"


def file_of(cohort: Path, part: str = "flair") -> Path:
    return cohort / "BraTS_001" / f"BraTS_001_{part}.nii.gz"


def put(content: bytes, part: str = "flair") -> Make:
    return lambda cohort: file_of(cohort, part).write_bytes(content)


def stored(change: Callable[[bytes], bytes], part: str = "flair") -> Make:
    """Change the compressed bytes."""
    return lambda cohort: file_of(cohort, part).write_bytes(change(file_of(cohort, part).read_bytes()))


def plain(change: Callable[[bytes], bytes], part: str = "flair") -> Make:
    """Change the bytes inside the compression."""
    return stored(lambda content: gzip.compress(change(gzip.decompress(content))), part)


def header(offset: int, form: str, *values: Any, part: str = "flair") -> Make:
    def change(content: bytes) -> bytes:
        return content[:offset] + struct.pack(f"<{form}", *values) + content[offset + struct.calcsize(f"<{form}") :]

    return plain(change, part)


def voxels(change: Callable[[Any], Any], part: str = "flair", affine: Any = None, image: Any = None) -> Make:
    """Change voxels, affine or kind of image."""

    def make(cohort: Path) -> None:
        path = file_of(cohort, part)
        old = nibabel.load(path)
        changed = change(np.asarray(old.dataobj).copy())
        form = image or nibabel.Nifti1Image
        form(changed, old.affine if affine is None else affine(old.affine)).to_filename(path)

    return make


def same(array: Any) -> Any:
    return array


def with_voxels(value: float, dtype: Any = np.float32) -> Callable[[Any], Any]:
    """Set eight voxels in the middle."""

    def change(array: Any) -> Any:
        array = array.astype(dtype)
        array[11:13, 9:11, 5:7] = value
        return array

    return change


def scaled(*factors: float) -> Callable[[Any], Any]:
    return lambda affine: affine @ np.diag([*factors, 1.0])


def moved(x: float) -> Callable[[Any], Any]:
    return lambda affine: affine + np.array([[0, 0, 0, x]] + 3 * [[0, 0, 0, 0]])


def replaced(make: Callable[[Path], Any], part: str = "flair") -> Make:
    """Put something else in a file's place."""

    def put_there(cohort: Path) -> None:
        file_of(cohort, part).unlink()
        make(file_of(cohort, part))

    return put_there


def renamed(name: str) -> Make:
    def rename(cohort: Path) -> None:
        for path in (cohort / "BraTS_001").iterdir():
            path.rename(path.with_name(path.name.replace("BraTS_001", name)))
        (cohort / "BraTS_001").rename(cohort / name)

    return rename


def copied(*names: str) -> Make:
    def copy(cohort: Path) -> None:
        for name in names:
            shutil.copytree(cohort / "BraTS_001", cohort / name)
            renamed_files = list((cohort / name).iterdir())
            for path in renamed_files:
                path.rename(path.with_name(path.name.replace("BraTS_001", name)))
        shutil.rmtree(cohort / "BraTS_001")

    return copy


def bomb(shape: tuple[int, int, int]) -> bytes:
    """Return a file whose zeros expand to what its header says, made without holding them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = nibabel.Nifti1Header()
    head.set_data_shape(shape)
    head.set_data_dtype(np.int16)
    head["magic"], head["vox_offset"], head["srow_x"][0], head["sform_code"] = b"n+1", 352, 1, 1
    head["srow_y"][1] = head["srow_z"][2] = 1
    parts = [squeeze.compress(head.binaryblock + bytes(4))]
    parts.extend(squeeze.compress(bytes(1 << 20)) for _ in range(int(np.prod(shape)) * 2 >> 20))
    return b"".join([*parts, squeeze.flush()])


def extension(claim: int, room: int) -> Callable[[bytes], bytes]:
    """Insert a header extension that claims a size."""

    def change(content: bytes) -> bytes:
        head = content[:108] + struct.pack("<f", 352.0 + room) + content[112:348] + b"\1\0\0\0"
        return head + struct.pack("<2i", claim, 6) + bytes(room - 8) + content[352:]

    return change


def outside(cohort: Path) -> Path:
    secret = cohort.parent / "secret"
    secret.mkdir(exist_ok=True)
    shutil.copy(file_of(cohort), secret / "BraTS_001_flair.nii.gz")
    return secret


def linked_file(cohort: Path) -> None:
    target = outside(cohort) / "BraTS_001_flair.nii.gz"
    replaced(lambda path: path.symlink_to(target))(cohort)


def linked_folder(cohort: Path) -> None:
    (cohort / "away").symlink_to(outside(cohort))


def lopsided(array: Any) -> Any:
    """Cut a corner off the brain, so that it differs from its mirror image."""
    array[:9] = 0
    return array


def noisy_half(array: Any) -> Any:
    """Leave the background of every other plane free, as a head with its skull does."""
    array[::2] += 1
    return array


def brain_as_segmentation(cohort: Path) -> None:
    image = nibabel.load(file_of(cohort, "t1"))
    brain = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    nibabel.Nifti1Image(brain, image.affine).to_filename(file_of(cohort, "seg"))


def mirrored_content(cohort: Path) -> None:
    for part in ("flair", "t1", "t1ce", "t2"):
        voxels(lopsided, part)(cohort)
    voxels(lambda array: array[::-1].copy())(cohort)


def relabelled_grid(cohort: Path) -> None:
    """Take away the affine of an image whose voxels are stored in mirrored order."""
    for part in ("flair", "t1", "t1ce", "t2"):
        voxels(lopsided, part)(cohort)
    voxels(lambda array: array[::-1].copy())(cohort)
    header(252, "2h", 0, 0)(cohort)


def swapped_bytes(cohort: Path) -> None:
    old = nibabel.load(file_of(cohort))
    content = old.header.copy().as_byteswapped(">")
    nibabel.Nifti1Image(np.asarray(old.dataobj), old.affine, content).to_filename(file_of(cohort))


def as_ras(cohort: Path) -> None:
    old = nibabel.load(file_of(cohort))
    nibabel.as_closest_canonical(old).to_filename(file_of(cohort))


CORPUS: dict[str, tuple[str, str, Make]] = {
    "zero bytes": (ERROR, "empty", put(b"")),
    "half a gzip stream": (ERROR, "truncated", stored(lambda content: content[: len(content) // 2])),
    "plain bytes named gz": (ERROR, "not a gzip", stored(gzip.decompress)),
    "a web page": (ERROR, "not a gzip", put(b"<html>404</html>")),
    "a pointer of git lfs": (ERROR, "not a gzip", put(b"version https://git-lfs.github.com/spec/v1\n")),
    "fewer voxels than claimed": (ERROR, "too short", plain(lambda content: content[:-500])),
    "a claim of 32767 cubed": (ERROR, "too large", header(42, "3h", 32767, 32767, 32767)),
    "compressed twice": (ERROR, "not a NIfTI", stored(gzip.compress)),
    "wrong magic": (ERROR, "magic", header(344, "4s", b"abc\0")),
    "wrong size of the header": (ERROR, "sizeof_hdr", header(0, "i", 347)),
    "no dimension": (ERROR, "dim", header(40, "h", 0)),
    "nine dimensions": (ERROR, "dim", header(40, "h", 9)),
    "a negative axis": (ERROR, "negative dimension", header(42, "h", -24)),
    "unknown data type": (ERROR, "data type", header(70, "h", 999)),
    "other bits per voxel": (WARNING, "bitpix", header(72, "h", 64)),
    "voxels behind the end": (ERROR, "offset", header(108, "f", 1e9)),
    "voxels nowhere": (ERROR, "offset", header(108, "f", NAN)),
    "no spacing": (ERROR, "pixdim", lambda c: (header(80, "3f", 0, 0, 0)(c), header(252, "2h", 1, 0)(c))),
    "spacing NaN": (ERROR, "pixdim", lambda c: (header(80, "3f", NAN, 1, 1)(c), header(252, "2h", 1, 0)(c))),
    "no affine": (WARNING, "neither sform nor qform", header(252, "2h", 0, 0)),
    "singular affine": (ERROR, "singular", header(280, "4f", 0, 0, 0, 0)),
    "forms disagree": (
        WARNING,
        "qform .* disagree",
        lambda c: (header(252, "2h", 1, 1)(c), header(280, "4f", 1.5, 0, 0, -9)(c)),
    ),
    "slope NaN": (WARNING, "scl_slope", header(112, "2f", NAN, 0)),
    "intercept NaN": (ERROR, "scl_inter", header(112, "2f", 1, NAN)),
    "big-endian": (SILENT, "", swapped_bytes),
    "NIfTI-2": (SILENT, "", voxels(same, image=nibabel.Nifti2Image)),
    "complex voxels": (ERROR, "complex", voxels(lambda array: array.astype(np.complex64))),
    "4-D with one volume": (WARNING, "4-D", voxels(lambda array: array[..., None])),
    "4-D with two volumes": (ERROR, "4-D", voxels(lambda array: np.stack([array, array], -1))),
    "one slice": (ERROR, "several slices", voxels(lambda array: array[:, :, :1])),
    "micrometres": (WARNING, "another unit", voxels(same, affine=scaled(1e-3, 1e-3, 1e-3))),
    "some NaN": (ERROR, "not finite", voxels(with_voxels(NAN))),
    "some infinite": (ERROR, "not finite", voxels(with_voxels(INF))),
    "all zero": (ERROR, "all zero", voxels(np.zeros_like)),
    "constant": (ERROR, "constant", voxels(np.ones_like)),
    "background of -1024": (WARNING, "background", voxels(lambda array: np.where(array == 0, -1024, array))),
    "saturated": (WARNING, "saturated", voxels(lambda array: array.clip(0, int(np.percentile(array[array > 0], 60))))),
    "a spike": (WARNING, "spike", voxels(with_voxels(1e30))),
    "denormal": (WARNING, "denormal", voxels(lambda array: (array * np.float32(1e-43)).astype(np.float32))),
    "another shape": (ERROR, "shape", voxels(lambda array: array[:, :, :-1], "t1ce")),
    "an origin off by rounding": (SILENT, "", voxels(same, "t1ce", moved(1e-5))),
    "another origin": (ERROR, "affine", voxels(same, "t1ce", moved(5.0))),
    "stored as RAS": (SILENT, "", as_ras),
    "another spacing": (ERROR, "spacing", voxels(same, "t1ce", scaled(2, 1, 1))),
    "a copy of another modality": (WARNING, "duplicate", lambda c: shutil.copy(file_of(c, "t1"), file_of(c, "t1ce"))),
    "label 3": (ERROR, "label", voxels(with_voxels(3, np.uint8), "seg")),
    "label -1": (ERROR, "label", voxels(with_voxels(-1, np.int16), "seg")),
    "label NaN": (ERROR, "not finite", voxels(with_voxels(NAN), "seg")),
    "label one half": (ERROR, "label values 0.5", voxels(with_voxels(0.5), "seg")),
    "no label": (WARNING, "is empty", voxels(np.zeros_like, "seg")),
    "labels as float": (SILENT, "", voxels(lambda array: array.astype(np.float32), "seg")),
    "a shifted segmentation": (ERROR, "affine", voxels(same, "seg", moved(10))),
    "an image as segmentation": (ERROR, "label", lambda c: shutil.copy(file_of(c, "t1"), file_of(c, "seg"))),
    "a segmentation of the brain": (WARNING, "covers", brain_as_segmentation),
    "a dead link": (ERROR, "symbolic link .* missing", replaced(lambda path: path.symlink_to("nowhere"))),
    "a link to itself": (ERROR, "link", replaced(lambda path: path.symlink_to(path.name))),
    "a directory": (ERROR, "directory", replaced(Path.mkdir)),
    "a pipe": (ERROR, "not a regular file", replaced(os.mkfifo)),
    "letters of the world": (SILENT, "", renamed("BräTS_患者_001")),
    "spaces": (SILENT, "", renamed("BraTS 001 (copy)")),
    "a formula": (WARNING, "character '='", renamed("=1+1")),
    "a line break in the name": (ERROR, "control characters", renamed("BraTS_\n001")),
    "a name too long": (ERROR, "longer than", renamed("B" * 210)),
    "names that differ in case alone": (
        ERROR,
        "duplicate case name",
        copied("Other_001", "OTHER_001"),
    ),
    "names that differ in accents' form": (
        ERROR,
        "duplicate case name",
        copied("Bräts", unicodedata.normalize("NFD", "Bräts")),
    ),
    "unreadable": (ERROR, "ermission", lambda cohort: file_of(cohort).chmod(0)),
    "copies by macOS": (SILENT, "", lambda c: (c / "BraTS_001" / "._BraTS_001_flair.nii.gz").write_bytes(b"Mac OS X")),
    "a link out of the cohort": (ERROR, "leads outside", linked_file),
    "a linked folder outside": (ERROR, "leads outside", linked_folder),
    "a bomb behind the voxels": (ERROR, "too long", plain(lambda content: content + bytes(1 << 24))),
    "a bomb of zeros": (ERROR, "suspicious", put(bomb((512, 512, 512)))),
    "something after the voxels": (WARNING, "after its voxels", plain(lambda content: content + b"more" * 9)),
    "something after the stream": (ERROR, "damaged", stored(lambda content: content + b"garbage")),
    "a second file after the stream": (WARNING, "after its voxels", stored(lambda content: content + content)),
    "a wrong check sum": (ERROR, "CRC", stored(lambda content: content[:-8] + b"\0\1\2\3" + content[-4:])),
    "an extension that lies": (WARNING, "damaged header extensions", plain(extension(2**31 - 16, 32))),
    "an extension of no size": (WARNING, "damaged header extensions", plain(extension(0, 32))),
    "an extension of 2 MiB": (ERROR, "offset", plain(extension(2 << 20, 2 << 20))),
    "a sound extension": (SILENT, "", plain(extension(32, 32))),
    "a slope that overflows": (ERROR, "not finite", header(112, "2f", 3e38, 0)),
    "float64 beyond float32": (ERROR, "not finite", voxels(with_voxels(1e300, np.float64))),
    "a sheared affine": (
        ERROR,
        "affine",
        voxels(same, affine=lambda a: a @ np.array([[1, 0.3, 0, 0], *np.eye(4)[1:]])),
    ),
    "lengths in metres by name": (WARNING, "in metres", header(123, "b", 1)),
    "a mirrored image": (WARNING, "mirrored", mirrored_content),
    "a mirrored image without affine": (ERROR, "affine", relabelled_grid),
    "an image with its skull": (WARNING, "skull", voxels(noisy_half)),
    "two files of one modality": (
        ERROR,
        "twice",
        lambda c: shutil.copy(file_of(c), c / "BraTS_001" / "BraTS_001_flair.nii"),
    ),
    "an empty gzip stream": (ERROR, "too short", put(gzip.compress(b""))),
    "a zip archive": (ERROR, "not a gzip", put(b"PK\3\4" + bytes(400))),
}
"""What must be done, what must be said, and how the cohort is made bad."""


@pytest.fixture(scope="module")
def sound(bench: Any, write_case: Callable[..., Path]) -> Path:
    root: Path = bench.new_folder() / "cohort"
    for number in range(3):
        write_case(root, f"BraTS_{number:03d}", seed=number)
    return root


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", CORPUS)
def test_a_malformed_cohort_is_judged_rightly(bench: Any, sound: Path, name: str) -> None:
    right, pattern, make = CORPUS[name]
    cohort = bench.new_folder() / "cohort"
    shutil.copytree(sound, cohort)
    make(cohort)
    bench.judge(cohort, right, pattern, ("",), as_nobody=name == "unreadable")


def test_an_empty_cohort_is_refused(bench: Any) -> None:
    bench.judge(bench.new_folder(), "nothing", "holds no case", ("",))


def test_an_output_that_cannot_be_written_is_refused(bench: Any, sound: Path) -> None:
    output = bench.new_folder()
    output.chmod(0o555)
    bench.judge(sound, "nothing", "cannot be written .*ermission", (output.name,), output, as_nobody=True)


def test_a_table_that_leads_outside_is_refused(bench: Any, sound: Path) -> None:
    table = sound / "list.csv"
    table.write_text("flair,t1\n../outside/secret.nii.gz,BraTS_001/BraTS_001_t1.nii.gz\n", encoding="utf-8")
    bench.judge(table, "nothing", "points outside", ("secret",))
    table.unlink()


def test_processes_end_with_the_same_codes(bench: Any, sound: Path) -> None:
    cohort = bench.new_folder() / "cohort"
    shutil.copytree(sound, cohort)
    file_of(cohort).write_bytes(b"")
    arguments = [sys.executable, "-m", "utad_monai", "check", str(cohort)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(arguments, capture_output=True, encoding="utf-8", env=environment, check=False)
    assert ended.returncode == 2
    assert "is empty (0 bytes)" in ended.stdout
    assert "Traceback" not in ended.stderr
