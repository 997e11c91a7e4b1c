"""Models in safetensors: half precision, a description in the header, and the checks of every model file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import torch as safetensors

from utad_monai.keys import Modality
from utad_monai.models import CheckpointError, TranslatorModel, file_sha256, load_translator
from utad_monai.models.content import ModelKind, heading
from utad_monai.models.safetensors_file import write_safetensors
from utad_monai.models.translator_model import translator_description

Write = Callable[..., Path]


@pytest.fixture
def write(student_translator: TranslatorModel, tmp_path: Path) -> Write:
    """Give `write(change)`, which writes the tiny student after `change(heading, weights)` and returns the file."""

    def _write(change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda *_: None) -> Path:
        described = heading(ModelKind.TRANSLATOR, translator_description(student_translator))
        weights = dict(student_translator.generator.state_dict())
        change(described, weights)
        write_safetensors(tmp_path / "model.safetensors", described, weights)
        return tmp_path / "model.safetensors"

    return _write


def test_model_comes_back_in_single_precision_with_everything_it_says(
    write: Write, student_translator: TranslatorModel
) -> None:
    path = write()
    loaded = load_translator(path)
    assert loaded.sha256 == file_sha256(path)
    weights = student_translator.generator.state_dict()
    for name, weight in loaded.generator.state_dict().items():
        exact = weights[name]
        assert weight.dtype == exact.dtype
        assert torch.equal(weight, exact.half().float() if exact.is_floating_point() else exact)
    expected = replace(student_translator, generator=loaded.generator, sha256=loaded.sha256)
    assert loaded == expected


def test_file_needs_two_bytes_a_weight(write: Write, student_translator: TranslatorModel) -> None:
    content = safetensors.load(write().read_bytes())
    weights = dict(student_translator.generator.named_parameters())
    assert {content[name].dtype for name in weights} == {torch.float16}


def test_weight_beyond_half_precision_is_refused_and_an_older_file_stays(write: Write) -> None:
    path = write()
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        write(lambda _, weights: weights.update({next(iter(weights)): next(iter(weights.values())) * 0 + 1e6}))
    assert path.read_bytes() == before


BROKEN: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "other kind": lambda described, _: described.update(kind="segmenter"),
    "other format": lambda described, _: described.update(format=99),
    "no description": lambda described, _: described.pop("description"),
    "wider generator": lambda described, _: described["description"]["generator"].update(base_channels=3),
    "absurd generator": lambda described, _: described["description"]["generator"].update(base_channels=10**9),
    "missing weight": lambda _, weights: weights.pop(next(iter(weights))),
    "further weight": lambda _, weights: weights.update(extra=torch.zeros(1)),
    "bad histogram": lambda described, _: described["description"].update(reference_histograms={"t1": [1.0]}),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_file_that_is_no_sound_translator_is_refused(write: Write, what: str) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_translator(write(BROKEN[what]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:200],
        lambda content: content[:0],
        lambda content: (2**62).to_bytes(8, "little") + content[8:],
        lambda content: content[:8] + b"x" * (len(content) - 8),
        lambda content: b"PK\x03\x04" + content,
    ],
)
def test_damaged_file_is_refused_in_one_line(write: Write, damage: Callable[[bytes], bytes]) -> None:
    path = write()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="truncated or corrupt") as refusal:
        load_translator(path)
    assert "\n" not in str(refusal.value)


def test_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(safetensors.save({"a": torch.zeros(2)}, metadata))
        with pytest.raises(CheckpointError, match="no model of this project"):
            load_translator(path)


def test_description_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.save({"a": torch.zeros(2)}, {"utad_monai": json.dumps([1])}))
    with pytest.raises(CheckpointError, match="no model of this project"):
        load_translator(path)


def test_missing_file_and_a_pipe_are_refused(tmp_path: Path) -> None:

    with pytest.raises(CheckpointError, match="is missing"):
        load_translator(tmp_path / "none.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(CheckpointError, match="is no file"):
        load_translator(tmp_path / "pipe.safetensors")


def test_histograms_are_kept(student_translator: TranslatorModel, tmp_path: Path) -> None:
    taught = replace(student_translator, reference_histograms={Modality.T1: (1 / 256,) * 256})
    described = heading(ModelKind.TRANSLATOR, translator_description(taught))
    write_safetensors(tmp_path / "taught.safetensors", described, taught.generator.state_dict())
    assert load_translator(tmp_path / "taught.safetensors").reference_histograms == taught.reference_histograms
