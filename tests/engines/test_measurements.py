"""The long table, and tables with a column per measure made of it."""

from __future__ import annotations

import math

import torch

from utad_monai.engines.measurements import Measurement, Measurements, long_table, wide_table
from utad_monai.keys import Modality

ROWS = [
    Measurement("b", "t1", "t2", "student", "brain", "mae", 0.1),
    Measurement("b", "t1", "t2", "student", "WT", "mae", 0.2),
    Measurement("a", "t1", "t2", "student", "brain", "mae", 0.3),
    Measurement("a", "t1", "t2", "student", "WT", "dice", 0.4),
]


def test_long_table_has_a_row_per_number() -> None:
    table = long_table(ROWS)
    assert list(table.columns) == ["case", "source", "target", "method", "region", "measure", "value"]
    assert table["value"].to_list() == [0.1, 0.2, 0.3, 0.4]
    assert list(long_table([]).columns) == list(table.columns)


def test_wide_table_keeps_order_shows_gaps_and_leaves_out_what_is_not_asked_for() -> None:
    table = wide_table(ROWS, ("case", "source"), ["tumour_mae", "mae"])
    assert list(table.columns) == ["case", "source", "tumour_mae", "mae"]
    assert table[["case", "source", "mae"]].to_numpy().tolist() == [["b", "t1", 0.1], ["a", "t1", 0.3]]
    assert table["tumour_mae"][0] == 0.2
    assert math.isnan(table["tumour_mae"][1])


def test_sets_are_measured_against_the_real_images_of_their_target() -> None:
    draw = torch.Generator().manual_seed(0)
    real = {target: torch.randn(9, 3, generator=draw) for target in Modality}
    measured = Measurements(features={("real", target): [images] for target, images in real.items()})
    measured.features["copy", Modality.T2] = [real[Modality.T2], real[Modality.T2] + 2]
    rows = list(measured.of_sets())
    assert [row[:6] for row in rows] == [("", "", "t2", "copy", "frame", name) for name in ("slices", "fid", "kid")]
    assert rows[0].value == 18
    assert rows[1].value > 1
