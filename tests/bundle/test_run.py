"""Stages run by name; what is not packaged runs when it is harmless or trusted, and not before that is known."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from typer.testing import CliRunner

from utad_monai.apps.cli import app, main
from utad_monai.bundle import run as running
from utad_monai.bundle.configs import UnknownOverrideError, WrongValueError, bundles_dir
from utad_monai.bundle.run import run_configs
from utad_monai.bundle.trust import ConfigFileError, UntrustedConfigError
from utad_monai.errors import MissingLibraryError
from utad_monai.models.stages import MissingStageError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace MONAI's run; record what it is given."""
    made: list[dict[str, Any]] = []

    def run(**given: Any) -> None:
        del given["meta_file"]
        made.append(given)

    run.__signature__ = inspect.signature(running.run_bundle)  # type: ignore[attr-defined]
    monkeypatch.setattr(running, "run_bundle", run)
    return made


def config(path: Path, content: dict[str, Any]) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def test_packaged_names_run_with_the_packaged_logging_and_the_given_values(calls: list[dict[str, Any]]) -> None:
    run_configs(["teacher", "demo", "--max_epochs", "30", "--output_dir=out", "--betas", "[0.5,0.9]", "--flip"])
    folder = bundles_dir()
    assert calls == [
        {
            "run_id": "training",
            "config_file": [str(folder / "teacher.json"), str(folder / "demo.json")],
            "logging_file": str(folder.resolve() / "logging.conf"),
            "max_epochs": 30,
            "output_dir": "out",
            "betas": [0.5, 0.9],
            "flip": True,
        }
    ]


def test_bundles_without_training_are_run(calls: list[dict[str, Any]]) -> None:
    run_configs(["evaluate"])
    run_configs([str(bundles_dir() / "teacher.json")], run_id="run")
    assert [call["run_id"] for call in calls] == ["run", "run"]


def test_harmless_file_runs_and_the_logging_config_beside_it_does_not(
    tmp_path: Path, calls: list[dict[str, Any]]
) -> None:
    (tmp_path / "logging.conf").write_text("evil")
    run_configs([config(tmp_path / "mine.json", {"max_epochs": 2, "run": []})])
    assert calls[0]["logging_file"] == str(bundles_dir().resolve() / "logging.conf")


@pytest.mark.parametrize("place", [0, 1])
def test_file_with_code_runs_only_when_trusted(tmp_path: Path, calls: list[dict[str, Any]], place: int) -> None:
    mine = config(tmp_path / "mine.json", {"seed": "$1 + 1"})
    words = ["teacher"]
    words.insert(place, mine)
    with pytest.raises(UntrustedConfigError, match=r"mine\.json: seed: expression"):
        run_configs(words)
    assert calls == []
    run_configs(words, trusted=True)
    assert len(calls) == 1


def test_copy_of_a_packaged_bundle_elsewhere_is_checked_all_the_same(tmp_path: Path, calls: list[Any]) -> None:
    content = json.loads((bundles_dir() / "teacher.json").read_text())
    run_configs([config(tmp_path / "teacher.json", content)])
    content["training"].append("$print('x')")
    with pytest.raises(UntrustedConfigError, match="training::1"):
        run_configs([config(tmp_path / "teacher.json", content)])
    assert len(calls) == 1


@pytest.mark.parametrize(
    "override",
    [
        ["--seed", "$1"],
        ["--seed=$1"],
        ["--train#trainer#_target_", "os.system"],
        ["--loss_weights", "{'_target_': 'os.system'}"],
        ["--betas", "['$1']"],
        ["--dataset_dir", "%/tmp/evil.json"],
    ],
    ids=str,
)
def test_overrides_with_code_run_only_when_trusted(calls: list[Any], override: list[str]) -> None:
    with pytest.raises(UntrustedConfigError, match="the command line: "):
        run_configs(["teacher", *override])
    assert calls == []
    run_configs(["teacher", *override], trusted=True)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["tracking", "args_file", "config_file", "meta_file", "init_id", "logging_file"])
def test_arguments_of_the_runner_are_no_overrides(calls: list[Any], name: str) -> None:
    with pytest.raises(ConfigFileError, match=name):
        run_configs(["teacher", f"--{name}", "x"], trusted=True)
    assert calls == []


def test_a_training_can_be_tracked(calls: list[Any]) -> None:
    run_configs(["teacher", "--tracking", "mlflow"])
    assert [call["tracking"] for call in calls] == ["mlflow"]


def test_unknown_names_files_keys_and_words_are_refused(calls: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"teecher: no packaged bundle.*student, teach, teacher"):
        run_configs(["teecher"])
    with pytest.raises(ConfigFileError, match="no such config file"):
        run_configs([str(tmp_path / "none.json")])
    with pytest.raises(ConfigFileError, match="study: no packaged bundle"):
        run_configs(["study"])
    with pytest.raises(ConfigFileError, match="3: is no override"):
        run_configs(["teacher", "--seed", "2", "3"])
    with pytest.raises(UnknownOverrideError, match="max_epochs"):
        run_configs(["teacher", "--max_epoch", "3"])
    assert calls == []


