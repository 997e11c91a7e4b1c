"""After a validation there is a picture of every translation of one slice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ignite.engine import Engine
from matplotlib.image import imread

from utad_monai.data import EvaluationCases
from utad_monai.handlers import SampleGrid
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Modality
from utad_monai.networks import TumourAwareGenerator


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("a window was opened"))


def test_picture_is_written_after_each_validation(
    make_validator: Callable[..., Any], validation_cases: EvaluationCases, translator: SliceTranslator, tmp_path: Path
) -> None:
    opened = plt.get_fignums()
    validator = make_validator(SampleGrid(tmp_path / "samples", validation_cases, translator=translator))
    validator.run(3)
    validator.run(10)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["epoch_0003.png", "epoch_0010.png"]
    picture = imread(tmp_path / "samples" / "epoch_0003.png")
    assert min(picture.shape[:2]) > 200
    assert float(picture[..., :3].std()) > 0.05
    assert plt.get_fignums() == opened


def test_case_name_is_no_formula(
    validation_cases: EvaluationCases, translator: SliceTranslator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = validation_cases[0] | {BatchKey.CASE_ID: r"a$\frac{$"}
    monkeypatch.setattr(EvaluationCases, "__getitem__", lambda *_: case)
    SampleGrid(tmp_path, validation_cases, translator=translator)(Engine(lambda *_: None))
    assert (tmp_path / "epoch_0000.png").is_file()


def test_picture_also_goes_to_tensorboard(
    make_validator: Callable[..., Any], validation_cases: EvaluationCases, translator: SliceTranslator, tmp_path: Path
) -> None:
    make_validator(
        SampleGrid(tmp_path / "samples", validation_cases, translator=translator, log_dir=tmp_path / "log")
    ).run()
    (log,) = (tmp_path / "log").iterdir()
    assert log.stat().st_size > 5000


def test_grid_shows_each_source_and_its_four_translations_at_the_slice_with_most_tumour(
    validation_cases: EvaluationCases, translator: SliceTranslator
) -> None:
    case = validation_cases[0]
    place = int(case[BatchKey.LABEL][0].flatten(1).sum(dim=1).argmax())
    figure = SampleGrid("unused", validation_cases, translator=translator).draw()
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        title for source in Modality for title in (f"{source} (input)", *(f"to {target}" for target in Modality))
    ]
    for row, source in enumerate(Modality):
        shown = case[BatchKey.IMAGE][source][place : place + 1]
        np.testing.assert_allclose(figure.axes[5 * row].images[0].get_array(), shown[0])
        made = translator({source: shown}, Modality.T2)[0]
        np.testing.assert_allclose(figure.axes[5 * row + 4].images[0].get_array(), made, atol=1e-5)
    assert case[BatchKey.CASE_ID] in figure.get_suptitle()
    assert f"slice {place}" in figure.get_suptitle()
    plt.close(figure)


def test_several_sources_have_a_row_of_their_own_and_nothing_is_made_from_itself(
    validation_cases: EvaluationCases,
) -> None:
    generator = TumourAwareGenerator(2, "global_only", sources="several", conditional_norms=True)
    figure = SampleGrid("unused", validation_cases, translator=SliceTranslator(generator)).draw()
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == 5 * 5
    for row, source in enumerate(Modality):
        made = ["" if target == source else f"to {target}" for target in Modality]
        assert titles[5 * row : 5 * row + 5] == [f"{source} (input)", *made]
    assert titles[20:] == ["", *(f"all others to {target}" for target in Modality)]
    plt.close(figure)
