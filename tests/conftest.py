"""Tiny BraTS cohorts, written once and shared by all tests."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import settings

from utad_monai.apps.study import StudyPlan, load_plan, run_study
from utad_monai.data import BRATS_2017_TO_2021, Layout, PreparedCohort, Preprocessing, prepare_cohort
from utad_monai.data.intensity import intensity_profiles
from utad_monai.keys import Modality, SecondInput, TumourLabel
from utad_monai.models import TranslatorModel, load_translator, save_translator, starter
from utad_monai.models.starter import STARTER_FILE, save_starter
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.phantom import TeachingBrains
from utad_monai.transforms import IntensityWindow

Volume = np.ndarray[Any, Any]
WriteCase = Callable[..., Path]

PATIENTS = 6
SHAPE = (24, 20, 12)
SPACING_MM = (1.5, 1.5, 3.0)
LPS_AFFINE = np.array([[-1.5, 0, 0, 18], [0, -1.5, 0, 15], [0, 0, 3, -18], [0, 0, 0, 1]], dtype=float)
CONTRASTS = {
    Modality.FLAIR: (300, 250, {TumourLabel.NECROTIC: 0, TumourLabel.OEDEMA: 500, TumourLabel.ENHANCING: 350}),
    Modality.T1: (500, 200, {TumourLabel.NECROTIC: -200, TumourLabel.OEDEMA: -100, TumourLabel.ENHANCING: -50}),
    Modality.T1CE: (450, 220, {TumourLabel.NECROTIC: -180, TumourLabel.OEDEMA: -60, TumourLabel.ENHANCING: 600}),
    Modality.T2: (250, 350, {TumourLabel.NECROTIC: 450, TumourLabel.OEDEMA: 400, TumourLabel.ENHANCING: 250}),
}
"""Intensity at the brain's centre, its rise towards the edge, and what each tumour label adds."""

STUDY_COHORT: dict[str, Any] = {"frame_size_mm": [36, 36], "image_size": [32, 32], "workers": 1}
STUDY_METHODS: dict[str, Any] = {
    "base_channels": 2,
    "critic_channels": 2,
    "critic_layers": 4,
    "max_epochs": 1,
    "decay_epochs": 0,
    "samples_per_epoch": 4,
    "batch_size": 2,
    "critic_steps": 1,
}
STUDY_SEGMENTERS: dict[str, Any] = {"unet_channels": [4, 8], "unet_strides": [2], "max_epochs": 1}

