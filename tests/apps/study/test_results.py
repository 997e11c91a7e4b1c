"""A case counts once, the enhancing tumour counts in T1ce only, and a repetition is compared honestly."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch

from utad_monai.apps.study.results import (
    METRICS,
    StudyFile,
    StudyProtocol,
    outside_intervals,
    study_views,
    summarise,
    write_tables,
)
from utad_monai.engines.measurements import Measurement, Measurements
from utad_monai.keys import ImageSource, Modality, TumourRegion
from utad_monai.metrics.measures import BRAIN, HIGHER_IS_BETTER, column

REGIONS = (*TumourRegion, BRAIN)
OVERLAP = [f"{measure}_{region}" for measure in ("dice", "hd95") for region in TumourRegion]


CELLS = {column(measure, region): (region, measure) for measure in HIGHER_IS_BETTER for region in REGIONS}
"""A region and a measure for every column."""


def rows_of_columns(names: tuple[str, str, str, str], values: dict[str, float]) -> list[Measurement]:
    return [Measurement(*names, *CELLS[name], value) for name, value in values.items()]


def measurements() -> Measurements:
    """Return two cases: A with one pair, B with three, the reference one step above the copy."""
    measured = Measurements()
    for case, pairs in (("A", [0.0]), ("B", [1.0, 1.0, 1.0])):
        for method, better in (("utad_a", 0.5), ("copy_source", 0.0)):
            for source, value in zip(("t1", "flair", "t1ce"), pairs, strict=False):
                columns = dict.fromkeys(METRICS, value + better)
                measured.rows += rows_of_columns((case, source, "t2", method), columns)
            columns = dict.fromkeys(OVERLAP, better)
            measured.rows += rows_of_columns((case, "t1", "flair+t1ce+t2", method), columns)
        for method in ("real", "real_and_synthetic"):
            columns = dict.fromkeys(OVERLAP, 0.7)
            measured.rows += rows_of_columns((case, "flair+t1+t1ce+t2", "", method), columns)
    draw = torch.Generator().manual_seed(0)
    for target in Modality:
        real = torch.randn(9, 3, generator=draw)
        measured.features[str(ImageSource.REAL), target] = [real]
        measured.features["utad_a", target] = [real + 0.1]
        measured.features["copy_source", target] = [real + 2, real + 2]
    return measured


@pytest.fixture
def results(tmp_path_factory: pytest.TempPathFactory) -> pandas.DataFrame:
    tables = write_tables(measurements(), tmp_path_factory.mktemp("tables"))
    return summarise(tables, "utad_a")


def rows_of(results: pandas.DataFrame, protocol: StudyProtocol, metric: str) -> pandas.DataFrame:
    rows = results[(results["protocol"] == protocol) & (results["metric"] == metric)]
    return rows.set_index("method")


def test_a_case_counts_once_however_many_pairs_it_has(results: pandas.DataFrame) -> None:
    rows = rows_of(results, StudyProtocol.TRANSLATION, "ssim")
    assert rows.loc["copy_source", "mean"] == pytest.approx(0.5)
    assert rows.loc["copy_source", "cases"] == 2
    assert rows.loc["copy_source", "difference"] == pytest.approx(0.5)
    assert rows.loc["copy_source", "effect"] == 1
    assert rows.loc["copy_source", "reference"] == "utad_a"
    assert np.isnan(rows.loc["utad_a", "difference"])


def test_the_enhancing_tumour_counts_in_translations_to_t1ce_only(results: pandas.DataFrame) -> None:
    assert np.isnan(rows_of(results, StudyProtocol.TRANSLATION, "enhancing_ssim").loc["utad_a", "mean"])
    rows = [
        row._replace(target="t1ce") if row[:4] == ("A", "t1", "t2", "utad_a") else row for row in measurements().rows
    ]
    rows = [row._replace(value=0.3) if row.target == "t1ce" and row[4:6] == ("ET", "ssim") else row for row in rows]
    tables = study_views(rows) | {
        StudyFile.DISTRIBUTION: pandas.DataFrame({"method": ["utad_a"], "fid": [1.0], "kid": [0.1]}),
    }
    enhancing = rows_of(summarise(tables, "utad_a"), StudyProtocol.TRANSLATION, "enhancing_ssim")
    assert enhancing.loc["utad_a", "mean"] == pytest.approx(0.3)
    assert "enhancing_ssim" in tables[StudyFile.PAIRS]
    assert tables[StudyFile.PAIRS]["enhancing_ssim"].notna().all()


def test_sets_of_images_have_a_distance_and_no_interval(results: pandas.DataFrame) -> None:
    rows = rows_of(results, StudyProtocol.DISTRIBUTION, "fid")
    assert rows.loc["utad_a", "mean"] == pytest.approx(0.03, abs=1e-4)
    assert rows.loc["copy_source", "mean"] > 10
    assert np.isnan(rows.loc["utad_a", "low"])
    assert "real" not in rows.index


def test_augmentation_is_compared_with_the_training_on_both(results: pandas.DataFrame) -> None:
    rows = rows_of(results, StudyProtocol.AUGMENTATION, "dice_WT")
    assert rows.loc["real", "reference"] == "real_and_synthetic"
    assert rows.loc["real", "difference"] == 0
    assert rows.loc["real", "p_value"] == 1


def test_a_repetition_within_the_intervals_agrees_and_one_outside_is_named(results: pandas.DataFrame) -> None:
    assert outside_intervals(results, results).empty
    other = results.copy()
    place = other.index[(other["metric"] == "mae") & (other["method"] == "copy_source")][0]
    other.loc[place, "mean"] = 99.0
    wrong = outside_intervals(other, results)
    assert wrong[["metric", "method", "mean"]].to_numpy().tolist() == [["mae", "copy_source", 99.0]]


def test_a_row_that_is_missing_does_not_agree(results: pandas.DataFrame) -> None:
    wrong = outside_intervals(results[results["method"] != "copy_source"], results)
    assert set(wrong["method"]) == {"copy_source"}
    assert wrong["mean"].isna().all()
