from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from matplotlib.figure import Figure

from utad_monai.apps.report.figures import (
    dice_figure,
    dice_scatter,
    feature_error_figure,
    interval_figure,
    missing_figure,
    translation_figure,
)
from utad_monai.keys import Modality, TumourRegion


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def saved(figure: Figure, path: Path) -> bool:
    figure.savefig(path)
    return path.stat().st_size > 2000


def images(figure: Figure) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]


@pytest.mark.parametrize("with_tumour", [True, False])
def test_a_translation_has_slice_zoom_and_error_of_every_method(tmp_path: Path, with_tumour: bool) -> None:
    source, real = torch.rand(40, 32), torch.rand(40, 32)
    mask = torch.zeros(40, 32)
    if with_tumour:
        mask[10:16, 12:20] = 1
    figure = translation_figure(source, {"student": real + 0.25, "copy": source}, real, mask)
    drawn = images(figure)[:12]
    assert [array.shape for array in drawn[:4]] == [(40, 32)] * 4
    assert all((array.shape == (40, 32)) is not with_tumour for array in drawn[4:8])
    assert np.allclose(drawn[9], 0.125, atol=1e-6)
    assert np.allclose(drawn[11], 0)
    assert saved(figure, tmp_path / "figure.png")


def test_feature_errors_show_one_pixel_per_channel(tmp_path: Path) -> None:
    teacher = torch.rand(10, 3, 2)
    student = teacher.clone()
    student[7] += 1
    figure = feature_error_figure(teacher, {"student": student})
    error = images(figure)[2]
    assert error.shape == (4, 4)
    assert np.nan_to_num(error).ravel().argmax() == 7
    assert np.ma.masked_invalid(error).count() == 10
    assert all(np.isfinite(axis.images[0].norm.vmax) for axis in figure.axes if axis.images)
    assert saved(figure, tmp_path / "figure.png")


def dice_table() -> pandas.DataFrame:
    rows = []
    for target in Modality:
        for source in Modality:
            if source != target:
                row: dict[str, object] = {"case": "A", "source": str(source), "target": str(target)}
                for fill, value in (("real", 0.8), ("synthesized", 0.6), ("zero_fill", 0.2)):
                    row |= {f"dice_{fill}_{region}": value for region in TumourRegion}
                rows.append(row)
    return pandas.DataFrame(rows)


def test_dice_bars_stand_for_every_modality_and_fill(tmp_path: Path) -> None:
    figure = dice_figure(dice_table(), ["real", "synthesized", "zero_fill"])
    assert [len(axis.patches) for axis in figure.axes] == [12, 12, 12]
    assert sorted({round(bar.get_height(), 3) for bar in figure.axes[0].patches}) == [0.2, 0.6, 0.8]
    assert saved(figure, tmp_path / "figure.png")


def test_the_scatter_has_one_point_per_row(tmp_path: Path) -> None:
    figure = dice_scatter(dice_table())
    points = np.concatenate([np.asarray(group.get_offsets()) for group in figure.axes[0].collections])
    assert points.shape == (12, 2)
    assert np.allclose(points, [0.8, 0.6])
    assert saved(figure, tmp_path / "figure.png")


def test_missing_modalities_give_one_line_per_method_and_one_point_per_count(tmp_path: Path) -> None:
    available = {"t1": 1, "flair": 1, "t1+t2": 2, "flair+t1+t2": 3}
    rows = [
        {"available": names, "method": method, **{f"dice_{region}": dice * count / 3 for region in TumourRegion}}
        for names, count in available.items()
        for method, dice in (("student", 0.9), ("zero_fill", 0.3))
    ]
    figure = missing_figure(pandas.DataFrame(rows), ["student", "zero_fill"])
    for axis in figure.axes:
        assert [line.get_xdata().tolist() for line in axis.lines] == [[1, 2, 3]] * 2
        assert axis.lines[0].get_ydata().tolist() == pytest.approx([0.3, 0.6, 0.9])
        assert len({(line.get_color(), line.get_marker()) for line in axis.lines}) == 2
    assert saved(figure, tmp_path / "figure.png")


def test_more_lines_than_colours_are_told_apart() -> None:
    methods = [f"method {number}" for number in range(20)]
    rows = [{"available": "t1", "method": method} | {f"dice_{r}": 0.5 for r in TumourRegion} for method in methods]
    lines = missing_figure(pandas.DataFrame(rows), methods).axes[0].lines
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 20


def test_intervals_are_drawn_from_low_to_high_with_the_mean_between(tmp_path: Path) -> None:
    rows = [
        {"metric": metric, "method": method, "mean": 0.5 + shift, "low": 0.4 + shift, "high": 0.7 + shift}
        for metric in ("mae", "dice_WT")
        for method, shift in (("student", 0.1), ("copy", 0.0))
    ]
    figure = interval_figure(pandas.DataFrame(rows), ["mae", "dice_WT"], ["student", "copy"])
    for axis in figure.axes:
        assert axis.lines[0].get_xdata().tolist() == pytest.approx([0.6, 0.5])
        segments = np.array(axis.collections[0].get_segments())
        assert segments[:, :, 0].ravel().tolist() == pytest.approx([0.5, 0.8, 0.4, 0.7])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["student", "copy"]
    assert saved(figure, tmp_path / "figure.png")
