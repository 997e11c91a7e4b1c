"""Which route serves a segmentation best where modalities are missing, and where synthesis adds nothing."""

from __future__ import annotations

import pytest

from utad_monai.engines.measurements import Measurement
from utad_monai.engines.routes import EVERY_SET, gap_summary, tolerant_route

TOLERANT = tolerant_route("zero_fill")


def rows(available: str, missing: str, route: str, *values: float, region: str = "WT") -> list[Measurement]:
    return [
        Measurement(f"case{place}", available, missing, route, region, "dice", value)
        for place, value in enumerate(values)
    ]


@pytest.fixture
def measured() -> list[Measurement]:
    """Give two modalities and three cases: synthesis helps where t1 is missing, and not where flair is."""
    return [
        *rows("flair", "t1", "zero_fill", 0.1, 0.2, 0.3),
        *rows("flair", "t1", "starter", 0.7, 0.8, 0.9),
        *rows("flair", "t1", TOLERANT, 0.6, 0.6, 0.6),
        *rows("flair", "t1", tolerant_route("starter"), 0.5, 0.5, 0.5),
        *rows("t1", "flair", "zero_fill", 0.0, 0.0, 0.0),
        *rows("t1", "flair", "starter", 0.2, 0.4, 0.6),
        *rows("t1", "flair", TOLERANT, 0.3, 0.4, 0.5),
        *rows("t1", "flair", tolerant_route("starter"), 0.3, 0.4, 0.5),
        *rows("flair+t1", "", "real", 0.9, 0.9, 0.9),
        *rows("flair+t1", "", tolerant_route("real"), 0.8, 0.8, 0.8),
    ]


def test_the_best_route_has_the_greatest_mean_over_cases(measured: list[Measurement]) -> None:
    best = gap_summary(measured)["best"]["flair"]["WT"]
    assert (best["route"], best["mean"]) == ("starter", pytest.approx(0.8))
    assert best["low"] < 0.8 < best["high"]


def test_synthesis_adds_the_paired_difference_to_the_best_route_without(measured: list[Measurement]) -> None:
    best = gap_summary(measured)["best"]["flair"]["WT"]
    assert (best["synthesis"], best["without"]) == ("starter", TOLERANT)
    assert best["gain_mean"] == pytest.approx(0.2)
    assert best["synthesis_adds"] is True


def test_synthesis_adds_nothing_where_the_interval_reaches_zero(measured: list[Measurement]) -> None:
    best = gap_summary(measured)["best"]["t1"]["WT"]
    assert best["gain_mean"] == pytest.approx(0)
    assert best["synthesis_adds"] is False


def test_complete_cases_stand_beside_and_are_no_route(measured: list[Measurement]) -> None:
    summary = gap_summary(measured)
    assert {route: of["WT"]["mean"] for route, of in summary["complete"].items()} == {"real": 0.9, "real+tolerant": 0.8}
    assert set(summary["subsets"]["flair"]) == {"zero_fill", "starter", TOLERANT, "starter+tolerant"}


def test_means_over_sets_count_a_case_once(measured: list[Measurement]) -> None:
    by_missing = gap_summary(measured)["by_missing"]
    assert list(by_missing) == ["1", EVERY_SET]
    assert by_missing["1"]["starter"]["WT"]["mean"] == pytest.approx(0.6)
    assert by_missing["1"] == by_missing[EVERY_SET]
    single = gap_summary([row for row in measured if row.case == "case0"])["by_missing"]["1"]["starter"]["WT"]
    assert (single["mean"], single["low"]) == (pytest.approx(0.45), None)


def test_without_a_tolerant_network_there_is_nothing_to_say(measured: list[Measurement]) -> None:
    assert gap_summary([row for row in measured if not row.method.endswith("+tolerant")]) == {}
    assert gap_summary([]) == {}


def test_pairs_with_real_images_beside_and_other_measures_are_left_out(measured: list[Measurement]) -> None:
    three = [row._replace(source=f"{row.source}+t2") for row in measured]
    pair = Measurement("case0", "flair", "t1", "zero_fill", "WT", "dice", 1.0)
    distance = three[0]._replace(measure="hd95", value=99.0)
    assert gap_summary([*three, pair, distance]) == gap_summary(three)


def test_methods_that_only_the_plain_network_was_asked_about_are_no_routes(measured: list[Measurement]) -> None:
    extra = rows("flair", "t1", "paired_bound", 1.0, 1.0, 1.0)
    assert gap_summary([*measured, *extra]) == gap_summary(measured)


def test_the_real_image_of_a_missing_modality_is_no_route(measured: list[Measurement]) -> None:
    extra = rows("flair", "t1", "real", 1.0, 1.0, 1.0)
    assert gap_summary([*measured, *extra]) == gap_summary(measured)
