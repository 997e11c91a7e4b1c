from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pandas
import pytest
import torch
from monai.networks.nets import UNet
from torch.utils.data import DataLoader

from utad_monai.apps.study.results import StudyFile, study_views
from utad_monai.contrast import FlatBrain
from utad_monai.data import CohortError
from utad_monai.engines import CaseEvaluator
from utad_monai.engines.evaluations import Alone, Augmentation, Evaluation, MissingModalities, Pairs
from utad_monai.engines.measurements import Measurements
from utad_monai.keys import BatchKey, ImageSource, Modality
from utad_monai.metrics import DownstreamSegmentation, measures

Loader = Callable[[Any], DataLoader[Any]]
YARDSTICKS = {str(ImageSource.FLAT_BRAIN): FlatBrain(dict.fromkeys(Modality, -0.2))}
BASELINES = ("real", "copy_source", "zero_fill", "flat_brain")


def network(modalities: tuple[Modality, ...] = tuple(Modality)) -> DownstreamSegmentation:
    return DownstreamSegmentation(UNet(2, len(modalities), 3, (4, 8), (2,)), modalities=modalities)


@pytest.fixture
def evaluations() -> list[Evaluation]:
    """Give what a study asks, of untrained networks."""
    torch.manual_seed(0)
    single = {modality: network((modality,)) for modality in Modality}
    complete = network()
    return [
        Pairs(complete),
        Alone(single),
        MissingModalities(complete, first_source),
        Augmentation({"real": complete, "real_and_synthetic": network()}),
    ]


def first_source(target: Modality, available: tuple[Modality, ...]) -> Modality:
    return next(modality for modality in available if modality != target)


@pytest.fixture
def measure(
    case_loader: Loader, evaluations: list[Evaluation], evaluation_case: Callable[..., Any]
) -> Callable[..., Measurements]:
    def _measure(*case_ids: str, **translators: Any) -> Measurements:
        cases = [evaluation_case(name, seed=place) for place, name in enumerate(case_ids)]
        engine = CaseEvaluator("cpu", case_loader(cases), translators=YARDSTICKS | translators, evaluations=evaluations)
        engine.run()
        return engine.measurements

    return _measure


def pairs_of(measured: Measurements) -> pandas.DataFrame:
    return study_views(measured.rows)[StudyFile.PAIRS]


def subsets_of(measured: Measurements) -> pandas.DataFrame:
    return study_views(measured.rows)[StudyFile.SUBSETS]


def test_every_method_is_measured_for_every_pair_and_every_subset(
    measure: Callable[..., Measurements], perfect_translator: Any
) -> None:
    measured = measure("A", "B", perfect=perfect_translator)
    pairs, subsets = pairs_of(measured), subsets_of(measured)
    methods = {*BASELINES, "perfect"}
    assert len(pairs) == 2 * 12 * len(methods)
    assert not pairs.duplicated(["case", "source", "target", "method"]).any()
    assert set(pairs["method"]) == methods
    assert len(subsets) == 2 * 14 * len(methods)
    wanted = {"+".join(chosen) for count in (1, 2, 3) for chosen in combinations(Modality, count)}
    assert set(subsets["available"]) == wanted
    assert len(study_views(measured.rows)[StudyFile.AUGMENTATION]) == 2 * 2


