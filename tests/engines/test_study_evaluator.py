from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from monai.networks.nets import UNet
from torch.utils.data import DataLoader

from utad_monai.data import CohortError
from utad_monai.engines.study_evaluator import STUDY_TABLE_FILE, StudyEvaluator, measure_translation
from utad_monai.keys import BatchKey, Modality
from utad_monai.metrics import DownstreamSegmentation

Loader = Callable[[Any], DataLoader[Any]]


@pytest.fixture
def segmentation() -> DownstreamSegmentation:
    torch.manual_seed(0)
    return DownstreamSegmentation(UNet(2, 4, 3, channels=(4, 8), strides=(2,)))


def study(
    loader: DataLoader[Any], segmentation: DownstreamSegmentation, output: Path, **translators: Any
) -> StudyEvaluator:
    return StudyEvaluator("cpu", loader, translators, segmentation, output)


def test_every_method_is_measured_for_every_case_source_and_target(
    evaluation_case: Callable[..., Any],
    case_loader: Loader,
    perfect_translator: Any,
    segmentation: DownstreamSegmentation,
    tmp_path: Path,
) -> None:
    loader = case_loader([evaluation_case("A", seed=1), evaluation_case("B", seed=2)])
    study(loader, segmentation, tmp_path, perfect=perfect_translator).run()
    table = pandas.read_csv(tmp_path / STUDY_TABLE_FILE)
    assert len(table) == 2 * 12 * 4
    assert not table.duplicated(["case", "source", "target", "method"]).any()
    assert set(table["method"]) == {"real", "copy_source", "zero_fill", "perfect"}


def test_a_copy_is_called_a_copy_and_a_perfect_method_is_as_good_as_real(
    evaluation_case: Callable[..., Any],
    case_loader: Loader,
    segmentation: DownstreamSegmentation,
    tmp_path: Path,
) -> None:
    case = evaluation_case("A", seed=1)
    images = case[BatchKey.IMAGE]

    def lookup(_: torch.Tensor, target: Modality, __: torch.Tensor) -> torch.Tensor:
        return images[target]

    engine = study(case_loader([case]), segmentation, tmp_path, oracle=lookup)
    engine.run()
    table = engine.table.set_index("method")
    assert table.loc["copy_source", "identity_copy"].to_numpy() == pytest.approx(1)
    assert table.loc["oracle", "identity_copy"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert table.loc["oracle", "mae"].to_numpy() == pytest.approx(0)
    assert table.loc["oracle", "slice_consistency"].to_numpy() == pytest.approx(1)
    for column in ("dice_WT", "dice_TC", "dice_ET"):
        assert table.loc["oracle", column].to_list() == table.loc["real", column].to_list()


def test_the_enhancing_error_looks_at_the_enhancing_region_alone() -> None:
    real, truth = torch.zeros(2, 16, 16), torch.zeros(3, 2, 16, 16)
    truth[:, :, 4:8, 4:8] = 1
    truth[0, :, 2:12, 2:12] = 1
    made = real.clone()
    made[:, 4:8, 4:8] = 0.4
    measured = measure_translation(real - 0.2, made, real, truth)
    assert measured["enhancing_mae"] == pytest.approx(0.2, abs=1e-6)
    assert 0 < measured["tumour_mae"] < 0.2


def test_no_complete_case_is_an_error(
    case_loader: Loader, segmentation: DownstreamSegmentation, tmp_path: Path
) -> None:
    with pytest.raises(CohortError, match="no complete test case"):
        study(case_loader([]), segmentation, tmp_path)
