"""A package is read as the model it was made from, and nothing damaged, foreign or dangerous is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from utad_monai.checkpoints import CheckpointError, Translator, file_sha256, load_segmenter, load_translator
from utad_monai.networks import StudentTranslator, TumourAwareGenerator
from utad_monai.packaging.content import fill_from_package
from utad_monai.packaging.layout import PackageFile

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


def test_package_is_the_model_it_was_made_from(bare_package: Path, student_file: Path) -> None:
    ours, original = load_translator(bare_package), load_translator(student_file)
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
        (lambda content: content.update(kind="segmenter"), "is a segmenter"),
        (lambda content: content.update(format=99), "of format 99"),
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
    with pytest.raises(CheckpointError, match="is a translator of format 2, not a segmenter"):
        load_segmenter(bare_package)


def test_network_of_the_config_is_filled_and_becomes_the_translators(bare_package: Path, student: Translator) -> None:
    network = StudentTranslator(TumourAwareGenerator(**student.generator.description()))  # type: ignore[arg-type]
    translator = fill_from_package(network, bare_package)
    assert translator.generator is network.generator
    assert not network.training
    image, target = torch.rand(1, 1, 32, 32), torch.tensor([1])
    assert torch.equal(network.generator(image, image, target).image, student.generator(image, image, target).image)


def test_network_that_the_description_does_not_describe_is_refused(bare_package: Path, student: Translator) -> None:
    arguments = student.generator.description() | {"keep_background": False}
    with pytest.raises(CheckpointError, match=r"inference\.json: checkpoint describes another network"):
        fill_from_package(StudentTranslator(TumourAwareGenerator(**arguments)), bare_package)  # type: ignore[arg-type]
