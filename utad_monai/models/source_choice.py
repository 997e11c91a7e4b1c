"""Which modalities a translation starts from, by their errors on the validation split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from utad_monai.keys import Modality

SourceErrors = Mapping[Modality, Mapping[Modality, float]]
"""For each target modality the validation error of translations from each source; less is better."""

WEIGHT_EXPONENT = 4
"""Weights fall with this power of the error: high enough that a poor source cannot blur a good one, measured on the
phantom and on real cases (docs/results.md)."""


BELOW_COPY = "below_copy"
"""What a model's `training` calls the pairs (`t1->t1ce`) of which a copy was better on the validation split."""
NEAR_TIE = 0.1
"""Errors that differ by a smaller share are the same: a few validation patients do not tell such sources apart."""
USUAL_SOURCES: Mapping[Modality, tuple[Modality, ...]] = {
    Modality.FLAIR: (Modality.T2, Modality.T1, Modality.T1CE),
    Modality.T1: (Modality.T1CE, Modality.T2, Modality.FLAIR),
    Modality.T1CE: (Modality.T1, Modality.T2, Modality.FLAIR),
    Modality.T2: (Modality.T1, Modality.T1CE, Modality.FLAIR),
}
"""For each target the sources that usually serve it, the best first: T1 and T1ce for each other, else by the table of
pairs of docs/results.md. It decides where errors do not."""


def usable_sources(target: Modality, available: Sequence[Modality]) -> tuple[Modality, ...]:
    """Return the available modalities that a target can be made from: the four in their order, then others.

    Raises:
        ValueError: when nothing but the target is available.
    """
    known = [source for source in Modality if source in available]
    others = [source for source in available if source not in known]
    sources = tuple(source for source in (*known, *others) if source != target)
    if not sources:
        raise ValueError(f"there is no source image to make {target} from")
    return sources


def best_source(errors: SourceErrors, target: Modality, available: Sequence[Modality]) -> Modality:
    """Return the available source with the smallest error; `USUAL_SOURCES` decides near ties and unknown errors.

    Raises:
        ValueError: when nothing but the target is available.
    """
    known = errors.get(target, {})
    usable = usable_sources(target, available)
    least = min(known.get(source, math.inf) for source in usable)
    tied = [source for source in usable if known.get(source, math.inf) <= least * (1 + NEAR_TIE)]
    usual = USUAL_SOURCES.get(target, ())
    return min(tied, key=lambda source: usual.index(source) if source in usual else len(usual))


def source_weights(errors: SourceErrors, target: Modality, sources: Sequence[Modality]) -> dict[Modality, float]:
    """Return weights of the sources, positive and of sum 1, that fall with their error.

    Raises:
        ValueError: when the error of a source is not known.
    """
    known = errors.get(target, {})
    unknown = [source for source in sources if not known.get(source, 0) > 0]
    if unknown:
        raise ValueError(
            f"the model stores no validation error of {', '.join(unknown)} for {target}: use another fusion"
        )
    weights = {source: known[source] ** -WEIGHT_EXPONENT for source in sources}
    total = sum(weights.values())
    return {source: weight / total for source, weight in weights.items()}
