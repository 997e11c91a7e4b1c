"""A student of several sources is packaged, exported and read back like one of a single source."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import load, load_bundle_config, verify_net_in_out

from utad_monai.apps.package.configs import Label
from utad_monai.apps.package.writer import Package, write_package
from utad_monai.data import find_cases
from utad_monai.inferers import SliceTranslator, VolumeTranslator
from utad_monai.inferers.backends.parity import TOLERANCE, probe
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, load_translator, save_translator
from utad_monai.models.package_file import PackageFile
from utad_monai.networks import StudentTranslator, TumourAwareGenerator
from utad_monai.transforms import brain_window

FLAIR, T1, T1CE, T2 = Modality
AFTERWARDS = """
import sys

assert not {"torch", "monai", "utad_monai"} & set(sys.modules)
mine = np.load(sys.argv[1])
sources = {name: normalise(mine[name]) for name in mine.files}
np.savez(sys.argv[2], synthetic=synthetic, t2=denormalise(translate(sources, "t2"), "t2"))
"""


@pytest.fixture(scope="module")
def several(student: TranslatorModel, several_generator: TumourAwareGenerator) -> TranslatorModel:
    """Give a tiny student of several sources, with random weights where a fresh one has zeros, and output maps."""
    generator = TumourAwareGenerator(**several_generator.description() | {"output_maps": True})  # type: ignore[arg-type]
    assert generator.output_maps is not None
    generator.load_state_dict(several_generator.state_dict(), strict=False)
    generator.output_maps.set(generator.output_maps.knots**2)
    return replace(student, generator=generator.eval(), source_errors={}, critics=None)


@pytest.fixture(scope="module")
def several_package(several: TranslatorModel, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Give its whole package, with ONNX, TorchScript and torch.export; do not change it."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("several") / "model.safetensors"
    save_translator(path, several)
    return write_package(path, path.parent, Label("tiny_several"), pt2=True)


def test_every_export_computes_the_student_at_any_size_and_subset(several_package: Package) -> None:
    assert set(several_package.parity) == {PackageFile.ONNX, PackageFile.TORCHSCRIPT, PackageFile.PT2}
    assert all(parity.from_exact <= TOLERANCE for parity in several_package.parity.values())


def test_probe_of_four_images_shows_every_subset_and_never_the_target() -> None:
    images, planes = probe(28, 32, 32, 4).split([4, 4], dim=1)
    present = images.amax(dim=(2, 3)) > -1
    target = planes[:, :, 0, 0].argmax(dim=1)
    assert not bool(present[range(28), target].any())
    assert bool(present.any(dim=1).all())
    assert len({(int(t), tuple(p.tolist())) for t, p in zip(target, present, strict=True)}) == 28


def test_probe_of_one_image_is_what_it_was() -> None:
    assert probe(2, 32, 48).shape == (2, 5, 32, 48)


def test_metadata_describes_four_images_and_four_planes(several_package: Package) -> None:
    metadata = json.loads((several_package.folder / PackageFile.METADATA).read_text())
    image = metadata["network_data_format"]["inputs"]["image"]
    assert image["num_channels"] == len(image["channel_def"]) == 8
    for modality in Modality:
        assert f"slice in {modality}," in image["channel_def"][str(modality.channel)]
        assert f"the target is {modality}," in image["channel_def"][str(4 + modality.channel)]
    assert "one to three" in metadata["description"]


@pytest.mark.parametrize("n", [1, 3])
def test_network_passes_verify_net_in_out(several_package: Package, n: int) -> None:
    metadata, inference = (str(several_package.folder / f) for f in (PackageFile.METADATA, PackageFile.INFERENCE))
    verify_net_in_out("network_def", meta_file=metadata, config_file=inference, n=n, device="cpu")


def test_package_is_read_back_with_all_switches(several_package: Package, several: TranslatorModel) -> None:
    loaded = load_translator(several_package.folder)
    assert loaded.generator.description() == several.generator.description()
    stacked = probe(4, 32, 32, 4)
    expected = StudentTranslator(several.generator).eval()(stacked)
    assert torch.equal(StudentTranslator(loaded.generator).eval()(stacked), expected)


def test_monai_loads_weights_and_torchscript(several_package: Package, several: TranslatorModel) -> None:
    folder, stacked = several_package.folder, probe(4, 32, 32, 4)
    expected = StudentTranslator(several.generator).eval()(stacked)
    scripted, _, _ = load(folder.name, bundle_dir=folder.parent, load_ts_module=True)
    torch.testing.assert_close(scripted(stacked), expected, rtol=0, atol=1e-6)
    network = load_bundle_config(str(folder), "inference.json").get_parsed_content("network_def")
    filled = load(folder.name, model=network, bundle_dir=folder.parent)
    assert torch.equal(filled.eval()(stacked), expected)


@pytest.mark.command_line
def test_bundle_run_writes_a_volume_from_all_sources_at_once(
    several_package: Package, several: TranslatorModel, tiny_cohort: Path, tmp_path: Path
) -> None:
    folders = ("--dataset_dir", str(tiny_cohort), "--output_dir", str(tmp_path / "out"))
    asked = ("--targets", "['t1ce']", "--cases", "['BraTS_001']", "--dtype", "float32")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", PackageFile.INFERENCE.value]
    subprocess.run(
        [*command, *folders, *asked], cwd=several_package.folder, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    written = tmp_path / "out" / "synthetic" / "BraTS_001" / "BraTS_001_t1ce_synthetic.nii.gz"
    inferer = VolumeTranslator(several)
    (case,) = (case for case in find_cases(tiny_cohort) if case.case_id == "BraTS_001")
    expected = inferer.translate(inferer.load(case), T1CE).volume
    np.testing.assert_array_equal(np.asarray(nibabel.load(written).dataobj), expected)
    sidecar = json.loads(written.with_name("BraTS_001_t1ce_synthetic.json").read_text())
    assert sidecar["SourceModalities"] == {"flair": 0.333333, "t1": 0.333333, "t2": 0.333333}
    assert len(sidecar["Sources"]) == 3


@pytest.mark.command_line
def test_example_of_the_card_runs_without_torch_and_agrees_with_the_project(
    several_package: Package, several: TranslatorModel, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    radius = np.hypot(*np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32)))
    images = {str(m): np.where(radius < 0.9, draw.uniform(50, 900, (5, 32, 32)), 0) for m in (FLAIR, T1CE)}
    np.savez(tmp_path / "in.npz", **images)
    text = (several_package.folder / PackageFile.MODEL_CARD).read_text()
    assert "`(B, 8, H, W)`" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    command = [sys.executable, "-c", code + AFTERWARDS, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run(command, cwd=several_package.folder, check=True)
    found = np.load(tmp_path / "out.npz")

    normalised = {}
    for name, slices in images.items():
        image = torch.from_numpy(slices).float()
        normalised[Modality(name)] = brain_window(image).normalise(image, image != 0)
    translated = SliceTranslator(several.generator)(normalised, T2)
    expected = several.target_windows[T2].denormalise(translated).clamp_min(0)
    np.testing.assert_allclose(found["t2"], expected, atol=0.1)
    assert found["synthetic"].shape == (8, 32, 32)
    assert (found["synthetic"] > 0).any()
