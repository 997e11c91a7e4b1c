"""MONAI's own tools take a package for what it says it is: a bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow, load, load_bundle_config, verify_metadata, verify_net_in_out
from monai.bundle.properties import InferProperties, MetaProperties
from monai.handlers import CheckpointLoader
from monai.networks import copy_model_state
from monai.utils import BundleProperty

from utad_monai.bundle.configs import UnknownOverrideError, refuse_unknown_overrides
from utad_monai.data import find_cases
from utad_monai.inferers import VolumeTranslator
from utad_monai.inferers.backends.parity import probe
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, file_sha256
from utad_monai.models.package_file import PackageFile
from utad_monai.networks import StudentTranslator

SCHEMA = Path(__file__).parent / "metadata_schema.json"
CONFIGS = ("--meta_file", PackageFile.METADATA.value, "--config_file", PackageFile.INFERENCE.value)


def run_tool(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m monai.bundle ...` in a folder, with one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "monai.bundle", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def same_weights(network: torch.nn.Module, student: TranslatorModel) -> bool:
    ours, theirs = network.state_dict(), StudentTranslator(student.generator).state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def network(bare_package: Path) -> StudentTranslator:
    """Give `network_def` as the config builds it, before any weight is loaded."""
    parser = load_bundle_config(str(bare_package), "inference.json")
    built: StudentTranslator = parser.get_parsed_content("network_def")
    return built


@pytest.mark.command_line
def test_metadata_passes_verify_metadata(bare_package: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(SCHEMA.read_text())
    arguments = ("verify_metadata", "--meta_file", PackageFile.METADATA.value, "--filepath", str(schema))
    ended = run_tool(bare_package, *arguments)
    assert ended.returncode == 0, ended.stderr


def test_schema_refuses_metadata_that_lacks_something(bare_package: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(SCHEMA.read_text())
    metadata = json.loads((bare_package / PackageFile.METADATA).read_text())
    del metadata["network_data_format"]["inputs"]["image"]["channel_def"]
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="channel_def"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(schema))


@pytest.mark.command_line
def test_network_passes_verify_net_in_out(bare_package: Path) -> None:
    ended = run_tool(bare_package, "verify_net_in_out", "network_def", *CONFIGS)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_size_that_the_metadata_promises_goes_through_the_network(bare_package: Path, n: int) -> None:
    metadata, inference = (str(bare_package / file) for file in (PackageFile.METADATA, PackageFile.INFERENCE))
    verify_net_in_out("network_def", meta_file=metadata, config_file=inference, n=n, device="cpu")


@pytest.mark.command_line
def test_network_passes_ckpt_export_and_the_export_computes_the_student(
    bare_package: Path, student: TranslatorModel, tmp_path: Path
) -> None:
    exported = tmp_path / "exported.ts"
    files = ("--filepath", str(exported), "--ckpt_file", PackageFile.WEIGHTS.value)
    ended = run_tool(bare_package, "ckpt_export", "network_def", *files, *CONFIGS)
    assert ended.returncode == 0, ended.stderr
    network = StudentTranslator(student.generator).eval()
    for size in ((1, 32, 32), (3, 48, 80)):
        torch.testing.assert_close(torch.jit.load(exported)(probe(*size)), network(probe(*size)), rtol=0, atol=1e-6)


@pytest.mark.command_line
def test_bundle_run_writes_the_volumes_that_the_student_makes(
    bare_package: Path, student: TranslatorModel, tiny_cohort: Path, tmp_path: Path
) -> None:
    folders = ("--dataset_dir", str(tiny_cohort), "--output_dir", str(tmp_path / "out"))
    asked = ("--targets", "['t1ce']", "--sources", "['t2']", "--cases", "['BraTS_001']", "--dtype", "float32")
    ended = run_tool(bare_package, "run", "--config_file", PackageFile.INFERENCE.value, *folders, *asked)
    assert ended.returncode == 0, ended.stderr
    written = tmp_path / "out" / "synthetic" / "BraTS_001" / "BraTS_001_t1ce_synthetic.nii.gz"
    inferer = VolumeTranslator(student)
    (case,) = (case for case in find_cases(tiny_cohort) if case.case_id == "BraTS_001")
    expected = inferer.translate(inferer.load(case), Modality.T1CE, (Modality.T2,)).volume
    np.testing.assert_array_equal(np.asarray(nibabel.load(written).dataobj), expected)
    sidecar = json.loads(written.with_name("BraTS_001_t1ce_synthetic.json").read_text())
    assert sidecar["ModelSha256"] == file_sha256(bare_package / PackageFile.WEIGHTS)


def test_misspelt_override_is_refused(bare_package: Path) -> None:
    arguments = ("run", "--config_file", str(bare_package / PackageFile.INFERENCE), "--target", "['t1']")
    with pytest.raises(UnknownOverrideError, match="did you mean --targets"):
        refuse_unknown_overrides(arguments)


def test_config_workflow_finds_every_property(bare_package: Path, tiny_cohort: Path) -> None:
    workflow: Any = ConfigWorkflow(
        config_file=str(bare_package / PackageFile.INFERENCE),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(bare_package),
        dataset_dir=str(tiny_cohort),
    )
    workflow.parser["initialize"] = []  # it would make this process print errors plainly
    workflow.initialize()
    assert workflow.check_properties() == []
    required = [name for name, entry in InferProperties.items() if entry[BundleProperty.REQUIRED]]
    assert all(getattr(workflow, name) is not None for name in (*required, *MetaProperties, "handlers"))
    assert workflow.evaluator.completer.volumes.translator.generator is workflow.network_def.generator


def test_monai_loads_the_network_by_name(
    bare_package: Path, student: TranslatorModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utad_monai.runtime.console.print_expected_errors_plainly", lambda: None)
    network = load(bare_package.name, bundle_dir=bare_package.parent, workflow_type="inference", source="github")
    assert isinstance(network, StudentTranslator)
    assert same_weights(network, student)


def test_monai_loads_the_state_dict_where_no_workflow_is_named(bare_package: Path, student: TranslatorModel) -> None:
    with pytest.warns(UserWarning, match=r"Cannot find the config file.*train\.json"):
        state = load(bare_package.name, bundle_dir=bare_package.parent)
    assert state.keys() == StudentTranslator(student.generator).state_dict().keys()


def test_monai_loads_the_weights_into_a_given_network(
    bare_package: Path, network: StudentTranslator, student: TranslatorModel
) -> None:
    assert not same_weights(network, student)
    assert same_weights(load(bare_package.name, model=network, bundle_dir=bare_package.parent), student)


def test_monai_loads_the_torchscript(package: Any) -> None:
    scripted, metadata, _ = load(package.folder.name, bundle_dir=package.folder.parent, load_ts_module=True)
    assert metadata["name"] == "tiny_student"
    assert scripted(probe(2, 32, 32)).shape == (2, 1, 32, 32)


def test_checkpoint_loader_fills_the_network(
    bare_package: Path, network: StudentTranslator, student: TranslatorModel
) -> None:
    engine = Engine(lambda *_: None)
    CheckpointLoader(str(bare_package / PackageFile.WEIGHTS), {"model": network}, strict=True).attach(engine)
    engine.fire_event(Events.STARTED)
    assert same_weights(network, student)


def test_copy_model_state_fills_the_network(
    bare_package: Path, network: StudentTranslator, student: TranslatorModel
) -> None:
    state = torch.load(bare_package / PackageFile.WEIGHTS, weights_only=True)
    _, updated, unchanged = copy_model_state(network, state)
    assert len(updated) == len(state)
    assert unchanged == []
    assert same_weights(network, student)
