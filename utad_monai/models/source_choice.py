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
    """Return the available source with the smallest error; modality order decides between sources without one.

    Raises:
        ValueError: when nothing but the target is available.
    """
    known = errors.get(target, {})
    return min(usable_sources(target, available), key=lambda source: known.get(source, math.inf))


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
