from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pandas
import pytest
import torch
from monai.networks.nets import UNet
from torch.utils.data import DataLoader

from utad_monai.contrast import FlatBrain
from utad_monai.data import CohortError
from utad_monai.engines import study_evaluator
from utad_monai.engines.study_evaluator import StudyEvaluator, StudyMeasurements, StudySegmenters, measure_image
from utad_monai.keys import BatchKey, ImageSource, Modality
from utad_monai.metrics import DownstreamSegmentation

Loader = Callable[[Any], DataLoader[Any]]
YARDSTICKS = {ImageSource.FLAT_BRAIN: FlatBrain(dict.fromkeys(Modality, -0.2))}
BASELINES = ("real", "copy_source", "zero_fill", "flat_brain")


def network(modalities: tuple[Modality, ...] = tuple(Modality)) -> DownstreamSegmentation:
    return DownstreamSegmentation(UNet(2, len(modalities), 3, (4, 8), (2,)), modalities=modalities)


@pytest.fixture
def segmenters() -> StudySegmenters:
    torch.manual_seed(0)
    single = {modality: network((modality,)) for modality in Modality}
    return StudySegmenters(network(), single, network())


def first_source(target: Modality, available: tuple[Modality, ...]) -> Modality:
    return next(modality for modality in available if modality != target)


@pytest.fixture
def measure(
    case_loader: Loader, segmenters: StudySegmenters, evaluation_case: Callable[..., Any]
) -> Callable[..., StudyMeasurements]:
    def _measure(*case_ids: str, **translators: Any) -> StudyMeasurements:
        cases = [
            evaluation_case(name, seed=place) | {BatchKey.SPACING_MM: (2.0, 1.0, 1.0)}
            for place, name in enumerate(case_ids)
        ]
        engine = StudyEvaluator("cpu", case_loader(cases), translators, segmenters, YARDSTICKS, first_source)
        engine.run()
        return engine.measurements

    return _measure


def test_every_method_is_measured_for_every_pair_and_every_subset(
    measure: Callable[..., StudyMeasurements], perfect_translator: Any
) -> None:
    measured = measure("A", "B", perfect=perfect_translator)
    pairs, subsets = pandas.DataFrame(measured.pairs), pandas.DataFrame(measured.subsets)
    methods = {*BASELINES, "perfect"}
    assert len(pairs) == 2 * 12 * len(methods)
    assert not pairs.duplicated(["case", "source", "target", "method"]).any()
    assert set(pairs["method"]) == methods
    assert len(subsets) == 2 * 14 * len(methods)
    wanted = {"+".join(chosen) for count in (1, 2, 3) for chosen in combinations(Modality, count)}
    assert set(subsets["available"]) == wanted
    assert len(measured.augmentation) == 2 * 2


