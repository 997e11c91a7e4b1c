from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from tests.random_flip import random_flip
from utad_monai.data import PreparedCohort, UnpairedSlices
from utad_monai.engines import TranslationEvents, TranslationTrainer
from utad_monai.handlers import PairedSupervision
from utad_monai.keys import BatchKey, LossTerm, Modality, StudentScheme
from utad_monai.losses import LossWeights
from utad_monai.networks import Translation, TumourAwareGenerator, critic_pair


def batch_of(cohort: PreparedCohort, flip: bool = False) -> dict[str, Any]:
    slices = UnpairedSlices(cohort.store, cohort.cases("train"), transform=random_flip() if flip else None, seed=2)
    batch: dict[str, Any] = next(iter(DataLoader(slices, batch_size=8, sampler=range(8))))
    return batch


def real_targets(cohort: PreparedCohort, batch: dict[str, Any]) -> torch.Tensor:
    targets = []
    for place, case_id in enumerate(batch[BatchKey.CASE_ID]):
        modality = list(Modality)[batch[BatchKey.TARGET_MODALITY][place]]
        pixels = cohort.store.image(case_id, modality)[batch[BatchKey.SLICE_INDEX][place]]
        target = torch.from_numpy(pixels.astype("float32"))
        targets.append(target.flip(-1) if batch[BatchKey.MIRRORED][place] else target)
    return torch.stack(targets)[:, None]


def trainer(cohort: PreparedCohort, *handlers: Any) -> TranslationTrainer:
    generator = TumourAwareGenerator(2, StudentScheme.GLOBAL_ONLY)
    critics = critic_pair((32, 32), 2, 4)
    slices = UnpairedSlices(cohort.store, cohort.cases("train"))
    return TranslationTrainer(
        "cpu",
        1,
        train_data_loader=DataLoader(slices, batch_size=2, sampler=range(4)),
        generator=generator,
        whole_critic=critics[0],
        tumour_critic=critics[1],
        generator_optimizer=torch.optim.Adam(generator.parameters()),
        critic_optimizer=torch.optim.Adam([*critics[0].parameters(), *critics[1].parameters()]),
        loss_weights=LossWeights(paired=3.0),
        critic_steps=1,
        train_handlers=handlers,
    )


@pytest.mark.parametrize("flip", [False, True])
def test_the_term_is_the_error_to_the_same_patients_real_target(
    prepared_tiny_cohort: PreparedCohort, flip: bool
) -> None:
    engine = trainer(prepared_tiny_cohort)
    batch = batch_of(prepared_tiny_cohort, flip)
    assert bool(batch[BatchKey.MIRRORED].any()) is flip
    engine.state.batch = batch
    real = real_targets(prepared_tiny_cohort, batch)
    engine.translation = Translation(real + 0.25, None, torch.zeros(1))
    PairedSupervision(prepared_tiny_cohort.store)(engine)
    assert float(engine.generator_terms[LossTerm.PAIRED]) == pytest.approx(0.25, abs=1e-5)


def test_it_takes_part_in_training_with_its_weight(prepared_tiny_cohort: PreparedCohort) -> None:
    engine = trainer(prepared_tiny_cohort, PairedSupervision(prepared_tiny_cohort.store))
    engine.run()
    assert float(engine.state.output[LossTerm.PAIRED]) > 0
    assert LossWeights(paired=3.0).of(LossTerm.PAIRED) == 3


def test_a_case_without_the_target_does_not_count(prepared_tiny_cohort: PreparedCohort) -> None:
    batch = batch_of(prepared_tiny_cohort)
    cases = {name: SimpleNamespace(modalities=()) for name in batch[BatchKey.CASE_ID]}
    store = SimpleNamespace(cases=cases, preprocessing=prepared_tiny_cohort.store.preprocessing)
    engine = trainer(prepared_tiny_cohort)
    engine.state.batch = batch
    engine.translation = Translation(torch.zeros(8, 1, 32, 32), None, torch.zeros(1))
    PairedSupervision(store)(engine)  # type: ignore[arg-type]
    assert float(engine.generator_terms[LossTerm.PAIRED]) == 0


def test_without_it_no_paired_term_exists(prepared_tiny_cohort: PreparedCohort) -> None:
    engine = trainer(prepared_tiny_cohort)
    seen: list[set[str]] = []
    engine.add_event_handler(
        TranslationEvents.GENERATOR_FORWARD_COMPLETED,
        lambda: seen.append({str(term) for term in engine.generator_terms}),
    )
    engine.run()
    assert seen
    assert all(LossTerm.PAIRED not in terms for terms in seen)
