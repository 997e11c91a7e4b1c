"""An image under another name is suspected by what it looks like; right names, and what cannot be told, raise none."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from utad_monai.data import BRATS_2017_TO_2021, Case, Preprocessing, find_cases, load_case
from utad_monai.data.quality.mix_up import mix_up_warnings
from utad_monai.data.quality.wrong_role import case_looks, role_profiles, suspected_role
from utad_monai.keys import Modality
from utad_monai.phantom import write_phantom_cohort

FLAIR, T1, T1CE, T2 = Modality
Images = Mapping[Modality, MetaTensor]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Images]:
    root = write_phantom_cohort(tmp_path_factory.mktemp("roles") / "cohort", 3, 0, 2.0)
    return [load_case(case, Preprocessing()).images for case in find_cases(root)]


def test_right_names_raise_no_suspicion_in_any_combination(phantoms: list[Images]) -> None:
    for images in phantoms:
        for size in (1, 2, 3, 4):
            for part in combinations(Modality, size):
                assert suspected_role({m: images[m] for m in part}) is None


@pytest.mark.parametrize(("true", "shown"), [(T2, T1), (T2, T1CE), (T2, FLAIR), (T1, T2), (T1CE, T2), (FLAIR, T2)])
def test_t2_and_another_are_told_apart_though_the_true_image_is_absent(
    phantoms: list[Images], true: Modality, shown: Modality
) -> None:
    for images in phantoms:
        kept = {m: images[m] for m in Modality if m not in (true, shown)}
        found = suspected_role({**kept, shown: images[true]})
        assert found is not None
        assert found[0] == shown


def test_one_image_alone_can_be_enough(phantoms: list[Images]) -> None:
    assert suspected_role({T1: phantoms[0][T2]}) is not None


def test_only_absent_modalities_are_suspected(phantoms: list[Images]) -> None:
    images = phantoms[0]
    assert suspected_role({**images, T1: images[T2]}) is None  # a duplicate, and named so by another check


def test_warning_names_the_image_and_what_it_looks_like(phantoms: list[Images]) -> None:
    file = Path("a") / "a_t1.nii.gz"
    case = Case("a", "a", images={T1: file}, segmentation=None, layout=BRATS_2017_TO_2021)
    (warning,) = mix_up_warnings(case, {T1: phantoms[0][T2]})
    assert (warning.file, warning.case_id) == (file, "a")
    assert "the t1 image looks like a t2" in warning.text


def test_too_little_brain_gives_no_judgement() -> None:
    speck = MetaTensor(torch.full((1, 20, 20, 20), -1.0))
    speck[0, 8:12, 8:12, 8:12] = 0.5
    assert case_looks({T1: speck}) is None
    assert suspected_role({T1: speck}) is None
    assert suspected_role({}) is None


def test_constant_images_are_measured_without_a_warning(phantoms: list[Images]) -> None:
    flat = MetaTensor(torch.where(phantoms[0][T1].as_tensor() > -1, 0.3, -1.0), meta=phantoms[0][T1].meta)
    looks = case_looks({T1: flat, T2: phantoms[0][T2]})
    assert looks is not None
    assert all(np.isfinite(values).all() for values in (*looks.images.values(), *looks.pairs.values()))


def test_profiles_are_means_over_enough_patients() -> None:
    profiles = role_profiles()
    assert profiles.patients >= 10
    assert list(profiles.images) == [str(modality) for modality in Modality]
    assert np.linalg.eigvalsh(profiles.covariance).min() > 0