def test_unsafe_logging_config_is_used_only_when_trusted(tmp_path: Path, calls: list[Any]) -> None:
    path = tmp_path / "logging.conf"
    path.write_text("[handler_h]\nclass=StreamHandler\nargs=(open('x'),)\n")
    with pytest.raises(UntrustedConfigError, match="not allowed"):
        run_configs(["teacher"], logging_file=path)
    run_configs(["teacher"], logging_file=path, trusted=True)
    assert len(calls) == 1


def test_expected_errors_come_out_of_monais_wrapping(tmp_path: Path) -> None:
    (tmp_path / "cohort").mkdir()
    with pytest.raises(MissingStageError):
        run_configs(["evaluate", "--dataset_dir", str(tmp_path / "cohort"), "--output_dir", str(tmp_path)])


def test_command_separates_configs_from_overrides(calls: list[dict[str, Any]]) -> None:
    result = CliRunner().invoke(app, ["run", "teacher", "demo", "--run-id", "run", "--", "--seed", "7", "--flip=False"])
    assert result.exit_code == 0, result.output
    assert (calls[0]["seed"], calls[0]["flip"], calls[0]["run_id"]) == (7, False, "run")


@pytest.mark.parametrize(
    "words",
    [
        ["teacher", "demo", "--run-id", "run", "--seed", "7", "--flip=False", "--output_dir", "out"],
        ["--run-id=run", "teacher", "demo", "--seed=7", "--flip", "False", "--output_dir=out"],
        ["teacher", "demo", "--seed", "7", "--flip", "False", "--output_dir", "out", "--run-id", "run"],
        ["teacher", "demo", "--seed", "7", "--run-id", "run", "--", "--flip", "False", "--output_dir", "out"],
    ],
    ids=" ".join,
)
def test_overrides_need_no_separator(calls: list[dict[str, Any]], words: list[str]) -> None:
    result = CliRunner().invoke(app, ["run", *words])
    assert result.exit_code == 0, result.output
    assert [Path(name).stem for name in calls[0]["config_file"]] == ["teacher", "demo"]
    given = {key: calls[0][key] for key in ("seed", "flip", "run_id", "output_dir")}
    assert given == {"seed": 7, "flip": False, "run_id": "run", "output_dir": "out"}


def test_negative_numbers_are_values_of_overrides(calls: list[dict[str, Any]]) -> None:
    assert CliRunner().invoke(app, ["run", "teacher", "--seed", "-1"]).exception.args[0].startswith("--seed -1: needs")
    assert calls == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["teacher", "--max_epoch", "3"], "--max_epoch: the config has no such key; did you mean --max_epochs?"),
        (["teacher", "--trsut"], "--trsut: the config has no such key; the keys are those of the config file"),
        (["--seed", "3", "teacher"], "no config is named before the overrides; write utad-monai run NAME --key value"),
        (["teacher", "-m", "3"], "-m: no packaged bundle has this name"),
    ],
    ids=str,
)
def test_a_mistyped_override_ends_the_command_in_one_line(
    calls: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["utad-monai", "run", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith(f"error: {line}")
    assert calls == []


@pytest.mark.parametrize("program", ["utad-monai", "/lib/monai/bundle/__main__.py"])
def test_without_mlflow_nothing_begins(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    tracked = ["--tracking", "mlflow"]
    config_file = ["run", "training", "--config_file", str(bundles_dir() / "teacher.json")]
    monkeypatch.setattr(sys, "argv", [program, *config_file, *tracked])
    with pytest.raises(MissingLibraryError, match=r'mlflow is not installed; pip install "utad-monai\[tracking\]"'):
        running.begin(tmp_path / "out") if "monai" in Path(program).parts else run_configs(["teacher", *tracked])
    assert calls == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["2024", "1e3", "None", "[x]", "a,b", "True", "{x}", "0x10", "-1", "'q'"])
def test_a_path_is_a_path_whatever_it_looks_like(calls: list[dict[str, Any]], name: str) -> None:
    run_configs(["teacher", "--dataset_dir", name, f"--output_dir={name}"])
    assert [calls[0][key] for key in ("dataset_dir", "output_dir")] == [name.strip("'")] * 2


@pytest.mark.parametrize("name", ["@x", "x#1", "a/@b#c"])
def test_a_path_that_looks_like_a_reference_reaches_its_component_as_it_is(
    calls: list[dict[str, Any]], name: str
) -> None:
    run_configs(["teacher", "--dataset_dir", name, "--output_dir", "out"])
    assert ConfigParser(calls[0]).get_parsed_content("dataset_dir") == name


def test_a_reference_to_a_key_stays_one(calls: list[dict[str, Any]]) -> None:
    run_configs(["student", "--teacher_dir", "@output_dir"])
    assert calls[0]["teacher_dir"] == "@output_dir"


@pytest.mark.parametrize("override", [["--batch_size", "0"], ["--max_epochs", "abc"], ["--flip", "no"], ["--seed=-1"]])
def test_a_wrong_value_runs_nothing(calls: list[Any], override: list[str]) -> None:
    with pytest.raises(WrongValueError, match="needs"):
        run_configs(["teacher", *override])
    assert calls == []


def test_a_wrong_value_ends_the_command_in_one_line_and_code_2(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["utad-monai", "run", "teacher", "demo", "--", "--batch_size", "0"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: --batch_size 0: needs a whole number from 1 on\n"
    assert calls == []
