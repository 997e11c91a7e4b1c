"""Validation: the score needs no pairs, prefers the better translator and ranks the sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from utad_monai.engines import TranslationValidator, ValidationMetric
from utad_monai.keys import BatchKey, Modality

Case = dict[str, Any]
Images = Mapping[Modality, Tensor]
Make = Callable[..., Any]
UNPAIRED, SSIM = ValidationMetric.UNPAIRED, ValidationMetric.SSIM


def keep(images: Images, _target: Modality, _mask: Tensor | None = None) -> Tensor:
    (slices,) = images.values()
    return slices.clone()


def noise(images: Images, _target: Modality, _mask: Tensor | None = None) -> Tensor:
    (slices,) = images.values()
    torch.manual_seed(0)
    return torch.where(slices > -1, torch.rand_like(slices) * 1.9 - 0.95, slices)


def bright(images: Images, _target: Modality, _mask: Tensor | None = None) -> Tensor:
    """Paint every brain brighter than any modality is."""
    (slices,) = images.values()
    return torch.where(slices > -1, torch.full_like(slices, 3.0), slices)


@pytest.fixture
def unpaired_cases(evaluation_case: Make) -> list[Case]:
    """Four patients with one modality each."""
    return [evaluation_case(f"case_{m}", [m], seed=m.channel) for m in Modality]


@pytest.fixture
def paired_cases(evaluation_case: Make) -> list[Case]:
    return [evaluation_case(f"case_{n}", seed=n) for n in range(2)]


@pytest.fixture
def validate(case_loader: Make) -> Make:
    """Give `validate(cases, translator, ...)`, which runs a validator and returns it."""

    def _validate(cases: list[Case], translator: Any, metric: ValidationMetric = UNPAIRED, **arguments: Any) -> Any:
        arguments = {"slice_step": 1} | arguments
        validator = TranslationValidator(
            "cpu", case_loader(cases), translator=translator, key_metric=metric, **arguments
        )
        validator.run()
        return validator

    return _validate


def test_unpaired_score_prefers_the_better_translator_where_no_case_has_two_modalities(
    validate: Make, unpaired_cases: list[Case], perfect_translator: Any
) -> None:
    scores = [
        validate(unpaired_cases, translator).state.metrics[UNPAIRED] for translator in (perfect_translator, keep, noise)
    ]
    assert scores[0] > scores[1]
    assert scores[0] > scores[2]
    assert scores[0] > -0.05


@pytest.mark.parametrize("metric", ValidationMetric)
def test_both_metrics_prefer_the_better_translator_on_complete_cases(
    validate: Make, paired_cases: list[Case], perfect_translator: Any, metric: ValidationMetric
) -> None:
    scores = [validate(paired_cases, translator, metric).state.metrics[metric] for translator in (keep, noise)]
    assert validate(paired_cases, perfect_translator, metric).state.metrics[metric] > max(scores)


def test_perfect_translations_have_ssim_1(validate: Make, paired_cases: list[Case], perfect_translator: Any) -> None:
    assert validate(paired_cases, perfect_translator, SSIM).state.metrics[SSIM] == pytest.approx(1, abs=1e-4)


def test_score_is_minus_cycle_error_minus_appearance_distance(validate: Make, unpaired_cases: list[Case]) -> None:
    metrics = validate(unpaired_cases, noise).state.metrics
    assert metrics["validation_cycle"] > 0.1
    assert metrics["validation_appearance"] > 0.1
    expected = -(metrics["validation_cycle"] + metrics["validation_appearance"])
    assert metrics[UNPAIRED] == pytest.approx(expected, rel=1e-6)


def test_keeping_the_source_costs_appearance_and_no_cycle(validate: Make, unpaired_cases: list[Case]) -> None:
    metrics = validate(unpaired_cases, keep).state.metrics
    assert metrics["validation_cycle"] == 0
    assert metrics["validation_appearance"] > 0.1


def test_cycle_is_the_error_inside_the_brain(validate: Make, evaluation_case: Make) -> None:
    def brighten(images: Images, _target: Modality, _mask: Tensor | None = None) -> Tensor:
        (slices,) = images.values()
        return torch.where(slices > -1, slices + 0.1, slices)

    cases = [evaluation_case("a", [Modality.FLAIR]), evaluation_case("b", [Modality.T1])]
    assert validate(cases, brighten).state.metrics["validation_cycle"] == pytest.approx(0.2, abs=1e-5)


@pytest.mark.parametrize("cases", ["unpaired_cases", "paired_cases"])
def test_ranking_is_sorted_from_the_best_source_to_the_worst(
    validate: Make, perfect_translator: Any, cases: str, request: pytest.FixtureRequest
) -> None:
    def worse_from_later_modalities(images: Images, target: Modality, _mask: Tensor | None = None) -> Tensor:
        (slices,) = images.values()
        brain = slices > -1
        source = int((slices[brain].mean() + 0.9) // 0.45)
        draw = torch.Generator().manual_seed(0)
        spoilt = perfect_translator(images, target) + 0.15 * source * torch.rand(slices.shape, generator=draw)
        return torch.where(brain, spoilt, slices)

    metric = UNPAIRED if cases == "unpaired_cases" else SSIM
    errors = validate(request.getfixturevalue(cases), worse_from_later_modalities, metric).source_errors
    ranking = {target: tuple(sources) for target, sources in errors.items()}
    assert ranking == {target: tuple(source for source in Modality if source != target) for target in Modality}
    assert all(a < b for sources in errors.values() for a, b in pairwise(sources.values()))
    assert all(a.channel < b.channel for sources in ranking.values() for a, b in pairwise(sources))


def test_paired_ssim_is_refused_where_no_case_has_two_modalities(
    validate: Make, unpaired_cases: list[Case], perfect_translator: Any
) -> None:
    with pytest.raises(ValueError, match=r"no validation case with two modalities, which paired_ssim needs"):
        validate(unpaired_cases, perfect_translator, SSIM)


@pytest.mark.parametrize("metric", ValidationMetric)
def test_cohort_of_one_modality_is_refused(validate: Make, evaluation_case: Make, metric: ValidationMetric) -> None:
    cases = [evaluation_case(f"case_{n}", [Modality.T1], seed=n) for n in range(2)]
    with pytest.raises(ValueError, match="only one modality"):
        validate(cases, keep, metric)


def test_empty_loader_is_refused(case_loader: Make) -> None:
    with pytest.raises(ValueError, match="no validation case"):
        TranslationValidator("cpu", case_loader([]), translator=keep)  # type: ignore[arg-type]


def test_unknown_metric_is_refused(case_loader: Make, unpaired_cases: list[Case]) -> None:
    with pytest.raises(ValueError, match="nice"):
        TranslationValidator("cpu", case_loader(unpaired_cases), translator=keep, key_metric="nice")  # type: ignore[arg-type]


def test_blank_case_gives_a_finite_score(validate: Make, unpaired_cases: list[Case], evaluation_case: Make) -> None:
    blank = evaluation_case("blank", [Modality.T1])
    blank[BatchKey.IMAGE][Modality.T1].fill_(-1)
    blank[BatchKey.LABEL].zero_()
    metrics = validate([*unpaired_cases, blank], keep).state.metrics
    assert all(torch.isfinite(torch.tensor(value)) for value in metrics.values())


@pytest.mark.parametrize(("step", "used"), [(1, 4), (2, 2), (4, 1)])
def test_every_nth_slice_is_translated_with_its_own_mask(
    validate: Make, unpaired_cases: list[Case], step: int, used: int
) -> None:
    seen: list[tuple[int, ...]] = []

    def watch(images: Images, _target: Modality, mask: Tensor | None = None) -> Tensor:
        (slices,) = images.values()
        assert mask is not None
        assert mask.shape == slices.shape
        assert mask.flatten(1).any(dim=1).tolist() == [False, True, True, False][::step]
        seen.append(tuple(slices.shape))
        return slices.clone()

    validate(unpaired_cases, watch, slice_step=step)
    assert set(seen) == {(used, 20, 20)}


def test_handlers_see_the_metrics_of_their_epoch(validate: Make, unpaired_cases: list[Case]) -> None:
    class Watch:
        def attach(self, engine: Engine) -> None:
            engine.add_event_handler(Events.COMPLETED, lambda e: seen.append((e.state.epoch, dict(e.state.metrics))))

    seen: list[tuple[int, dict[str, float]]] = []
    validator = validate(unpaired_cases, keep, val_handlers=[Watch()])
    validator.run(7)
    assert [epoch for epoch, _ in seen] == [1, 7]
    assert seen[0][1] == seen[1][1]
    names = {str(UNPAIRED), "validation_cycle", "validation_appearance", "validation_variety_of_targets"}
    assert set(seen[0][1]) == names
    assert validator.state.key_metric_name == str(UNPAIRED)


def test_pairs_of_which_a_copy_is_better_are_named(
    validate: Make, paired_cases: list[Case], unpaired_cases: list[Case], perfect_translator: Any
) -> None:
    assert validate(paired_cases, perfect_translator).below_copy == ()
    assert len(validate(paired_cases, bright).below_copy) == 12
    assert validate(paired_cases, keep).below_copy == ()  # as good as a copy, which it is
    assert validate(unpaired_cases, bright).below_copy == ()
