"""The command measures a model beside its yardsticks, and every number has its protocol in words beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
from typer.testing import CliRunner

from utad_monai.apps.cli import app
from utad_monai.metrics.protocols import PROTOCOL_IN_WORDS

runner = CliRunner()


@pytest.fixture(scope="module")
def output(tiny_cohort: Path, student_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give the folder of an evaluation by every protocol, and what it printed."""
    folder = tmp_path_factory.mktemp("evaluated")
    protocols = [word for name in PROTOCOL_IN_WORDS for word in ("--protocol", str(name))]
    arguments = [str(tiny_cohort), "--output", str(folder), "--model", str(student_file), *protocols]
    result = runner.invoke(app, ["evaluate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder, result.stdout


def test_every_table_is_printed_under_its_protocol_with_copy_flat_brain_and_contrast_map(
    output: tuple[Path, str],
) -> None:
    lines = output[1].splitlines()
    for protocol, words in PROTOCOL_IN_WORDS.items():
        place = lines.index(f"{protocol}: {words}")
        methods = [line.split()[0] for line in lines[place + 3 : place + 7]]
        assert methods == ["copy_source", "student", "flat_brain", "contrast_map"]
    assert lines[-1] == f"written: {output[0] / 'measurements.csv'} and {output[0] / 'protocols.json'}"


def test_the_long_table_has_the_numbers_of_every_protocol(output: tuple[Path, str]) -> None:
    table = pandas.read_csv(output[0] / "measurements.csv")
    assert list(table) == ["case", "source", "target", "method", "region", "measure", "value"]
    assert {"ssim", "utad128_ssim", "brasyn_ssim", "brasyn_ssim_inside", "selfrdb_ssim"} <= set(table["measure"])
    own = table[table["source"] == table["target"]]
    assert set(own["measure"]) == {"utad128_ssim"}


def test_the_means_are_written_beside_the_words(output: tuple[Path, str]) -> None:
    found = json.loads((output[0] / "protocols.json").read_text())
    assert found["protocols"] == {str(name): words for name, words in PROTOCOL_IN_WORDS.items()}
    table = pandas.read_csv(output[0] / "measurements.csv")
    shown = table[(table["measure"] == "brasyn_ssim") & (table["region"] == "WT") & (table["method"] == "student")]
    mean = found["means"]["brasyn"]["student"]["tumour_brasyn_ssim"]
    assert mean["mean"] == pytest.approx(shown.groupby("case")["value"].mean().mean())


def test_an_unknown_protocol_is_a_usage_error(tiny_cohort: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["evaluate", str(tiny_cohort), "--output", str(tmp_path), "--protocol", "brats"])
    assert result.exit_code == 2
    assert "selfrdb" in result.output
