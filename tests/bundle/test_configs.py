"""A misspelt override is an error with a suggestion, a wrong value one with what it must be; the rest is accepted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from utad_monai.bundle.configs import (
    UnknownOverrideError,
    WrongValueError,
    bundles_dir,
    literal_path,
    refuse_unknown_overrides,
    refuse_wrong_values,
)
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


def check_values(*options: str, files: str = TEACHER) -> None:
    refuse_wrong_values(["run", "training", "--config_file", files, *options])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max_epochs", "abc"], "--max_epochs abc: needs a whole number from 1 on"),
        (["--max_epochs=abc"], "--max_epochs abc: needs a whole number from 1 on"),
        (["-max_epochs", "abc"], "--max_epochs abc: needs a whole number from 1 on"),
        (["--max_epochs"], "--max_epochs True: needs a whole number"),
        (["--max_epochs", "None"], "--max_epochs None: needs a whole number"),
        (["--batch_size", "1e1"], "--batch_size 10.0: needs a whole number"),
        (["--image_size", "[100,100]"], "multiples of 16"),
        (["--image_size", "192x160"], "--image_size 192x160: needs two whole numbers from 32 on"),
        (["--batch_size", "0"], "--batch_size 0: needs a whole number from 1 on"),
        (["--samples_per_epoch", "-5"], "--samples_per_epoch -5: needs"),
        (["--learning_rate", "fast"], "--learning_rate fast: needs a number above 0"),
        (["--device", "cuda:99"], "--device cuda:99: needs a device of this machine: cpu"),
        (["--scheme", "everything"], "needs one of complete, global_only"),
        (["--adversarial_game", "vanilla"], "needs one of wasserstein, least_squares, hinge"),
        (["--flip", "false"], "--flip false: needs True or False"),
        (["--seed", "@nothing"], "--seed @nothing: needs"),
        (["--max_epochs", "5"], "decay_epochs 10: is more than --max_epochs 5"),
        (["--validation_fraction", "0.9"], "leaves no patient to train on beside --test_fraction 0.2"),
        (["--train::trainer::max_epochs", "0"], "--train::trainer::max_epochs 0: needs"),
        (["--train#trainer#max_epochs", "x"], "--train#trainer#max_epochs x: needs"),
        (["--loss_weights::cycle", "-1"], "--loss_weights::cycle -1: needs a number from 0 on"),
        (["--loss_weights::paired", "much"], "--loss_weights::paired much: needs a number from 0 on"),
        (["--validate::dataloader::batch_size", "one"], "--validate::dataloader::batch_size one: needs a whole number"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(options: list[str], said: str) -> None:
    with pytest.raises(WrongValueError) as refusal:
        check_values(*options)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--max_epochs", "10"],
        ["--max_epochs", "5", "--decay_epochs", "0"],
        ["--workers", "None"],
        ["--flip"],
        ["--flip=0"],
        ["--seed", "$1 + 1"],
        ["--max_epochs", "@decay_epochs"],
        ["--teacher_dir", "@output_dir"],
        ["--stage_dir", "$@output_dir + '/x'"],
        ["--start_weights", ""],
        ["--start_weights="],
        ["--dataset_dir", "'2024'"],
        ["--loss_weights", "{'_target_': 'utad_monai.losses.LossWeights'}"],
        ["--train::dataloader::pin_memory", "maybe"],
        ["--run_id", "7"],
    ],
    ids=str,
)
def test_what_means_something_is_accepted(options: list[str]) -> None:
    check_values(*options)


@pytest.mark.parametrize(
    "name",
    ["2024", "1e3", "None", "True", "[x]", "a,b", "@x", "$x", "{x}", "(x)", "0x10", "1_000", "...", "x#1", "{x: y}"],
)
def test_a_path_that_monai_would_misread_is_refused_with_what_to_write(name: str) -> None:
    with pytest.raises(WrongValueError, match="is a path") as refusal:
        check_values("--dataset_dir", name)
    assert "\n" not in str(refusal.value)
    if "#" not in name:
        check_values("--dataset_dir", f"./{name}")


@pytest.mark.parametrize(
    "name", ["cohort", "/data/2024", "2020-01-01", "a b", "ab.c", "../x", "a-b", "~/x", "x@y", "p%"]
)
def test_ordinary_paths_are_paths(name: str) -> None:
    check_values("--dataset_dir", name)
    assert literal_path(name) == name


@pytest.mark.parametrize("path", ["@x", "$x", "%x", "x#1", "a/#b/@c", "$'x'", "@output_dir", "#", "%/x.json", "$\\n"])
def test_a_literal_path_comes_out_of_monai_as_it_went_in(path: str) -> None:
    parser = ConfigParser({"output_dir": "out", "dataset_dir": literal_path(path)})
    assert parser.get_parsed_content("dataset_dir") == path


def test_a_value_of_a_file_is_checked_as_an_override_is(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"batch_size": 0}))
    with pytest.raises(WrongValueError, match=r"^batch_size 0: needs"):
        check_values(files=f"{TEACHER},{own}")
    check_values("--batch_size", "4", files=f"{TEACHER},{own}")


def test_knobs_that_a_bundle_has_no_use_for_need_not_fit_together() -> None:
    demo = f"{bundles_dir() / 'segmentation.json'},{DEMO}"
    check_values("--max_epochs", "1", files=demo)
    with pytest.raises(WrongValueError, match="decay_epochs 10: is more than --max_epochs 1"):
        check_values("--max_epochs", "1", files=f"{TEACHER},{DEMO}")


def test_sources_are_images_where_volumes_are_made_and_a_word_where_a_network_is_trained() -> None:
    inference = str(bundles_dir() / "inference.json")
    check_values("--sources", "['t1']", files=inference)
    check_values("--sources", "one")
    for options, files in ((["--sources", "one"], inference), (["--sources", "['t1']"], TEACHER)):
        with pytest.raises(WrongValueError, match="--sources"):
            check_values(*options, files=files)


def test_values_of_other_commands_are_left_alone() -> None:
    refuse_wrong_values(["ckpt_export", "--config_file", TEACHER, "--max_epochs", "abc"])
    refuse_wrong_values()
