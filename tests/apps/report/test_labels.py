"""Names of files in plain words."""

from __future__ import annotations

import pytest

from utad_monai.apps.report.labels import measure_label, method_label
from utad_monai.metrics.measures import HIGHER_IS_BETTER


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("ssim", "SSIM ↑"),
        ("tumour_mae", "tumour MAE ↓"),
        ("enhancing_ssim", "enhancing SSIM ↑"),
        ("healthy_brasyn_ssim", "healthy SSIM ↑"),
        ("dice_WT", "WT Dice ↑"),
        ("hd95_ET", "ET HD95 (mm) ↓"),
        ("tissue_contrast", "tissue contrast"),
        ("of_a_later_version", "of a later version"),
    ],
)
def test_a_measure_has_its_name_and_an_arrow_to_what_is_better(column: str, label: str) -> None:
    assert measure_label(column) == label


@pytest.mark.parametrize("measure", HIGHER_IS_BETTER)
def test_every_measure_that_has_a_better_side_has_an_arrow(measure: str) -> None:
    arrow = {True: "↑", False: "↓", None: ""}[HIGHER_IS_BETTER[measure]]
    assert measure_label(measure).strip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-() ") == arrow
    assert "_" not in measure_label(measure)


def test_methods_and_routes_have_plain_names_and_studies_keep_theirs() -> None:
    assert method_label("copy_source") == "copy of the source"
    assert method_label("zero_fill+tolerant") == "left black, tolerant network"
    assert method_label("my_method") == "my_method"
