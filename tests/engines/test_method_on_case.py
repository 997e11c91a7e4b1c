"""A subject makes and measures nothing twice; slices that stand for a case are spread over its brain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from utad_monai.engines.method_on_case import BASELINES, EvaluatedCase, Method, MethodOnCase
from utad_monai.keys import Modality


def case_of(**images: torch.Tensor) -> EvaluatedCase:
    given = {Modality(name): image for name, image in images.items()}
    return EvaluatedCase(
        "case", given, truth=torch.zeros(3, *next(iter(images.values())).shape), spacing_mm=(1.0, 1.0, 1.0)
    )


def test_chosen_slices_are_spread_over_the_brain_of_any_image() -> None:
    first, second = torch.full((20, 4, 4), -1.0), torch.full((20, 4, 4), -1.0)
    first[4:10, 1, 1] = torch.arange(4, 10) / 20
    second[8:16, 2, 2] = torch.arange(8, 16) / 20
    case = case_of(t1=first, t2=second)
    shown = torch.maximum(first, second).flatten(1).amax(dim=1) * 20
    few, every = case.thinned(4), case.thinned(50)
    assert shown[[5, 8, 11, 14]].tolist() == torch.maximum(*few.images.values()).flatten(1).amax(dim=1).mul(20).tolist()
    assert len(every.images[Modality.T1]) == 12
    assert torch.equal(every.images[Modality.T2], second[4:16])
    assert few.truth.shape == (3, 4, 4, 4)


def test_rows_of_chosen_slices_say_so(evaluation_case: Callable[..., Any]) -> None:
    case = EvaluatedCase.of(evaluation_case())
    cells = [("brain", "mae", 0.5)]
    (whole,) = MethodOnCase(case, BASELINES[1]).rows((Modality.T1, Modality.FLAIR), (Modality.T2,), cells)
    (chosen,) = MethodOnCase(case.thinned(2), BASELINES[1]).rows((Modality.T1,), (Modality.T2,), cells)
    assert whole == ("case", "t1+flair", "t2", "copy_source", "brain", "mae", 0.5)
    assert chosen.region == "brain of 2 slices"


def test_a_translation_is_made_once(evaluation_case: Callable[..., Any]) -> None:
    calls = []

    def translate(images: Any, target: Modality, _mask: Any) -> torch.Tensor:
        calls.append((tuple(images), target))
        return next(iter(images.values())).clone()

    subject = MethodOnCase(EvaluatedCase.of(evaluation_case()), Method.of("method", translate))
    assert subject.make((Modality.T1,), Modality.T2) is subject.make((Modality.T1,), Modality.T2)
    assert subject.image((Modality.T1,), Modality.T2) == subject.image((Modality.T1,), Modality.T2)
    assert calls == [((Modality.T1,), Modality.T2)]
