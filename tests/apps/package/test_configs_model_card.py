"""The model card says what the model is, and its example runs without torch and gives what the project gives."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from utad_monai.apps.package.configs import Label, data_licence, model_card
from utad_monai.apps.package.writer import Package
from utad_monai.inferers import SliceTranslator
from utad_monai.inferers.backends.parity import Parity
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel
from utad_monai.models.package_file import PackageFile
from utad_monai.networks import TumourAwareGenerator
from utad_monai.transforms import brain_window

AFTERWARDS = """
import sys

assert not {"torch", "monai", "utad_monai"} & set(sys.modules)
mine = np.load(sys.argv[1])
made = denormalise(translate(normalise(mine), "t2"), "t2")
np.savez(sys.argv[2], normalised=normalise(mine), synthetic=synthetic, t2=made)
"""


def card(translator: TranslatorModel, parity: dict[str, Parity] | None = None) -> str:
    return model_card(Label(data_source="cohort X"), translator, "abc123", parity or {})


def example(text: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return str(code)


def test_card_says_what_the_model_is_and_is_not_for(package: Package) -> None:
    text = (package.folder / PackageFile.MODEL_CARD).read_text()
    for said in (
        "Not for clinical use",
        "tiny cohort of the tests",
        "unpaired_score",
        "36 x 36 mm",
        "base_channels | 2",
    ):
        assert said in text
    assert "t2 0.100, flair 0.250" in text
    assert "| t2 | 40 | 903 |" in text
    assert "models/model.onnx |" in text
    assert not re.search(r"\{[{%]|%\}", text)


def test_card_of_a_model_that_says_little_has_no_empty_tables(student: TranslatorModel) -> None:
    text = card(replace(student, training={}, source_errors={}, target_windows={}))
    assert "says nothing about its training" in text
    assert "the network cannot make it" in text
    assert "Error of each source" not in text


def test_card_without_onnx_has_no_example_for_it(student: TranslatorModel) -> None:
    assert "onnxruntime" not in card(student)
    assert "onnxruntime" in card(student, {PackageFile.ONNX.value: Parity(1e-5, 2e-5, student_from_exact=1e-5)})


def test_card_warns_of_a_network_that_paints_the_background(student: TranslatorModel) -> None:
    painting = TumourAwareGenerator(2, keep_background=False, second_input="whole_image").eval()
    assert "paints the background" in card(replace(student, generator=painting))
    assert "paints the background" not in card(student)


def test_data_licence_names_the_data() -> None:
    assert "cohort X" in data_licence(Label(data_source="cohort X"))


@pytest.mark.command_line
def test_example_runs_without_torch_and_agrees_with_the_project(
    package: Package, student: TranslatorModel, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    radius = np.hypot(*np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32)))
    slices = np.where(radius < 0.9, draw.uniform(50, 900, (5, 32, 32)), 0)
    slices[0] = 0
    np.save(tmp_path / "in.npy", slices)
    code = example((package.folder / PackageFile.MODEL_CARD).read_text()) + AFTERWARDS
    command = [sys.executable, "-c", code, str(tmp_path / "in.npy"), str(tmp_path / "out.npz")]
    subprocess.run(command, cwd=package.folder, check=True)
    found = np.load(tmp_path / "out.npz")

    image = torch.from_numpy(slices).float()
    normalised = brain_window(image).normalise(image, image != 0)
    translated = SliceTranslator(student.generator)({Modality.T1: normalised}, Modality.T2)
    expected = student.target_windows[Modality.T2].denormalise(translated).clamp_min(0)
    np.testing.assert_allclose(found["normalised"], normalised, atol=1e-5)
    np.testing.assert_allclose(found["t2"], expected, atol=0.1)
    assert found["synthetic"].shape == (8, 32, 32)
    assert (found["synthetic"] > 0).any()
