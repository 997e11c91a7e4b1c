"""Swapped modalities are suspected, right ones never, and what cannot be told is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utad_monai.data import Preprocessing, find_cases, load_case
from utad_monai.data.quality.mix_up import MIN_SAMPLES, sample_brain, suspected_swap, swap_in
from utad_monai.keys import Modality
from utad_monai.phantom import write_phantom_cohort

FLAIR, T1, T1CE, T2 = Modality
Voxels = Mapping[Modality, np.ndarray[Any, Any]]
SWAPS = list(combinations(Modality, 2))


def swapped(voxels: Voxels, first: Modality, second: Modality) -> dict[Modality, np.ndarray[Any, Any]]:
    return {**voxels, first: voxels[second], second: voxels[first]}


def only(voxels: Voxels, *modalities: Modality) -> dict[Modality, np.ndarray[Any, Any]]:
    return {modality: voxels[modality] for modality in modalities}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Voxels]:
    """Give the brain voxels of three phantoms, whose first enhances strongly."""
    root = write_phantom_cohort(tmp_path_factory.mktemp("mix_up") / "cohort", 3, 0, 2.0)
    return [sample_brain(load_case(case, Preprocessing()).images) for case in find_cases(root)]


def test_right_names_raise_no_suspicion(phantoms: list[Voxels]) -> None:
    for voxels in phantoms:
        assert swap_in(voxels) is None
        for size in (1, 2, 3):
            assert all(swap_in(only(voxels, *part)) is None for part in combinations(Modality, size))


@pytest.mark.parametrize(("first", "second"), SWAPS)
def test_a_swap_is_suspected_and_named(phantoms: list[Voxels], first: Modality, second: Modality) -> None:
    assert swap_in(swapped(phantoms[2], first, second)) == (first, second)


@pytest.mark.parametrize(("first", "second"), [(T1, T1CE), (T1, T2), (T1CE, T2), (FLAIR, T2)])
def test_two_images_can_be_enough(phantoms: list[Voxels], first: Modality, second: Modality) -> None:
    assert swap_in(swapped(only(phantoms[2], first, second), first, second)) == (first, second)


@pytest.mark.parametrize("other", [T1, T1CE])
def test_flair_and_t1_are_not_told_apart_without_t2(phantoms: list[Voxels], other: Modality) -> None:
    assert swap_in(swapped(only(phantoms[2], FLAIR, other), FLAIR, other)) is None


@pytest.mark.parametrize("other", [T1, T1CE])
def test_likeness_to_t2_is_needed_to_suspect_flair(phantoms: list[Voxels], other: Modality) -> None:
    voxels = swapped(only(phantoms[2], FLAIR, T1, T1CE), FLAIR, other)
    assert swap_in(voxels) != (FLAIR, other)


def test_all_signs_must_agree() -> None:
    draw = np.random.default_rng(0)
    t1 = draw.uniform(-0.5, 0.5, 5000)
    spikes = np.where(np.arange(5000) < 3, -20.0, draw.uniform(-0.5, 0.5, 5000))
    alike = {T1: t1, T1CE: t1 + draw.normal(0, 0.05, 5000)}
    assert swap_in({T1: t1, T2: spikes}) == (T1, T2)
    assert swap_in({**alike, T2: spikes}) not in ((T1, T2), (T1CE, T2))


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_noise_raises_no_suspicion(phantoms: list[Voxels], sigma: float) -> None:
    draw = np.random.default_rng(0)
    for voxels in phantoms:
        noisy = {m: np.clip(array + draw.normal(0, sigma, array.size), -1, 1) for m, array in voxels.items()}
        assert swap_in(noisy) is None


def test_copies_of_one_image_raise_no_suspicion(phantoms: list[Voxels]) -> None:
    assert swap_in(dict.fromkeys(Modality, phantoms[0][T1])) is None


def test_constant_images_raise_no_suspicion() -> None:
    assert swap_in({modality: np.full(5000, 0.5) for modality in Modality}) is None


def test_unrelated_noise_raises_no_suspicion() -> None:
    draw = np.random.default_rng(0)
    assert swap_in({modality: draw.uniform(-1, 1, 5000) for modality in Modality}) is None


def test_few_brain_voxels_give_no_judgement(tiny_cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    images = load_case(find_cases(tiny_cohort)[0], tiny_preprocessing).images
    crop = {modality: image[:, :3, :3, :3] for modality, image in images.items()}
    assert sample_brain(crop) == {}
    assert suspected_swap(crop) is None


def test_the_sample_is_brain_in_every_image(tiny_cohort: Path, tiny_preprocessing: Preprocessing) -> None:
    images = dict(load_case(find_cases(tiny_cohort)[0], tiny_preprocessing).images)
    images[T1] = images[T1].clone()
    images[T1][:, :8] = -1
    voxels = sample_brain(images)
    assert {array.size for array in voxels.values()} == {voxels[T1].size}
    assert voxels[T1].size > MIN_SAMPLES
    assert all((array > -1).all() for array in voxels.values())


@pytest.mark.real_data
def test_real_cases_are_told(real_dataset_dir: Path) -> None:
    case = find_cases(real_dataset_dir)[0]
    voxels = sample_brain(load_case(case, Preprocessing()).images)
    assert swap_in(voxels) is None
    assert swap_in(swapped(voxels, T1, T1CE)) == (T1, T1CE)
    assert swap_in(swapped(voxels, FLAIR, T2)) == (FLAIR, T2)