def test_a_copy_is_called_a_copy_and_a_perfect_method_is_as_good_as_real(
    measure: Callable[..., Measurements], evaluation_case: Callable[..., Any]
) -> None:
    images = evaluation_case("A", seed=0)[BatchKey.IMAGE]

    def oracle(_: torch.Tensor, target: Modality, __: torch.Tensor) -> torch.Tensor:
        return images[target]

    measured = measure("A", oracle=oracle)
    table = pairs_of(measured).set_index("method")
    assert table.loc["copy_source", "identity_copy"].to_numpy() == pytest.approx(1)
    assert table.loc["oracle", "identity_copy"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert table.loc["oracle", "mae"].to_numpy() == pytest.approx(0)
    assert table.loc["oracle", "slice_consistency"].to_numpy() == pytest.approx(1)
    columns = [name for name in table if name.startswith(("dice", "hd95", "s_score", "volume_change"))]
    assert len(columns) == 12
    pandas.testing.assert_frame_equal(
        table.loc["oracle", columns].reset_index(drop=True), table.loc["real", columns].reset_index(drop=True)
    )
    subsets = subsets_of(measured).set_index("method")
    assert subsets.loc["oracle", "dice_WT"].to_list() == subsets.loc["real", "dice_WT"].to_list()


def test_with_three_real_modalities_a_subset_is_the_pair_with_the_best_source(
    measure: Callable[..., Measurements],
) -> None:
    measured = measure("A")
    pairs = pairs_of(measured).set_index(["method", "source", "target"])
    subsets = subsets_of(measured).set_index(["method", "available"])
    for method in BASELINES:
        for dice in ("dice_WT", "hd95_ET"):
            alone = subsets.loc[(method, "flair+t1+t1ce"), dice]
            assert alone == pairs.loc[(method, "flair", "t2"), dice]


def test_method_of_several_sources_gets_all_that_are_available(
    measure: Callable[..., Measurements], evaluation_case: Callable[..., Any]
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
    subsets = subsets_of(measured).set_index(["method", "available"])
    for available in ("flair+t1+t1ce", "t1+t1ce+t2"):
        wanted = subsets.loc[("real", available), "dice_WT"]
        assert subsets.loc[("several", available), "dice_WT"] == wanted


def test_a_flat_brain_is_the_training_mean_inside_the_brain(measure: Callable[..., Measurements]) -> None:
    table = pairs_of(measure("A")).set_index("method")
    assert table.loc["flat_brain", "slice_consistency"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert table.loc["flat_brain", "mae"].mean() < table.loc["zero_fill", "mae"].mean()
    assert set(table.loc["flat_brain", "tissue_order"]) == {0}
    assert table.loc["flat_brain", "tissue_contrast"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert set(table.loc["real", "tissue_order"]) == {1}


def test_features_are_of_slices_with_brain_and_real_ones_count_once(
    measure: Callable[..., Measurements], perfect_translator: Any
) -> None:
    features = measure("A", "B", perfect=perfect_translator).features
    for target in Modality:
        assert sum(map(len, features["real", target])) == 2 * 3  # slice 0 of each case is empty
        assert sum(map(len, features["perfect", target])) == 3 * 2 * 3
        assert features["real", target][0].shape[1] == 8


def test_what_does_not_depend_on_the_source_is_measured_once(
    measure: Callable[..., Measurements], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: dict[str, list[Any]] = {"image_quality": [], "multi_scale_ssim": []}
    for name, calls in measured.items():
        original = getattr(measures, name)
        monkeypatch.setattr(measures, name, lambda *v, c=calls, o=original: c.append(v) or o(*v))
    pairs = pairs_of(measure("A"))
    assert len(pairs) == 12 * len(BASELINES)
    assert {len(calls) for calls in measured.values()} == {4 + 12 + 4 + 12}  # real, copied, zero-filled, flat


def test_measurements_of_several_processes_are_added(measure: Callable[..., Measurements]) -> None:
    together, first, second = measure("A", "B"), measure("A"), measure("A", "B")
    second.rows = [row for row in second.rows if row.case == "B"]
    first.add(second)
    added, wanted = (sorted(row[:6] for row in measured.rows) for measured in (first, together))
    assert added == wanted
    assert len(first.features["real", Modality.T1]) == 3


def test_a_case_without_tumour_is_measured_with_nothing_invented(
    case_loader: Loader, evaluations: list[Evaluation], evaluation_case: Callable[..., Any]
) -> None:
    case = evaluation_case("A")
    case[BatchKey.LABEL] = torch.zeros_like(case[BatchKey.LABEL])
    engine = CaseEvaluator("cpu", case_loader([case]), translators=YARDSTICKS, evaluations=evaluations)
    engine.run()
    table = pairs_of(engine.measurements)
    assert table[["tumour_ssim", "enhancing_mae", "volume_change_WT"]].isna().all().all()
    assert table[["ssim", "mae", "dice_WT", "hd95_WT", "s_score_WT"]].notna().all().all()


def test_no_case_is_an_error(case_loader: Loader, evaluations: list[Evaluation]) -> None:
    with pytest.raises(CohortError, match="no test case"):
        CaseEvaluator("cpu", case_loader([]), translators=YARDSTICKS, evaluations=evaluations)
