"""A zipped package is read without unpacking it to disk; an archive that is unsafe or a bomb is refused."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from utad_monai.checkpoints import CheckpointError, load_translator
from utad_monai.packaging import archive as module
from utad_monai.packaging.layout import PackageFile


@pytest.fixture
def zipped(bare_package: Path, tmp_path: Path) -> Path:
    """Give a sound zip file of a package, in a folder as people pack it."""
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bare_package.rglob("*")):
            archive.write(file, Path("my package") / file.relative_to(bare_package))
    return path


def add(path: Path, name: str, content: bytes = b"x", mode: int = 0) -> None:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, content)


@pytest.mark.parametrize("top", ["", "my package"])
def test_zipped_package_is_the_package(bare_package: Path, tmp_path: Path, top: str) -> None:
    path = tmp_path / "package.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        for file in bare_package.rglob("*"):
            archive.write(file, Path(top) / file.relative_to(bare_package))
    before = sorted(tmp_path.rglob("*"))
    ours, folder = load_translator(path), load_translator(bare_package)
    assert (ours.sha256, ours.preprocessing, ours.training) == (folder.sha256, folder.preprocessing, folder.training)
    image, target = torch.rand(1, 1, 32, 32), torch.tensor([2])
    assert torch.equal(ours.generator(image, image, target).image, folder.generator(image, image, target).image)
    assert sorted(tmp_path.rglob("*")) == before, "nothing was unpacked"


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("../../evil", 0, "outside"),
        ("a/../../evil", 0, "outside"),
        ("/etc/evil", 0, "outside"),
        ("C:/evil", 0, "outside"),
        ("..\\evil", 0, "outside"),
        ("evil\x1b[31m", 0, "control characters"),
        ("link", stat.S_IFLNK | 0o777, "symbolic link"),
        ("pipe", stat.S_IFIFO | 0o777, "special file"),
        ("my package/configs/translator.json", 0, "more than once"),
        ("MY PACKAGE/Configs/TRANSLATOR.json", 0, "more than once"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unsafe_member_is_refused(zipped: Path, name: str, mode: int, reason: str) -> None:
    add(zipped, name, mode=mode)
    with pytest.raises(CheckpointError, match=rf"package\.zip.*unsafe.*{reason}"):
        load_translator(zipped)


def test_bomb_is_refused(zipped: Path) -> None:
    add(zipped, "padding", bytes(20_000_000))
    with pytest.raises(CheckpointError, match=r"too large.*ratio"):
        load_translator(zipped)


def test_archive_of_too_much_in_all_is_refused(zipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="too large"):
        load_translator(zipped)


def test_archive_of_too_many_files_is_refused(zipped: Path) -> None:
    with zipfile.ZipFile(zipped, "a") as archive:
        for number in range(1001):
            archive.writestr(f"{number}", b"")
    with pytest.raises(CheckpointError, match="too large"):
        load_translator(zipped)


def test_encrypted_member_is_refused(zipped: Path) -> None:
    content = bytearray(zipped.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 8] |= 1  # the bit in the directory's last entry that says so
    zipped.write_bytes(content)
    with pytest.raises(CheckpointError, match="encrypted"):
        load_translator(zipped)


def test_damaged_member_is_refused(zipped: Path) -> None:
    content = bytearray(zipped.read_bytes())
    place = content.index(PackageFile.WEIGHTS.encode()) + 2000
    content[place : place + 50] = bytes(50)
    zipped.write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or corrupt"):
        load_translator(zipped)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_archive_is_refused(zipped: Path, share: float) -> None:
    whole = zipped.read_bytes()
    zipped.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=str(zipped)):
        load_translator(zipped)


def test_archive_that_is_no_package_and_none_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(CheckpointError, match=r"no configs/translator\.json: no package"):
        load_translator(tmp_path / "other.zip")
    with pytest.raises(CheckpointError, match="is missing"):
        load_translator(tmp_path / "none.zip")


def test_archive_with_two_packages_is_refused(zipped: Path) -> None:
    add(zipped, "another/configs/translator.json")
    with pytest.raises(CheckpointError, match="several"):
        load_translator(zipped)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.xz"])
def test_tar_archive_is_refused_unopened_with_the_way_out(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"package.{ending}"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    with pytest.raises(CheckpointError, match=r"tar archive.*links.*\.zip"):
        load_translator(path)
