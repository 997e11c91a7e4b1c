"""Labels of both layouts become the same canonical values and nested regions."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.data import MetaTensor

from utad_monai.keys import TumourLabel, TumourRegion
from utad_monai.transforms import (
    CanonicalLabels,
    CanonicalLabelsd,
    LabelsToTumourRegions,
    LabelsToTumourRegionsd,
    StoredLabels,
    regions_to_labels,
)
from utad_monai.transforms.labels import whole_labels

CANONICAL = arrays("u1", (1, 3, 4, 2), elements=st.integers(0, 3))
NECROTIC, OEDEMA, ENHANCING = TumourLabel.NECROTIC, TumourLabel.OEDEMA, TumourLabel.ENHANCING
FOUR = {1: NECROTIC, 2: OEDEMA, 4: ENHANCING}
THREE = {1: NECROTIC, 2: OEDEMA, 3: ENHANCING}
EITHER = {1: NECROTIC, 2: OEDEMA, 3: ENHANCING, 4: ENHANCING}
CAVITY = THREE | {4: TumourLabel.BACKGROUND}
SWAPPED = {1: OEDEMA, 2: NECROTIC, 3: ENHANCING}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
def test_enhancing_four_becomes_three(dtype: torch.dtype) -> None:
    labels = CanonicalLabels(FOUR)(torch.tensor([[0, 1, 2, 4]], dtype=dtype))
    assert labels.tolist() == [[0, 1, 2, 3]]
    assert labels.dtype == dtype


def test_enhancing_three_stays_three() -> None:
    assert CanonicalLabels(THREE)(torch.tensor([[0, 1, 2, 3]])).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
def test_labels_may_swap_places(dtype: torch.dtype) -> None:
    labels = CanonicalLabels(SWAPPED)(torch.tensor([[0, 1, 2, 3]], dtype=dtype))
    assert labels.tolist() == [[0, 2, 1, 3]]
    assert labels.dtype == dtype


@pytest.mark.parametrize("values", [[0, 1, 2, 3], [0, 1, 2, 4]])
def test_either_of_two_values_means_enhancing(values: list[int]) -> None:
    assert CanonicalLabels(EITHER)(torch.tensor([values])).tolist() == [[0, 1, 2, 3]]


def test_two_values_may_mean_the_same() -> None:
    cyst = {1: ENHANCING, 2: NECROTIC, 3: NECROTIC, 4: OEDEMA}
    assert CanonicalLabels(cyst)(torch.tensor([[0, 1, 2, 3, 4]])).tolist() == [[0, 3, 1, 1, 2]]


def test_a_cavity_is_background_in_every_region() -> None:
    labels = CanonicalLabels(CAVITY)(torch.tensor([[0, 1, 2, 3, 4]]))
    assert labels.tolist() == [[0, 1, 2, 3, 0]]
    assert LabelsToTumourRegions()(labels)[:, 4].tolist() == [0, 0, 0]


def test_background_is_never_written_as_a_cavity() -> None:
    assert StoredLabels(CAVITY)(torch.tensor([[0, 1, 2, 3]])).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("value", [3.999, 4.00001, 3.9901, 4])
def test_values_near_whole_numbers_are_rounded(value: float) -> None:
    labels = torch.tensor([[0.004, 1.00001, value]])
    assert CanonicalLabels(FOUR)(labels).tolist() == [[0, 1, 3]]
    assert whole_labels(labels).tolist() == [[0, 1, 4]]


@pytest.mark.parametrize("value", [3.98, 1.5, 0.011])
def test_values_far_from_whole_numbers_stay_and_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"unknown label values {value}"):
        CanonicalLabels(FOUR)(torch.tensor([[0, value]]))


@pytest.mark.parametrize("meanings", [FOUR, THREE, SWAPPED, EITHER], ids=["four", "three", "swapped", "either"])
@given(array=CANONICAL)
def test_stored_labels_are_the_inverse(meanings: dict[int, TumourLabel], array: torch.Tensor) -> None:
    labels = torch.from_numpy(array)
    stored = StoredLabels(meanings)(labels)
    assert stored.dtype == labels.dtype
    assert set(stored.unique().tolist()) <= {0, *meanings}
    assert torch.equal(CanonicalLabels(meanings)(stored), labels)


def test_the_first_of_two_values_is_written() -> None:
    assert StoredLabels(EITHER)(torch.tensor([[0, 1, 2, 3]])).tolist() == [[0, 1, 2, 3]]
    assert StoredLabels(FOUR)(torch.tensor([[0, 1, 2, 3]])).tolist() == [[0, 1, 2, 4]]


@pytest.mark.parametrize(("meanings", "value"), [(FOUR, 4), ({1: OEDEMA}, 3), (THREE, 1.5)])
def test_labels_that_a_layout_cannot_write_are_refused(meanings: dict[int, TumourLabel], value: float) -> None:
    with pytest.raises(ValueError, match=f"has labels {value} that cannot be written"):
        StoredLabels(meanings)(torch.tensor([[0, value]]))


@pytest.mark.parametrize(
    ("meanings", "values", "named"),
    [(FOUR, [0, 3], "3"), (THREE, [0, 4], "4"), (FOUR, [-1], "-1"), (FOUR, [1.5], "1.5"), (FOUR, [7, 5, 6], "5, 6, 7")],
)
def test_unknown_label_is_refused_and_named(meanings: dict[int, TumourLabel], values: list[float], named: str) -> None:
    allowed = f"allowed are 0, {', '.join(map(str, meanings))}"
    with pytest.raises(ValueError, match=rf"unknown label values {named}; {allowed}"):
        CanonicalLabels(meanings)(torch.tensor([values]))


def test_many_unknown_labels_are_not_all_listed() -> None:
    with pytest.raises(ValueError, match=r"values 10, 11, 12, 13, 14; allowed"):
        CanonicalLabels(FOUR)(torch.arange(10, 200)[None])


def test_regions_have_the_order_of_tumour_region() -> None:
    labels = torch.tensor([[0, TumourLabel.NECROTIC, TumourLabel.OEDEMA, TumourLabel.ENHANCING]])
    regions = dict(zip(TumourRegion, LabelsToTumourRegions()(labels).tolist(), strict=True))
    assert regions == {
        TumourRegion.WT: [0, 1, 1, 1],
        TumourRegion.TC: [0, 1, 0, 1],
        TumourRegion.ET: [0, 0, 0, 1],
    }


@given(CANONICAL)
def test_regions_are_nested_and_binary(array: torch.Tensor) -> None:
    regions = LabelsToTumourRegions()(torch.from_numpy(array))
    assert regions.dtype == torch.float32
    assert regions.shape == (3, 3, 4, 2)
    assert set(regions.unique().tolist()) <= {0.0, 1.0}
    assert (regions[:-1] >= regions[1:]).all()


@given(CANONICAL)
def test_regions_to_labels_inverts(array: torch.Tensor) -> None:
    labels = torch.from_numpy(array)
    restored = regions_to_labels(LabelsToTumourRegions()(labels))
    assert restored.dtype == torch.uint8
    assert torch.equal(restored, labels)


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 4, 4, 2)])
def test_labels_with_several_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one channel, got shape"):
        LabelsToTumourRegions()(torch.zeros(shape))


def test_dictionary_versions_equal_the_array_versions() -> None:
    data = {"seg": MetaTensor(torch.tensor([[0, 1, 2, 4]])), "case_id": "case"}
    canonical = CanonicalLabelsd("seg", FOUR)(data)
    assert torch.equal(canonical["seg"], CanonicalLabels(FOUR)(data["seg"]))
    regions = LabelsToTumourRegionsd("seg")(canonical)
    assert torch.equal(regions["seg"], LabelsToTumourRegions()(canonical["seg"]))
    assert regions["case_id"] == "case"
    assert data["seg"].max() == 4


def test_dictionary_versions_skip_missing_keys_only_when_allowed() -> None:
    for version in (partial(CanonicalLabelsd, meanings=FOUR), LabelsToTumourRegionsd):
        assert version("seg", allow_missing_keys=True)({"t1": 0}) == {"t1": 0}
        with pytest.raises(KeyError, match="seg"):
            version("seg")({"t1": 0})


def test_dictionary_version_refuses_unknown_labels() -> None:
    with pytest.raises(ValueError, match="unknown label values 4"):
        CanonicalLabelsd("seg", THREE)({"seg": torch.tensor([[4]])})