def test_a_copy_is_called_a_copy_and_a_perfect_method_is_as_good_as_real(
    measure: Callable[..., StudyMeasurements], evaluation_case: Callable[..., Any]
) -> None:
    images = evaluation_case("A", seed=0)[BatchKey.IMAGE]

    def oracle(_: torch.Tensor, target: Modality, __: torch.Tensor) -> torch.Tensor:
        return images[target]

    measured = measure("A", oracle=oracle)
    table = pandas.DataFrame(measured.pairs).set_index("method")
    assert table.loc["copy_source", "identity_copy"].to_numpy() == pytest.approx(1)
    assert table.loc["oracle", "identity_copy"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert table.loc["oracle", "mae"].to_numpy() == pytest.approx(0)
    assert table.loc["oracle", "slice_consistency"].to_numpy() == pytest.approx(1)
    columns = [name for name in table if name.startswith(("dice", "hd95", "s_score", "volume_change"))]
    assert len(columns) == 12
    pandas.testing.assert_frame_equal(
        table.loc["oracle", columns].reset_index(drop=True), table.loc["real", columns].reset_index(drop=True)
    )
    subsets = pandas.DataFrame(measured.subsets).set_index("method")
    assert subsets.loc["oracle", "dice_WT"].to_list() == subsets.loc["real", "dice_WT"].to_list()


def test_with_three_real_modalities_a_subset_is_the_pair_with_the_best_source(
    measure: Callable[..., StudyMeasurements],
) -> None:
    measured = measure("A")
    pairs = pandas.DataFrame(measured.pairs).set_index(["method", "source", "target"])
    subsets = pandas.DataFrame(measured.subsets).set_index(["method", "available"])
    for method in BASELINES:
        for dice in ("dice_WT", "hd95_ET"):
            alone = subsets.loc[(method, "flair+t1+t1ce"), dice]
            assert alone == pairs.loc[(method, "flair", "t2"), dice]


def test_method_of_several_sources_gets_all_that_are_available(
    measure: Callable[..., StudyMeasurements], evaluation_case: Callable[..., Any]
) -> None:
    images = evaluation_case("A", seed=0)[BatchKey.IMAGE]
    calls: list[tuple[tuple[Modality, ...], Modality]] = []

    def several(given: dict[Modality, torch.Tensor], target: Modality, _: torch.Tensor) -> torch.Tensor:
        calls.append((tuple(given), target))
        return images[target].clone() if len(given) == 3 else torch.full_like(images[target], -1.0)

    several.several = True  # type: ignore[attr-defined]
    measured = measure("A", several=several)
    assert len(calls) == len(set(calls)) == 12 + 12 + 4  # each translation once
    assert all(target not in given for given, target in calls)
    subsets = pandas.DataFrame(measured.subsets).set_index(["method", "available"])
    for available in ("flair+t1+t1ce", "t1+t1ce+t2"):
        wanted = subsets.loc[("real", available), "dice_WT"]
        assert subsets.loc[("several", available), "dice_WT"] == wanted


def test_a_flat_brain_is_the_training_mean_inside_the_brain(measure: Callable[..., StudyMeasurements]) -> None:
    table = pandas.DataFrame(measure("A").pairs).set_index("method")
    assert table.loc["flat_brain", "slice_consistency"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert table.loc["flat_brain", "mae"].mean() < table.loc["zero_fill", "mae"].mean()
    assert set(table.loc["flat_brain", "tissue_order"]) == {0}
    assert table.loc["flat_brain", "tissue_contrast"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert set(table.loc["real", "tissue_order"]) == {1}


def test_features_are_of_slices_with_brain_and_real_ones_count_once(
    measure: Callable[..., StudyMeasurements], perfect_translator: Any
) -> None:
    features = measure("A", "B", perfect=perfect_translator).features
    for target in Modality:
        assert sum(map(len, features["real", target])) == 2 * 3  # slice 0 of each case is empty
        assert sum(map(len, features["perfect", target])) == 3 * 2 * 3
        assert features["real", target][0].shape[1] == 8


def test_what_does_not_depend_on_the_source_is_measured_once(
    measure: Callable[..., StudyMeasurements], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Any] = []
    original = study_evaluator.measure_image
    monkeypatch.setattr(
        study_evaluator, "measure_image", lambda *volumes: measured.append(volumes) or original(*volumes)
    )
    rows = measure("A").pairs
    assert len(rows) == 12 * len(BASELINES)
    assert len(measured) == 4 + 12 + 4 + 12  # real, copied, zero-filled, flat


def test_measurements_of_several_processes_are_added(measure: Callable[..., StudyMeasurements]) -> None:
    together, first, second = measure("A", "B"), measure("A"), measure("A", "B")
    second.pairs = [row for row in second.pairs if row["case"] == "B"]
    first.add(second)
    names = ("case", "method", "source", "target")
    added, wanted = (sorted([row[name] for name in names] for row in rows) for rows in (first.pairs, together.pairs))
    assert added == wanted
    assert len(first.features["real", Modality.T1]) == 3


def test_the_enhancing_error_looks_at_the_enhancing_region_alone() -> None:
    real, truth = torch.zeros(2, 16, 16), torch.zeros(3, 2, 16, 16)
    truth[:, :, 4:8, 4:8] = 1
    truth[0, :, 2:12, 2:12] = 1
    made = real.clone()
    made[:, 4:8, 4:8] = 0.4
    measured = measure_image(made, real, truth)
    assert measured["enhancing_mae"] == pytest.approx(0.2, abs=1e-6)
    assert 0 < measured["tumour_mae"] < 0.2


def test_a_case_without_tumour_is_measured_with_nothing_invented(
    case_loader: Loader, segmenters: StudySegmenters, evaluation_case: Callable[..., Any]
) -> None:
    case = evaluation_case("A") | {BatchKey.SPACING_MM: (1.0, 1.0, 1.0)}
    case[BatchKey.LABEL] = torch.zeros_like(case[BatchKey.LABEL])
    engine = StudyEvaluator("cpu", case_loader([case]), {}, segmenters, YARDSTICKS, first_source)
    engine.run()
    table = pandas.DataFrame(engine.measurements.pairs)
    assert table[["tumour_ssim", "enhancing_mae", "volume_change_WT"]].isna().all().all()
    assert table[["ssim", "mae", "dice_WT", "hd95_WT", "s_score_WT"]].notna().all().all()


def test_no_complete_case_is_an_error(case_loader: Loader, segmenters: StudySegmenters) -> None:
    with pytest.raises(CohortError, match="no complete test case"):
        StudyEvaluator("cpu", case_loader([]), {}, segmenters, YARDSTICKS, first_source)
