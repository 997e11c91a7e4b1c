"""Where a model's weights are."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from utad_monai.models import CheckpointError, TranslatorModel, file_sha256, load_segmenter, load_translator
from utad_monai.models import package_file as module
from utad_monai.models.package_file import PackageFile, weights_file
from utad_monai.models.translator_model import fill_from_package
from utad_monai.networks import StudentTranslator, TumourAwareGenerator


def test_weights_of_a_model_file_are_the_file(tmp_path: Path) -> None:
    assert weights_file(tmp_path / "model.safetensors") == tmp_path / "model.safetensors"


def test_weights_of_a_package_are_inside_it(tmp_path: Path) -> None:
    assert weights_file(tmp_path) == tmp_path / "models" / "model.pt"


def test_files_that_the_model_zoo_asks_for_are_there() -> None:
    wanted = {"LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md"}
    assert wanted <= {file.value for file in PackageFile}


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


State = dict[str, Any]


def change_description(package: Path, change: Callable[[State], object]) -> None:
    content = json.loads((package / PackageFile.TRANSLATOR).read_text())
    change(content)
    (package / PackageFile.TRANSLATOR).write_text(json.dumps(content))


def change_weights(package: Path, change: Callable[[State], object]) -> None:
    state = torch.load(package / PackageFile.WEIGHTS, weights_only=True)
    change(state)
    torch.save(state, package / PackageFile.WEIGHTS)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("hacked",)


def test_package_is_the_model_it_was_made_from(bare_package: Path, tiny_student_file: Path) -> None:
    ours, original = load_translator(bare_package), load_translator(tiny_student_file)
    expected = replace(original, generator=ours.generator, critics=None, sha256=ours.sha256)
    assert ours == expected
    assert ours.sha256 == file_sha256(bare_package / PackageFile.WEIGHTS) != original.sha256
    image, target = torch.rand(2, 1, 32, 32), torch.tensor([0, 3])
    assert torch.equal(ours.generator(image, image, target).image, original.generator(image, image, target).image)


def test_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"without configs/translator\.json: no package.*give a model file"):
        load_translator(tmp_path)


def test_package_without_weights_is_refused(bare_package: Path) -> None:
    (bare_package / PackageFile.WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"model\.pt: checkpoint is missing"):
        load_translator(bare_package)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"description": 3}', "\xff", "[" * 100_000])
def test_damaged_description_is_refused(bare_package: Path, text: str) -> None:
    (bare_package / PackageFile.TRANSLATOR).write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"translator\.json: checkpoint (is no readable|has no desc)"):
        load_translator(bare_package)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("kind"), "no description"),
        (lambda content: content.update(kind="segmenter"), "holds a segmentation network"),
        (lambda content: content.update(format=99), "newer or unknown form .99"),
        (lambda content: content["description"].pop("preprocessing"), "unusable description"),
        (lambda content: content["description"]["generator"].update(base_channels=4), "does not fit"),
        (lambda content: content["description"]["generator"].update(danger=1), "unusable description"),
    ],
)
def test_foreign_description_is_refused(bare_package: Path, change: Callable[[State], object], reason: str) -> None:
    change_description(bare_package, change)
    with pytest.raises(CheckpointError, match=reason):
        load_translator(bare_package)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.popitem(), "does not fit"),
        (lambda state: state.update(extra=torch.zeros(1)), "no state dict of a packaged student"),
        (lambda state: next(iter(state.values())).view(-1)[:1].fill_(float("nan")), "NaN or infinite"),
        (lambda state: state.update({next(iter(state)): torch.zeros(1)}), "does not fit"),
    ],
)
def test_foreign_or_damaged_weights_are_refused(
    bare_package: Path, change: Callable[[State], object], reason: str
) -> None:
    change_weights(bare_package, change)
    with pytest.raises(CheckpointError, match=reason):
        load_translator(bare_package)


def test_weights_that_are_no_state_dict_are_refused(bare_package: Path) -> None:
    torch.save([torch.zeros(2)], bare_package / PackageFile.WEIGHTS)
    with pytest.raises(CheckpointError, match="no state dict of a packaged student"):
        load_translator(bare_package)


def test_nothing_in_the_weights_is_run(bare_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"generator.x": Evil()}, bare_package / PackageFile.WEIGHTS)
    with pytest.raises(CheckpointError, match="unsafe"):
        load_translator(bare_package)
    assert not (tmp_path / "hacked").exists()


def test_package_is_no_segmenter(bare_package: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds a translation model .*, not a segmentation network"):
        load_segmenter(bare_package)


def test_network_of_the_config_is_filled_and_becomes_the_translators(
    bare_package: Path, student: TranslatorModel
) -> None:
    network = StudentTranslator(TumourAwareGenerator(**student.generator.description()))  # type: ignore[arg-type]
    translator = fill_from_package(network, bare_package)
    assert translator.generator is network.generator
    assert not network.training
    image, target = torch.rand(1, 1, 32, 32), torch.tensor([1])
    assert torch.equal(network.generator(image, image, target).image, student.generator(image, image, target).image)


def test_network_that_the_description_does_not_describe_is_refused(
    bare_package: Path, student: TranslatorModel
) -> None:
    arguments = student.generator.description() | {"keep_background": False}
    with pytest.raises(CheckpointError, match=r"inference\.json: checkpoint describes another network"):
        fill_from_package(StudentTranslator(TumourAwareGenerator(**arguments)), bare_package)  # type: ignore[arg-type]
