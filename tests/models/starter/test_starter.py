"""The starter: written small and honest, read with the checks of every model, and missed with advice."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import torch as safetensors

from utad_monai.keys import Modality
from utad_monai.models import CheckpointError, TranslatorModel, load_translator, starter
from utad_monai.models.starter import MEANING, installed_starter, is_starter, load_starter, save_starter, starter_path
from utad_monai.models.weights_file import read_safetensors, write_safetensors
from utad_monai.networks import TumourAwareGenerator, critic_pair


@pytest.fixture
def taught(student_translator: TranslatorModel) -> TranslatorModel:
    """Give a tiny student that says what it paints, and has what a starter must not have."""
    histograms = dict.fromkeys(Modality, (1 / 256,) * 256)
    return replace(student_translator, reference_histograms=histograms, critics=critic_pair((32, 32), 2, 4))


def test_starter_keeps_what_it_paints_and_says_what_it_is(taught: TranslatorModel, tmp_path: Path) -> None:
    save_starter(tmp_path / "starter.safetensors", taught)
    loaded = load_translator(tmp_path / "starter.safetensors")
    assert is_starter(loaded)
    assert not is_starter(taught)
    assert loaded.training["about"] == MEANING
    assert loaded.reference_histograms == taught.reference_histograms
    assert loaded.generator.description() == taught.generator.description()


def test_phantoms_windows_and_critics_stay_behind(taught: TranslatorModel, tmp_path: Path) -> None:
    assert taught.target_windows
    save_starter(tmp_path / "starter.safetensors", taught)
    loaded = load_translator(tmp_path / "starter.safetensors")
    assert loaded.target_windows == {}
    assert loaded.critics is None


def test_completion_shows_it_pixels_of_1_25_mm_whatever_it_learned_from(
    taught: TranslatorModel, tmp_path: Path
) -> None:
    save_starter(tmp_path / "starter.safetensors", taught)
    loaded = load_translator(tmp_path / "starter.safetensors").preprocessing
    assert loaded != taught.preprocessing
    assert loaded.pixel_mm == (1.25, 1.25)
    assert (loaded.frame_size_mm, loaded.image_size) == ((240, 200), (192, 160))


def test_same_model_gives_the_same_bytes(taught: TranslatorModel, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_starter(tmp_path / f"{name}.safetensors", taught)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_weights_are_rounded_to_two_bytes_and_read_in_single_precision(taught: TranslatorModel, tmp_path: Path) -> None:
    path = tmp_path / "starter.safetensors"
    save_starter(path, taught)
    stored, loaded = safetensors.load(path.read_bytes()), load_translator(path).generator.state_dict()
    for name, exact in taught.generator.state_dict().items():
        rounded = exact.half() if exact.is_floating_point() else exact
        assert torch.equal(stored[name], rounded)
        assert stored[name].dtype is rounded.dtype
        assert torch.equal(loaded[name], rounded.to(exact.dtype))
        assert loaded[name].dtype is exact.dtype


def test_weight_beyond_half_precision_is_refused_and_an_older_file_stays(
    taught: TranslatorModel, tmp_path: Path
) -> None:
    path = tmp_path / "starter.safetensors"
    save_starter(path, taught)
    before, wild = path.read_bytes(), copy.deepcopy(taught.generator)
    next(wild.parameters()).data.fill_(1e6)
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        save_starter(path, replace(taught, generator=wild))
    assert path.read_bytes() == before


def test_packaged_file_is_what_would_be_written_today(tmp_path: Path) -> None:
    content = read_safetensors(starter_path())
    generator = content.pop("weights")["generator"]
    halves = {name: value.half() if value.is_floating_point() else value for name, value in generator.items()}
    write_safetensors(tmp_path / "starter.safetensors", content, {"generator": halves})
    assert (tmp_path / "starter.safetensors").read_bytes() == starter_path().read_bytes()


def test_packaged_starter_is_the_file_in_the_package(
    taught: TranslatorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "__file__", str(tmp_path / "__init__.py"))
    save_starter(tmp_path / "starter.safetensors", taught)
    assert starter_path() == tmp_path / "starter.safetensors"
    assert load_starter().sha256 == load_translator(tmp_path / "starter.safetensors").sha256


def test_installation_without_a_starter_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(CheckpointError, match=r"no starter weights; give a student with --model") as refusal:
        load_starter()
    assert "\n" not in str(refusal.value)


def test_what_is_measured_may_be_missing_with_a_line_in_the_log(
    taught: TranslatorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(starter, "__file__", str(tmp_path / "__init__.py"))
    with caplog.at_level(logging.INFO, logger="utad_monai"):
        assert installed_starter() is None
    assert [record.message for record in caplog.records] == [
        "the starter is not measured: this installation has no starter weights"
    ]
    save_starter(tmp_path / "starter.safetensors", taught)
    found = installed_starter()
    assert found is not None
    assert is_starter(found)
    (tmp_path / "starter.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError):
        installed_starter()


def test_teacher_and_a_model_that_does_not_say_what_it_paints_are_refused(
    taught: TranslatorModel, tmp_path: Path
) -> None:
    for wrong, reason in (
        (replace(taught, generator=TumourAwareGenerator(2)), "teacher"),
        (replace(taught, reference_histograms={}), "would not say what it paints"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            save_starter(tmp_path / "starter.safetensors", wrong)
    assert not (tmp_path / "starter.safetensors").exists()


def test_starter_of_more_than_15_mb_is_refused(taught: TranslatorModel, tmp_path: Path) -> None:
    with torch.device("meta"):
        wide = TumourAwareGenerator(32, "global_only")
    with pytest.raises(CheckpointError, match="more than 15"):
        save_starter(tmp_path / "starter.safetensors", replace(taught, generator=wide))
