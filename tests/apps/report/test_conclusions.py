"""Sentences are computed from the numbers of their tables."""

from __future__ import annotations

from typing import Any

import pandas
import pytest

from utad_monai.apps.report.conclusions import (
    dice_conclusion,
    gaps_conclusion,
    pairs_conclusion,
    protocol_conclusion,
    quality_conclusion,
    routes_conclusion,
    sources_conclusion,
    study_conclusion,
)


def table(**columns: list[float]) -> pandas.DataFrame:
    return pandas.DataFrame({"case": list("abcd"), **columns})


def test_ahead_behind_and_not_apart_are_told_from_the_interval_over_cases() -> None:
    student = [0.8, 0.81, 0.82, 0.83]
    ahead = quality_conclusion(table(student_ssim=student, copy_source_ssim=[0.7] * 4))
    assert ahead.startswith("In SSIM the student is ahead of the copy of the source by 0.115; the 95 % interval")
    assert ahead.endswith("excludes 0.")
    behind = quality_conclusion(table(student_ssim=student, copy_source_ssim=[0.9] * 4))
    assert "is behind the copy of the source by 0.085" in behind
    level = quality_conclusion(table(student_ssim=student, copy_source_ssim=[0.9, 0.7, 0.9, 0.75]))
    assert "is not clearly apart" in level
    assert level.endswith("includes 0.")


def test_the_student_is_compared_with_the_best_of_what_is_simple() -> None:
    text = quality_conclusion(table(student_ssim=[0.8] * 4, copy_source_ssim=[0.2] * 4, contrast_map_ssim=[0.7] * 4))
    assert "the contrast map (the best of what needs no network) by 0.100" in text


def test_one_case_has_no_interval() -> None:
    one = table(student_ssim=[0.8] * 4, copy_source_ssim=[0.7] * 4).head(1)
    assert quality_conclusion(one).endswith("by 0.100; of one case there is no interval.")


def test_dice_is_compared_with_a_copy_and_with_the_real_image() -> None:
    columns = {"dice_synthesized_WT": [0.7, 0.72] * 2, "dice_copy_source_WT": [0.4] * 4, "dice_real_WT": [0.8] * 4}
    text = dice_conclusion(table(**columns))
    assert "is ahead of a copy of the source by 0.310" in text
    assert text.endswith("The real image is better by 0.090.")
    nothing = table(**{name: [float("nan")] * 4 for name in columns})
    assert dice_conclusion(nothing) == "No test case has all modalities: nothing was segmented."


def test_more_sources_raise_or_lower_what_the_student_makes() -> None:
    assert sources_conclusion({"3": {"student": {"ssim": 0.9}}, "1": {"student": {"ssim": 0.8}}}) == (
        "From 1 to 3 sources the student's SSIM rises from 0.800 to 0.900."
    )
    assert sources_conclusion({"1": {"starter": {"ssim": 0.8}}}) == ""


def test_pairs_in_which_something_simpler_is_better_are_named() -> None:
    pairs: list[dict[str, Any]] = [
        {"source": "t1", "target": "t1ce", "student_ssim": 0.6, "copy_source_ssim": 0.7},
        {"source": "t1", "target": "t2", "student_ssim": 0.8, "copy_source_ssim": 0.1},
    ]
    text = pairs_conclusion(pairs)
    assert "greatest in t1 → t2 (0.800) and smallest in t1 → t1ce (0.600)" in text
    assert text.endswith("a greater one in 1 of 2 pairs: t1 → t1ce.")
    assert pairs_conclusion(pairs[1:]).endswith("nothing simpler has a greater one in any pair.")


def test_sets_in_which_synthesis_adds_are_counted() -> None:
    helped = {"synthesis_adds": True, "gain_mean": 0.2}
    best = {"t1+t2": {"WT": helped}, "t1": {"WT": {"synthesis_adds": False, "gain_mean": 0.0}}}
    assert gaps_conclusion({"best": best}) == (
        "Synthesis adds to the whole-tumour Dice in 1 of 2 sets of available modalities, "
        "most with t1, t2 alone (+0.200)."
    )
    assert gaps_conclusion({"best": {"t1": best["t1"]}}).endswith(
        "in 0 of 1 sets of available modalities: no interval lies above 0."
    )


def test_the_best_route_over_all_sets_is_named_beside_black_images() -> None:
    means = {"zero_fill": {"WT": {"mean": 0.5}}, "synthesized+tolerant": {"WT": {"mean": 0.7}}}
    assert routes_conclusion({"by_missing": {"all": means}}) == (
        "Over all sets the best route to the whole tumour is “synthetic, tolerant network” with a Dice of 0.700; "
        "with the missing images left black it is 0.500."
    )
    assert routes_conclusion({"by_missing": {}}) == ""


@pytest.mark.parametrize(("column", "leader"), [("tumour_mae", "copy_source"), ("dice_WT", "student")])
def test_the_leader_is_the_one_with_the_better_mean(column: str, leader: str) -> None:
    means = {"student": {column: {"mean": 0.4}}, "copy_source": {column: {"mean": 0.2}}}
    assert {"copy_source": "copy of the source", "student": "student"}[leader] in protocol_conclusion(means)


def test_a_study_says_who_differs_from_its_reference() -> None:
    def row(method: str, mean: float, significant: bool) -> dict[str, Any]:
        return {"method": method, "cells": [{"mean": mean, "significant": significant}]}

    rows = [row("ours", 0.9, False), row("a", 0.5, True), row("b", 0.8, False)]
    text = study_conclusion({"metrics": ["ssim"], "rows": rows}, "ours")
    assert text == "Best in SSIM: ours (0.900). 1 of 2 differ from ours (corrected p below 0.05)."
    level = study_conclusion({"metrics": ["ssim"], "rows": rows[::2]}, "ours")
    assert level.endswith("None differs from ours (corrected p below 0.05).")
