"""A misspelt override is an error with a suggestion; everything that means something is accepted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from utad_monai.bundle.configs import UnknownOverrideError, bundles_dir, refuse_unknown_overrides
from utad_monai.runtime.workers import default_device

TEACHER = str(bundles_dir() / "teacher.json")
DEMO = str(bundles_dir() / "demo.json")


def check(*options: str, files: str = TEACHER) -> None:
    refuse_unknown_overrides(["run", "training", "--config_file", files, *options])


def test_no_override_is_accepted() -> None:
    check()


@pytest.mark.parametrize(
    "name",
    [
        "max_epochs",
        "dataset_dir",
        "train::trainer::max_epochs",
        "train#trainer#max_epochs",
        "train#trainer::max_epochs",
        "loss_weights::cycle",
        "train::handlers::0",
        "train::handlers::1::_target_",
        "+max_epochs",
    ],
)
def test_key_of_the_config_is_accepted(name: str) -> None:
    check(f"--{name}", "3")
    check(f"--{name}=3")


@pytest.mark.parametrize("name", ["train::trainer::epoch_length", "train::dataloader::pin_memory"])
def test_constructor_argument_that_the_file_leaves_at_its_default_is_accepted(name: str) -> None:
    assert name.rpartition("::")[2] not in Path(TEACHER).read_text()
    check(f"--{name}", "3")


def test_key_that_monai_reads_beside_the_target_is_accepted() -> None:
    check("--network_def::_desc_", "why")


def test_argument_of_a_monai_component_is_left_to_monai(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"network_def": {"_target_": "UNet", "spatial_dims": 2}}))
    check("--network_def::dropout", "0.1", files=str(tmp_path / "c.json"))


@pytest.mark.parametrize("name", ["run_id", "init_id", "meta_file", "logging_file", "tracking", "args_file"])
def test_options_of_monai_itself_are_accepted(name: str) -> None:
    check(f"--{name}", "x")
    check(f"--{name.replace('_', '-')}", "x")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("max_epoch", "max_epochs"),
        ("datset_dir", "dataset_dir"),
        ("traking", "tracking"),
        ("train::trainr::max_epochs", "train::trainer::max_epochs"),
        ("train#trainr#max_epochs", "train::trainer::max_epochs"),
        ("train::trainer::max_epoch", "train::trainer::max_epochs"),
        ("loss_weights::cycl", "loss_weights::cycle"),
        ("cohort::validation_fractoin", "cohort::validation_fraction"),
        ("train::handlers::99::_target_", "train::handlers"),
    ],
)
def test_misspelt_key_is_refused_with_a_suggestion(name: str, suggestion: str) -> None:
    for options in ([f"--{name}", "3"], [f"--{name}=3"]):
        with pytest.raises(UnknownOverrideError) as refusal:
            check(*options)
        assert f"--{name}: the config has no such key; did you mean --{suggestion}" in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_key_like_no_other_is_refused_without_a_suggestion() -> None:
    with pytest.raises(UnknownOverrideError, match="the keys are those of the config file"):
        check("--zzz", "3")


def test_one_misspelt_key_among_good_ones_is_found() -> None:
    with pytest.raises(UnknownOverrideError, match="--sede"):
        check("--max_epochs", "3", "--sede", "1", "--output_dir", "out")


def test_value_that_looks_like_a_key_is_a_value() -> None:
    check("--output_dir", "unknown_key")


@pytest.mark.parametrize("files", [f"['{TEACHER}','{DEMO}']", f"('{TEACHER}', '{DEMO}')", f"{TEACHER},{DEMO}"])
def test_overlays_are_read_however_they_are_listed(files: str, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps({"own_key": 1}))
    check("--max_epochs", "2", files=files)
    with pytest.raises(UnknownOverrideError):
        check("--own_key", "2", files=files)
    check("--own_key", "2", "--max_epochs", "2", files=files.replace(DEMO, str(tmp_path / "own.json")))


def test_file_whose_name_has_a_comma_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a,b.json"
    path.write_text(json.dumps({"own_key": 1}))
    check("--own_key", "2", files=str(path))


def test_own_command_line_is_checked_when_monai_is_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["run", "training", "--config_file", TEACHER, "--max_epoch", "3"]
    monkeypatch.setattr(sys, "argv", ["/site-packages/monai/bundle/__main__.py", *arguments])
    with pytest.raises(UnknownOverrideError, match="max_epochs"):
        refuse_unknown_overrides()
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest", *arguments])
    refuse_unknown_overrides()


@pytest.mark.parametrize(
    "arguments", [[], ["ckpt_export", "--config_file", TEACHER, "--zzz", "1"], ["run", "training", "--zzz", "1"]]
)
def test_other_commands_are_left_alone(arguments: list[str]) -> None:
    refuse_unknown_overrides(arguments)


def test_bundles_of_the_checkout_are_found() -> None:
    assert bundles_dir() == Path(__file__).resolve().parents[2] / "bundles"


def test_default_device_exists() -> None:
    assert torch.zeros(1, device=default_device()).device.type == ("cuda" if torch.cuda.is_available() else "cpu")
