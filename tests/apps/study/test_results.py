"""A case counts once, the enhancing tumour counts in T1ce only, and a repetition is compared honestly."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch

from utad_monai.apps.study.results import METRICS, StudyFile, StudyProtocol, outside_intervals, summarise, write_tables
from utad_monai.engines.study_evaluator import StudyMeasurements
from utad_monai.keys import ImageSource, Modality, TumourRegion

OVERLAP = [f"{measure}_{region}" for measure in ("dice", "hd95") for region in TumourRegion]


def measurements() -> StudyMeasurements:
    """Return two cases: A with one pair, B with three, the reference one step above the copy."""
    measured = StudyMeasurements()
    for case, pairs in (("A", [0.0]), ("B", [1.0, 1.0, 1.0])):
        for method, better in (("utad_a", 0.5), ("copy_source", 0.0)):
            for source, value in zip(("t1", "flair", "t1ce"), pairs, strict=False):
                names = {"case": case, "source": source, "target": "t2", "method": method}
                measured.pairs.append(names | dict.fromkeys(METRICS, value + better))
            measured.subsets.append(
                {"case": case, "available": "t1", "method": method} | dict.fromkeys(OVERLAP, better)
            )
        for method in ("real", "real_and_synthetic"):
            measured.augmentation.append({"case": case, "method": method} | dict.fromkeys(OVERLAP, 0.7))
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
    measured = measurements()
    measured.pairs[0]["target"] = "t1ce"
    measured.pairs[0]["enhancing_ssim"] = 0.3
    tables = {
        StudyFile.PAIRS: pandas.DataFrame(measured.pairs),
        StudyFile.SUBSETS: pandas.DataFrame(measured.subsets),
        StudyFile.AUGMENTATION: pandas.DataFrame(measured.augmentation),
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
