"""The benchmark of the starter judges every patient by what was fitted on the others, over all sets of sources."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
import torch

from benchmarks import starter
from utad_monai.data import Preprocessing
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, save_translator
from utad_monai.networks import TumourAwareGenerator

PREPROCESSING = Preprocessing(frame_size_mm=(36, 36), image_size=(32, 32))


@pytest.fixture(scope="module")
def rows(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> pandas.DataFrame:
    folder = tmp_path_factory.mktemp("starter")
    torch.manual_seed(0)
    generator = TumourAwareGenerator(
        2, "global_only", second_input="whole_image", sources="several", conditional_norms=True, gain_head=True
    )
    histograms = dict.fromkeys(Modality, [1 / 256] * 256)
    save_translator(
        folder / "model.safetensors", TranslatorModel(generator, PREPROCESSING, reference_histograms=histograms)
    )
    return starter.measure(tiny_cohort, PREPROCESSING, folder / "slices", folder / "model.safetensors", step=4)


def test_every_set_of_sources_is_measured_for_every_target(rows: pandas.DataFrame) -> None:
    made = rows[rows["method"] == starter.STARTER]
    assert set(made["count"]) == {1, 2, 3}
    for _, case in made.groupby("case"):
        assert len(case) == 4 * 7
        assert not case.duplicated(["target", "sources"]).any()
    assert not any(
        target in sources.split("+") for target, sources in zip(rows["target"], rows["sources"], strict=True)
    )


def test_yardsticks_stand_beside_the_starter(rows: pandas.DataFrame) -> None:
    table = starter.summary(rows)
    assert {starter.STARTER, starter.UNCALIBRATED, "flat_brain", "contrast_map", "copy_source"} <= set(table["method"])
    assert set(table[table["method"] == "copy_source"]["count"]) == {1}
    advantages = starter.against(rows)
    assert f"starter - {starter.UNCALIBRATED}" in set(advantages["method"])
    assert starter.STARTER not in set(advantages["method"])


def test_a_smaller_error_is_an_advantage(rows: pandas.DataFrame) -> None:
    better = rows.assign(mae=rows["mae"].where(rows["method"] != starter.STARTER, 0.0))
    advantages = starter.against(better)
    assert all(float(text.split()[0]) > 0 for text in advantages["mae"])
