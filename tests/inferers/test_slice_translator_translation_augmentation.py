"""Half of the samples get one modality translated; nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from utad_monai.data import Preprocessing
from utad_monai.inferers import RandTranslateModalityd
from utad_monai.keys import BatchKey, Modality
from utad_monai.models import TranslatorModel
from utad_monai.networks import TumourAwareGenerator, student_from_teacher


@pytest.fixture
def translator(tiny_preprocessing: Preprocessing) -> TranslatorModel:
    torch.manual_seed(0)
    errors = {Modality.T1CE: {Modality.T2: 0.1, Modality.T1: 0.2, Modality.FLAIR: 0.3}}
    student = student_from_teacher(TumourAwareGenerator(2), "complete").eval()
    return TranslatorModel(student, tiny_preprocessing, source_errors=errors)


@pytest.fixture
def sample() -> dict[str, Tensor]:
    images = torch.rand(4, 32, 32) - 0.5
    images[:, :4] = -1
    return {BatchKey.IMAGE: images, BatchKey.LABEL: torch.ones(3, 32, 32)}


def test_one_modality_at_most_is_replaced_and_the_input_stays(
    translator: TranslatorModel, sample: dict[str, Tensor]
) -> None:
    transform = RandTranslateModalityd("image", translator, prob=0.5).set_random_state(seed=3)
    before = sample[BatchKey.IMAGE].clone()
    changed_channels = []
    for _ in range(40):
        made = transform(sample)
        assert torch.equal(sample[BatchKey.IMAGE], before)
        assert made[BatchKey.LABEL] is sample[BatchKey.LABEL]
        changed = (made[BatchKey.IMAGE] != before).flatten(1).any(dim=1).nonzero().flatten().tolist()
        assert len(changed) <= 1
        changed_channels += changed
    assert 10 <= len(changed_channels) <= 30
    assert set(changed_channels) == {0, 1, 2, 3}


def test_the_translation_is_the_students_from_the_best_source(
    translator: TranslatorModel, sample: dict[str, Tensor]
) -> None:
    transform = RandTranslateModalityd("image", translator, prob=1.0).set_random_state(seed=0)
    made = transform(sample)
    while transform.target is not Modality.T1CE:
        made = transform(sample)
    source = sample[BatchKey.IMAGE][Modality.T2.channel][None]
    expected = transform.translate({Modality.T2: source}, Modality.T1CE)[0]
    assert torch.equal(made[BatchKey.IMAGE][Modality.T1CE.channel], expected)


def test_student_of_several_sources_starts_from_all_others(
    translator: TranslatorModel, sample: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = TumourAwareGenerator(2, "global_only", sources="several", conditional_norms=True)
    transform = RandTranslateModalityd("image", replace(translator, generator=generator), prob=1.0)
    given: list[tuple[Modality, ...]] = []
    monkeypatch.setattr(
        transform, "translate", lambda images, target: given.append((target, *images)) or torch.zeros(1, 32, 32)
    )
    transform.set_random_state(seed=0)(sample)
    assert given == [(transform.target, *(m for m in Modality if m != transform.target))]


def test_a_sample_that_lacks_modalities_gets_all_of_them_from_those_that_are_there(
    translator: TranslatorModel, sample: dict[str, Tensor]
) -> None:
    lacking = {**sample, BatchKey.IMAGE: sample[BatchKey.IMAGE].clone()}
    absent = [Modality.T1CE.channel, Modality.T2.channel]
    lacking[BatchKey.IMAGE][absent] = -1
    transform = RandTranslateModalityd("image", translator, prob=1.0).set_random_state(seed=0)
    made = transform(lacking)[BatchKey.IMAGE]
    for target, source in ((Modality.T1CE, Modality.T1), (Modality.T2, Modality.T1)):
        given = {source: lacking[BatchKey.IMAGE][source.channel][None]}
        assert torch.equal(made[target.channel], transform.translate(given, target)[0])
    assert torch.equal(made[:2], sample[BatchKey.IMAGE][:2])
    assert (lacking[BatchKey.IMAGE][absent] == -1).all()


def test_an_empty_slice_is_translated_as_before(translator: TranslatorModel) -> None:
    transform = RandTranslateModalityd("image", translator, prob=1.0).set_random_state(seed=0)
    empty = torch.full((4, 32, 32), -1.0)
    assert torch.equal(transform({"image": empty})["image"], empty)


def test_with_probability_0_nothing_changes(translator: TranslatorModel, sample: dict[str, Tensor]) -> None:
    transform = RandTranslateModalityd("image", translator, prob=0.0)
    assert torch.equal(transform(sample)[BatchKey.IMAGE], sample[BatchKey.IMAGE])


def test_the_same_seed_draws_the_same(translator: TranslatorModel, sample: dict[str, Tensor]) -> None:
    runs = []
    for _ in range(2):
        transform = RandTranslateModalityd("image", translator).set_random_state(seed=7)
        runs.append([transform(sample)[BatchKey.IMAGE] for _ in range(6)])
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))
