"""How much each loss term counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from utad_monai.keys import LossTerm


@dataclass(frozen=True)
class LossWeights:
    """Weights of all loss terms; the defaults are the published ones.

    `identity`, `tumour_guidance`, `tumour_distillation`, `structure_distillation` and those that begin with `anchor` or
    `paired` are 0 in the paper. Every weight is a non-negative factor of the term of the same name in `LossTerm`.
    """

    critic_real: float = 1.0
    critic_fake: float = 1.0
    _: KW_ONLY
    critic_modality: float = 1.0
    gradient_penalty: float = 10.0
    adversarial: float = 1.0
    modality: float = 1.0
    cycle: float = 10.0
    local: float = 10.0
    identity: float = 0.0
    tumour_guidance: float = 0.0
    image_distillation: float = 10.0
    feature_distillation: float = 10.0
    tumour_distillation: float = 0.0
    structure_distillation: float = 0.0
    anchor: float = 0.0
    anchor_tumour: float = 0.0
    anchor_structure: float = 0.0
    paired: float = 0.0
    paired_tumour: float = 0.0
    paired_structure: float = 0.0
    paired_local: float = 0.0

    def __post_init__(self) -> None:
        negative = [name for name, value in vars(self).items() if value < 0]
        if negative:
            raise ValueError(f"loss weights must not be negative: {', '.join(negative)}")

    def of(self, term: LossTerm) -> float:
        """Return the weight of one term."""
        weight: float = getattr(self, _FIELD[term])
        return weight

    def total(self, terms: Mapping[LossTerm, Tensor]) -> Tensor:
        """Return the weighted sum of scalar terms.

        Raises:
            ValueError: when there is no term.
        """
        if not terms:
            raise ValueError("there is no loss term to sum")
        weighted = [self.of(term) * value for term, value in terms.items()]
        total = weighted[0]
        for value in weighted[1:]:
            total = total + value
        return total


_FIELD = {
    LossTerm.CRITIC_REAL: "critic_real",
    LossTerm.CRITIC_FAKE: "critic_fake",
    LossTerm.CRITIC_MODALITY: "critic_modality",
    LossTerm.CRITIC_GRADIENT_PENALTY: "gradient_penalty",
    LossTerm.ADVERSARIAL: "adversarial",
    LossTerm.MODALITY: "modality",
    LossTerm.CYCLE: "cycle",
    LossTerm.LOCAL: "local",
    LossTerm.IDENTITY: "identity",
    LossTerm.TUMOUR_GUIDANCE: "tumour_guidance",
    LossTerm.IMAGE_DISTILLATION: "image_distillation",
    LossTerm.FEATURE_DISTILLATION: "feature_distillation",
    LossTerm.TUMOUR_DISTILLATION: "tumour_distillation",
    LossTerm.STRUCTURE_DISTILLATION: "structure_distillation",
    LossTerm.ANCHOR: "anchor",
    LossTerm.ANCHOR_TUMOUR: "anchor_tumour",
    LossTerm.ANCHOR_STRUCTURE: "anchor_structure",
    LossTerm.PAIRED: "paired",
    LossTerm.PAIRED_TUMOUR: "paired_tumour",
    LossTerm.PAIRED_STRUCTURE: "paired_structure",
    LossTerm.PAIRED_LOCAL: "paired_local",
}