settings.register_profile("tests", deadline=None, max_examples=40, derandomize=True, database=None)
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for a folder of malformed inputs."""
    parser.addoption("--corpus", default="", help="Folder of malformed inputs with an expected.json.")


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Tests run beside each other and beside training: one thread each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the processes that they start, keep nothing in the user's home and compute on one thread each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("UTAD_MONAI_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def write_case() -> WriteCase:
    """Give `write_case(root, case_id, ...)`, which writes one tiny sound case and returns its folder.

    Keyword arguments: `modalities` (all), `segmentation` (True), `tumour` (True), `seed` (0), `layout`
    (`BRATS_2017_TO_2021`), `shape`, `affine` (of every file) and `ending` (".nii.gz").
    """
    return _write_case


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory, write_case: WriteCase) -> Path:
    """Give the folder of six complete patients; do not write into it."""
    root = tmp_path_factory.mktemp("tiny") / "cohort"
    for number in range(PATIENTS):
        write_case(root, f"BraTS_{number:03d}", seed=number)
    return root


@pytest.fixture(scope="session")
def tiny_preprocessing() -> Preprocessing:
    """Give a frame of 24x24 voxels, which holds the tiny brains, at 32x32 pixels."""
    return Preprocessing(frame_size_mm=(36, 36), image_size=(32, 32))


@pytest.fixture(scope="session")
def prepared_tiny_cohort(
    tiny_cohort: Path, tiny_preprocessing: Preprocessing, tmp_path_factory: pytest.TempPathFactory
) -> PreparedCohort:
    """Give the prepared tiny cohort: four patients to train, one to validate, one to test; do not change it."""
    output_dir = tmp_path_factory.mktemp("prepared")
    return prepare_cohort(tiny_cohort, output_dir, tiny_preprocessing, workers=1, progress=False)


@pytest.fixture(scope="session")
def student_file(prepared_tiny_cohort: PreparedCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model file of a tiny untrained student that stores everything a trained one does."""
    torch.manual_seed(0)
    student = student_from_teacher(TumourAwareGenerator(2), "complete").eval()
    windows = {modality: IntensityWindow(40.0, 900.0 + modality.channel) for modality in Modality}
    errors = {
        target: {source: 0.1 * (1 + (target.channel - source.channel) % 4) for source in Modality if source != target}
        for target in Modality
    }
    errors[Modality.T1] = {Modality.T2: 0.1, Modality.FLAIR: 0.2, Modality.T1CE: 0.3}
    profiles = intensity_profiles(prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train"))
    path = tmp_path_factory.mktemp("student") / "model.safetensors"
    preprocessing = prepared_tiny_cohort.store.preprocessing
    save_translator(
        path,
        TranslatorModel(
            student,
            preprocessing,
            target_windows=windows,
            source_errors=errors,
            intensity_profiles=profiles,
            training={"stage": "student"},
        ),
    )
    return path


@pytest.fixture(scope="session")
def student_translator(student_file: Path) -> TranslatorModel:
    """Give a tiny untrained student as it comes from its file; do not change it."""
    return load_translator(student_file)


@pytest.fixture(scope="session")
def several_generator() -> TumourAwareGenerator:
    """Give a tiny mask-free generator of several sources, with random weights where a fresh one has zeros; copy it."""
    torch.manual_seed(0)
    generator = TumourAwareGenerator(
        2,
        "global_only",
        second_input=SecondInput.WHOLE_IMAGE,
        sources="several",
        conditional_norms=True,
        gain_head=True,
    )
    with torch.no_grad():
        for weight in generator.parameters():
            if not bool(weight.any()):
                weight.normal_(0, 0.1)
    return generator.eval()


@pytest.fixture
def starter_file(
    student_translator: TranslatorModel,
    several_generator: TumourAwareGenerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Give the file of tiny starter weights, which stands for the packaged one during the test."""
    histograms = dict.fromkeys(Modality, (1 / 256,) * 256)
    taught = replace(
        student_translator,
        generator=copy.deepcopy(several_generator),
        source_errors={},
        intensity_profiles={},
        reference_histograms=histograms,
        training={"seed": 7},
    )
    folder = tmp_path / "packaged"
    save_starter(folder / STARTER_FILE, taught, taught.preprocessing)
    monkeypatch.setattr(starter, "__file__", str(folder / "__init__.py"))
    return folder / STARTER_FILE


@pytest.fixture(scope="session")
def teaching_brains(tmp_path_factory: pytest.TempPathFactory) -> TeachingBrains:
    """Give twelve painted brains of the randomised phantom."""
    return TeachingBrains(tmp_path_factory.mktemp("teaching"), slices=12, seed=3, progress=False)


@pytest.fixture(scope="session")
def real_dataset_dir() -> Path:
    """Give a folder with real BraTS cases; the test is skipped where there is none (mark it `real_data`)."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "brats2018"
    folder = Path(os.environ.get("UTAD_MONAI_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real cases: {folder} is not a folder (set UTAD_MONAI_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny_plan() -> StudyPlan:
    """Give the packaged study at tiny size: one method of each kind, every segmentation network."""
    methods = ["utad_teacher", "utad_a", "utad_b", "no_distillation", "stargan", "paired_upper_bound"]
    return load_plan("paper", methods, "", STUDY_COHORT, STUDY_METHODS, segmenter_overrides=STUDY_SEGMENTERS)


@pytest.fixture(scope="session")
def finished_study(tiny_plan: StudyPlan, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a finished tiny study; do not write into it."""
    output = tmp_path_factory.mktemp("study")
    run_study(tiny_plan, tiny_cohort, output, workers=1)
    return output


def _write_case(
    root: Path,
    case_id: str,
    modalities: Sequence[Modality] = tuple(Modality),
    segmentation: bool = True,
    tumour: bool = True,
    seed: int = 0,
    layout: Layout = BRATS_2017_TO_2021,
    shape: tuple[int, int, int] = SHAPE,
    affine: Volume = LPS_AFFINE,
    ending: str = ".nii.gz",
) -> Path:
    folder = root / case_id
    folder.mkdir(parents=True)
    images, labels = _tiny_case(shape, seed, tumour)
    volumes = {layout.names[modality]: images[modality] for modality in modalities}
    if segmentation:
        volumes["seg"] = np.where(labels == TumourLabel.ENHANCING, layout.enhancing_label, labels).astype(np.uint8)
    for name, volume in volumes.items():
        nibabel.save(nibabel.Nifti1Image(volume, affine), folder / f"{case_id}{layout.separator}{name}{ending}")
    return folder


def _tiny_case(shape: tuple[int, int, int], seed: int, tumour: bool) -> tuple[dict[Modality, Volume], Volume]:
    """Return int16 images and canonical labels `(X, Y, Z)`: an ellipsoid of brain with a nested tumour beside it."""
    draw = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0)) / 0.85
    brain = radius < 1
    centre = np.array([draw.choice([-0.3, 0.3]), draw.uniform(-0.25, 0.25), draw.uniform(-0.2, 0.2)])
    distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(axis=0))
    labels = np.zeros(shape, np.uint8)
    if tumour:
        labels[brain & (distance < 0.42)] = TumourLabel.OEDEMA
        labels[distance < 0.30] = TumourLabel.ENHANCING
        labels[distance < 0.17] = TumourLabel.NECROTIC
    images = {}
    for modality, (middle, rise, added) in CONTRASTS.items():
        image = middle + rise * radius**2 + 20 * np.cos(4 * grid[0]) + draw.normal(0, 8, shape)
        for label, difference in added.items():
            image[labels == label] += difference
        images[modality] = np.where(brain, image.clip(1), 0).astype(np.int16)
    return images, labels
