"""A package is whole, the same every time, and never takes the place of anything but an older package."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.model_files import BOTH_NAMES, content_of, write_content
from utad_monai.apps.package import writer
from utad_monai.apps.package.configs import Label
from utad_monai.apps.package.writer import Package, write_package
from utad_monai.errors import PackageError
from utad_monai.models import CheckpointError, TranslatorModel, load_translator, save_translator
from utad_monai.models.package_file import DEFAULT_NAME, PackageFile
from utad_monai.networks import TumourAwareGenerator

LABEL = Label("tiny_student", "1.2.0", change="more epochs", data_source="the tiny cohort of the tests")


def write(model: Path, output: Path, label: Label | None = LABEL) -> Package:
    return write_package(model, output, label, onnx=False, torchscript=False)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / PackageFile.TRANSLATOR).read_text())
    return found


def test_package_has_every_file_and_no_other(package: Package) -> None:
    assert (
        set(package.sizes) == {file.value for file in PackageFile} - {ONLY_WHEN_ASKED} == set(content(package.folder))
    )
    assert package.sizes == {name: len(data) for name, data in content(package.folder).items()}


def test_lines_name_every_file_with_its_size_and_difference(package: Package) -> None:
    lines = package.lines()
    assert len(lines) == len(package.sizes)
    (line,) = (line for line in lines if str(package.folder / PackageFile.ONNX) in line)
    assert f"{package.sizes[PackageFile.ONNX] / 1e6:.3f} MB" in line
    assert f"largest error {package.parity[PackageFile.ONNX].from_exact:.1e}" in line


def test_exports_are_left_out_when_asked(bare_package: Path) -> None:
    left_out = {PackageFile.ONNX.value, PackageFile.TORCHSCRIPT.value, ONLY_WHEN_ASKED}
    assert set(content(bare_package)) == {file.value for file in PackageFile} - left_out


def test_name_and_release_have_defaults(tiny_student_file: Path, tmp_path: Path) -> None:
    package = write(tiny_student_file, tmp_path, None)
    assert package.folder == tmp_path / DEFAULT_NAME
    metadata = json.loads((package.folder / PackageFile.METADATA).read_text())
    assert metadata["name"] == DEFAULT_NAME
    assert metadata["version"] in metadata["changelog"]


def test_two_packages_of_one_model_are_byte_equal(tiny_student_file: Path, tmp_path: Path) -> None:
    assert content(write(tiny_student_file, tmp_path / "a").folder) == content(
        write(tiny_student_file, tmp_path / "b").folder
    )


def test_weights_are_a_plain_state_dict_twice(bare_package: Path, student: TranslatorModel) -> None:
    state = torch.load(bare_package / PackageFile.WEIGHTS, weights_only=True)
    other = load_file(bare_package / PackageFile.SAFETENSORS)
    expected = {f"generator.{name}": weight for name, weight in student.generator.state_dict().items()}
    assert state.keys() == other.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) and torch.equal(other[name], expected[name]) for name in state)


@pytest.mark.parametrize("name", BOTH_NAMES)
def test_every_key_of_the_description_is_copied_but_the_critics(
    tiny_student_file: Path, tmp_path: Path, student: TranslatorModel, name: str
) -> None:
    original = content_of(tiny_student_file)
    original["description"]["a_later_key"] = {"nested": [1, 2.5, "x"]}
    path = write_content(tmp_path / name, original)
    copied = described(write(path, tmp_path / "out").folder)
    expected = {key: value for key, value in original["description"].items() if key != "critic"}
    sha256 = load_translator(path).sha256
    assert copied["description"] == {**expected, "packaged_from": {"sha256": sha256}}
    assert {key: copied[key] for key in ("format", "kind", "version")} == {
        key: original[key] for key in ("format", "kind", "version")
    }
    assert student.critics is not None


def test_package_of_a_package_remembers_the_first_model(
    bare_package: Path, tiny_student_file: Path, tmp_path: Path
) -> None:
    again = write(bare_package, tmp_path / "again").folder
    assert described(again)["description"]["packaged_from"] == {"sha256": load_translator(tiny_student_file).sha256}
    assert content(again) == content(bare_package)


def test_older_package_of_the_same_name_is_replaced(bare_package: Path, tiny_student_file: Path) -> None:
    (bare_package / "stale").write_text("x")
    write(tiny_student_file, bare_package.parent, replace(LABEL, release="1.3.0"))
    assert json.loads((bare_package / PackageFile.METADATA).read_text())["version"] == "1.3.0"
    assert not (bare_package / "stale").exists()
    assert [path.name for path in bare_package.parent.iterdir()] == [LABEL.name]


ONLY_WHEN_ASKED = PackageFile.PT2.value


@pytest.mark.parametrize("name", ["other", None])
def test_folder_with_anything_else_is_refused_and_untouched(
    bare_package: Path, tiny_student_file: Path, name: str | None
) -> None:
    metadata = bare_package / PackageFile.METADATA
    metadata.write_text(json.dumps({"name": name} if name else []))
    before = content(bare_package)
    with pytest.raises(PackageError, match="is there already and is no package tiny_student"):
        write(tiny_student_file, bare_package.parent)
    assert content(bare_package) == before


def test_file_or_foreign_bundle_in_the_place_is_refused(
    tiny_student_file: Path, tmp_path: Path, bare_package: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LABEL.name).write_text("precious")
    with pytest.raises(PackageError, match="is there already"):
        write(tiny_student_file, tmp_path / "out")
    (bare_package / PackageFile.TRANSLATOR).unlink()
    with pytest.raises(PackageError, match="is there already"):
        write(tiny_student_file, bare_package.parent)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", ".hidden", "1st", "a b", "x" * 65])
def test_name_that_could_leave_the_folder_is_refused(tiny_student_file: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match="is no name for a package"):
        write(tiny_student_file, tmp_path / "out", replace(LABEL, name=name))
    assert not (tmp_path / "out").exists()


def test_teacher_is_refused_in_one_line(student: TranslatorModel, tmp_path: Path) -> None:
    save_translator(tmp_path / "teacher.pt", replace(student, generator=TumourAwareGenerator(2).eval()))
    with pytest.raises(CheckpointError, match=r"teacher\.pt: checkpoint is a teacher.*give a student") as found:
        write(tmp_path / "teacher.pt", tmp_path / "out")
    assert "\n" not in str(found.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_model_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing"):
        write(tmp_path / "none.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unequal_export_leaves_the_older_package(
    bare_package: Path, tiny_student_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unequal(*_: object) -> float:
        raise PackageError("", "the TorchScript file differs")

    before = content(bare_package)
    monkeypatch.setattr(writer, "write_torchscript", unequal)
    with pytest.raises(PackageError, match="differs"):
        write_package(tiny_student_file, bare_package.parent, LABEL, onnx=False)
    assert content(bare_package) == before
    assert [path.name for path in bare_package.parent.iterdir()] == [LABEL.name]


def test_missing_library_is_found_before_the_model_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "refuse_without_libraries", lambda: (_ for _ in ()).throw(PackageError("", "no onnx")))
    with pytest.raises(PackageError, match="no onnx"):
        write_package(tmp_path / "none.pt", tmp_path / "out")


def test_files_can_be_read_by_others_as_the_umask_says(tiny_student_file: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = write(tiny_student_file, tmp_path).folder
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o644}


def test_licence_is_the_projects(bare_package: Path) -> None:
    assert "Apache License" in (bare_package / PackageFile.LICENCE).read_text()


def test_licence_is_found_in_an_installation_as_well(
    tiny_student_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        writer, "__file__", str(tmp_path / "site-packages" / "utad_monai" / "apps" / "package" / "writer.py")
    )
    folder = write(tiny_student_file, tmp_path / "out").folder
    assert "Apache License" in (folder / PackageFile.LICENCE).read_text()
