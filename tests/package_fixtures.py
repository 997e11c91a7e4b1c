"""A tiny student, as its training leaves it, and one package of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from utad_monai.apps.package.configs import Label
from utad_monai.apps.package.writer import Package, write_package
from utad_monai.data import Preprocessing
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, save_translator
from utad_monai.networks import TumourAwareGenerator, critic_pair, student_from_teacher
from utad_monai.transforms import IntensityWindow

LABEL = Label("tiny_student", "1.2.0", change="more epochs", data_source="the tiny cohort of the tests")


@pytest.fixture(scope="session")
def student(tiny_preprocessing: Preprocessing) -> TranslatorModel:
    """Give a tiny untrained student with everything that a training stores; do not change it."""
    torch.manual_seed(0)
    teacher = TumourAwareGenerator(2, condition_in_brain=True)
    return TranslatorModel(
        student_from_teacher(teacher, "complete").eval(),
        tiny_preprocessing,
        target_windows={modality: IntensityWindow(40.0, 900.0 + modality.channel) for modality in Modality},
        source_errors={Modality.T1: {Modality.T2: 0.1, Modality.FLAIR: 0.25}},
        critics=critic_pair((32, 32), 2, 4),
        training={"stage": "student", "epoch": 3, "validation_metric": "unpaired_score", "validation_value": -0.25},
    )


@pytest.fixture(scope="session")
def tiny_student_file(student: TranslatorModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model file of the tiny student; do not change it."""
    path = tmp_path_factory.mktemp("trained") / "student" / "model.safetensors"
    save_translator(path, student)
    return path


@pytest.fixture(scope="session")
def package(tiny_student_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Give a whole package of the tiny student, with ONNX and TorchScript; do not change it."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    return write_package(tiny_student_file, tmp_path_factory.mktemp("packages"), LABEL)


@pytest.fixture
def bare_package(tiny_student_file: Path, tmp_path: Path) -> Path:
    """Give the folder of a package without exports, which the test may change."""
    return write_package(tiny_student_file, tmp_path / "packages", LABEL, onnx=False, torchscript=False).folder
