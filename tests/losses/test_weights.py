"""Loss weights: published defaults, one for every term, and a plain weighted sum."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from utad_monai.keys import LossTerm
from utad_monai.losses import LossWeights

PUBLISHED = {
    LossTerm.CRITIC_REAL: 1,
    LossTerm.CRITIC_FAKE: 1,
    LossTerm.CRITIC_MODALITY: 1,
    LossTerm.CRITIC_GRADIENT_PENALTY: 10,
    LossTerm.ADVERSARIAL: 1,
    LossTerm.MODALITY: 1,
    LossTerm.CYCLE: 10,
    LossTerm.LOCAL: 10,
    LossTerm.IDENTITY: 0,
    LossTerm.TUMOUR_GUIDANCE: 0,
    LossTerm.ANCHOR: 0,
    LossTerm.ANCHOR_TUMOUR: 0,
    LossTerm.ANCHOR_STRUCTURE: 0,
    LossTerm.PAIRED: 0,
    LossTerm.PAIRED_TUMOUR: 0,
    LossTerm.PAIRED_STRUCTURE: 0,
    LossTerm.PAIRED_LOCAL: 0,
    LossTerm.IMAGE_DISTILLATION: 10,
    LossTerm.FEATURE_DISTILLATION: 10,
    LossTerm.TUMOUR_DISTILLATION: 0,
    LossTerm.STRUCTURE_DISTILLATION: 0,
}


@pytest.mark.parametrize("term", LossTerm)
def test_default_is_the_published_weight(term: LossTerm) -> None:
    assert LossWeights().of(term) == PUBLISHED[term]


def test_every_term_has_a_weight_of_its_own() -> None:
    names = [field.name for field in fields(LossWeights)]
    weights = LossWeights(**{name: float(place) for place, name in enumerate(names, start=1)})
    assert sorted(weights.of(term) for term in LossTerm) == [float(n) for n in range(1, len(names) + 1)]
    assert len(names) == len(LossTerm)


@pytest.mark.parametrize("term", LossTerm)
def test_weight_belongs_to_the_term_of_its_name(term: LossTerm) -> None:
    player, _, name = term.partition("/")
    field = f"critic_{name}" if player == "critic" and name != "gradient_penalty" else name
    assert LossWeights(**{field: 7.5}).of(term) == 7.5


def test_total_is_the_weighted_sum() -> None:
    terms = {LossTerm.ADVERSARIAL: torch.tensor(-2.0), LossTerm.CYCLE: torch.tensor(0.3)}
    assert float(LossWeights(adversarial=0.5, cycle=20).total(terms)) == pytest.approx(0.5 * -2 + 20 * 0.3)


def test_total_carries_the_gradient_of_each_term_times_its_weight() -> None:
    cycle, local = torch.tensor(0.3, requires_grad=True), torch.tensor(0.2, requires_grad=True)
    LossWeights(cycle=3, local=4).total({LossTerm.CYCLE: cycle, LossTerm.LOCAL: local}).backward()
    assert cycle.grad is not None
    assert local.grad is not None
    assert (float(cycle.grad), float(local.grad)) == (3, 4)


def test_total_leaves_the_terms_as_they_are() -> None:
    term = torch.tensor(1.0)
    LossWeights().total({LossTerm.CYCLE: term, LossTerm.LOCAL: torch.tensor(1.0)})
    assert float(term) == 1


def test_no_term_is_refused() -> None:
    with pytest.raises(ValueError, match="no loss term"):
        LossWeights().total({})


@pytest.mark.parametrize("name", [field.name for field in fields(LossWeights)])
def test_negative_weight_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"negative: {name}$"):
        LossWeights(**{name: -0.1})
