"""What every knob of the bundles may be: one table of kinds and ranges, and what knobs must be to each other.

A test holds the table to the bundles: a knob without an entry, or a default that its entry refuses, fails.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Final

from utad_monai.keys import (
    AdversarialGame,
    AutocastType,
    EvaluationProtocol,
    FusionMethod,
    InferenceEngine,
    IntensityRange,
    Modality,
    OnBadCase,
    Pairs,
    ResumePolicy,
    SecondInput,
    SourceInput,
    Split,
    StudentScheme,
    ValidationMetric,
    VoxelType,
)
from utad_monai.runtime.parallel import devices, has_device


@dataclass(frozen=True)
class Kind:
    """What a value may be.

    Attributes:
        expected: how the error calls it, such as `a whole number of 1 or more`.
        fits: tells whether a value is of the kind.
    """

    expected: str
    fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(least: float = -math.inf, most: float = math.inf, *, above: float = -math.inf) -> Kind:
    """Return the kind of numbers from `least` to `most`, and greater than `above`."""
    ends = [f"above {above:g}"] if above > -math.inf else [f"from {least:g} on"] if least > -math.inf else []
    text = f"from {least:g} to {most:g}" if most < math.inf else " ".join(ends)
    return Kind(
        f"a number {text}".strip(), lambda value: _is_number(value) and above < value and least <= value <= most
    )


def _whole(least: float = -math.inf) -> Kind:
    text = f"a whole number from {least:g} on" if least > -math.inf else "a whole number"
    return Kind(text, lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least)


def _one_of(kind: type[StrEnum], *others: str) -> Kind:
    names = [*others, *kind]
    shown = ", ".join(str(name) or '""' for name in dict.fromkeys(names))
    return Kind(f"one of {shown}", lambda value: isinstance(value, str) and value in names)


def _list(expected: str, one: Kind, least: int = 0, most: float = math.inf) -> Kind:
    """Return the kind of lists of `least` to `most` different or equal things."""
    return Kind(
        expected,
        lambda value: isinstance(value, list | tuple) and least <= len(value) <= most and all(map(one.fits, value)),
    )


def _one_or_several(kind: Kind) -> Kind:
    several = _list("", kind, 1)
    return Kind(f"{kind.expected}, or a list of them", lambda value: kind.fits(value) or several.fits(value))


def _or_none(kind: Kind) -> Kind:
    return Kind(f"{kind.expected}, or None", lambda value: value is None or kind.fits(value))


def _is_modality(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(Modality.named(value))
    except ValueError:
        return False


_SIDE = Kind("", lambda value: _whole(32).fits(value) and value % 16 == 0)
_FLAG = Kind("True or False", lambda value: isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)))
_SOME, _ANY, _WEIGHT, _SHARE = _whole(1), _whole(0), _number(0), _number(0, 1)
_BELOW_ONE = Kind("a number from 0 on and below 1", lambda value: _is_number(value) and 0 <= value < 1)
_SIZE = _list("two whole numbers from 32 on, multiples of 16, such as [192,160]", _SIDE, 2, 2)
_MODALITIES = "a list of modalities, such as \"['t1','t2']\""
_MODALITY = Kind("", _is_modality)

PATH: Final = Kind("a path", lambda value: isinstance(value, str | os.PathLike))
NUMBER: Final = _number()
WHOLE: Final = _whole()
FLAG: Final = _FLAG

_GROUPS: Mapping[str, Kind] = {
    "dataset_dir output_dir stage_dir teacher_dir brains_dir start_weights label_set": PATH,
    "device": Kind(f"a device of this machine: {', '.join(devices())}", has_device),
    # the cohort and its slices
    "seed": _ANY,
    "validation_fraction test_fraction tumour_fraction min_brain_fraction modality_dropout": _SHARE,
    "frame_size_mm": _list("two numbers above 0, in mm, such as [240,200]", _number(above=0), 2, 2),
    "image_size": _SIZE,
    "lower_percentile upper_percentile": _number(0, 100),
    "brain_box_room_mm smooth_mm": _number(0),
    "workers": _or_none(_ANY),
    "num_workers": _ANY,
    "on_bad_case": _one_of(OnBadCase),
    "pairs": _one_of(Pairs),
    "pair_patients": _ANY,
    "modalities": _list(_MODALITIES, _MODALITY, 1, 8),
    "targets": _list(_MODALITIES, _MODALITY),
    "cases": _list("a list of names of cases, such as \"['A','B']\"", Kind("", lambda value: isinstance(value, str))),
    "split": _one_of(Split, ""),
    # networks
    "base_channels norm_group critic_channels critic_layers": _SOME,
    "scheme": _one_of(StudentScheme),
    "second_input": _one_of(SecondInput),
    "sources": _one_of(SourceInput),
    "adversarial_game": _one_of(AdversarialGame),
    "unet_channels unet_strides": _list("a list of whole numbers from 1 on", _SOME, 1),
    "unet_residual_units": _ANY,
    "brain_box keep_background condition_in_brain conditional_norms gain_head residual_fusion": _FLAG,
    "flip flips starter_flips anchor_flips uncertainty ignore_unclaimed": _FLAG,
    "warm_tumour_encoder warm_start_critics": _FLAG,
    # the training
    "max_epochs batch_size segmentation_batch_size accumulate critic_steps val_interval val_slice_step": _SOME,
    "downstream_interval batches_per_epoch validation_batches brains validation_brains": _SOME,
    "samples_per_epoch decay_epochs critics_from_epoch source_slices": _ANY,
    "max_minutes resume_minutes": _number(0),
    "learning_rate unet_learning_rate": _number(above=0),
    "final_learning_rate": _number(0),
    "average_decay start_share": _BELOW_ONE,
    "betas": _list("two numbers from 0 on and below 1, such as [0.5,0.9]", _BELOW_ONE, 2, 2),
    "adversarial_weight modality_weight cycle_weight identity_weight tumour_guidance_weight": _WEIGHT,
    "anchor_weight anchor_tumour_weight anchor_structure_weight": _WEIGHT,
    "feature_distillation_weight tumour_distillation_weight structure_distillation_weight": _WEIGHT,
    "amp": _one_of(AutocastType),
    "val_metric": _one_of(ValidationMetric),
    "resume": _one_of(ResumePolicy),
    "slice_sizes": _list("a list of pairs of whole numbers from 32 on, multiples of 16", _SIZE, 1),
    "size_shares": _list("a list of numbers from 0 on", _WEIGHT, 1),
    # evaluation and inference
    "protocol": _one_or_several(_one_of(EvaluationProtocol)),
    "fusion": _one_of(FusionMethod),
    "intensities": _one_of(IntensityRange, ""),
    "dtype": _one_of(VoxelType),
    "engine": _one_of(InferenceEngine),
}
KNOBS: Final[Mapping[str, Kind]] = {name: kind for names, kind in _GROUPS.items() for name in names.split()}
"""The kind of every knob, by its name."""
SOURCES_OF_INFERENCE: Final = KNOBS["targets"]
"""What `sources` is beside `targets`: which images to translate from. In a training it is a word, one or several."""


@dataclass(frozen=True)
class Relation:
    """What knobs must be to each other.

    Attributes:
        names: the knobs; a config that lacks one of them is not asked.
        holds: tells whether their values fit together.
        text: the error, after the first knob and its value.
    """

    names: Sequence[str]
    _: KW_ONLY
    holds: Callable[..., bool]
    text: str

    def fault(self, values: Mapping[str, Any]) -> str:
        """Return what is wrong with values; empty when nothing is, or one of them is not there or no plain value."""
        given = [values.get(name) for name in self.names]
        if any(name not in values or not KNOBS[name].fits(values[name]) for name in self.names):
            return ""
        return "" if self.holds(*given) else self.text.format(*given)


RELATIONS: Final[Iterable[Relation]] = (
    Relation(
        ("decay_epochs", "max_epochs"),
        holds=lambda decay, all_: decay <= all_,
        text="is more than --max_epochs {1}; give both",
    ),
    Relation(
        ("validation_fraction", "test_fraction"),
        holds=lambda validation, test: validation + test < 1,
        text="leaves no patient to train on beside --test_fraction {1}",
    ),
    Relation(
        ("lower_percentile", "upper_percentile"),
        holds=lambda low, high: low < high,
        text="is not below --upper_percentile {1}",
    ),
    Relation(
        ("modalities", "second_input"),
        holds=lambda names, _: len({*names}) == len(names) >= 2,
        text="needs two to eight names",
    ),
    Relation(
        ("critic_layers", "image_size"),
        holds=lambda layers, size: min(size) >= 2**layers,
        text="needs slices of 2 to that power and more, got --image_size {1}",
    ),
    Relation(
        ("unet_channels", "unet_strides"),
        holds=lambda channels, strides: len(channels) == len(strides) + 1,
        text="needs one number more than --unet_strides {1}",
    ),
    Relation(
        ("slice_sizes", "size_shares"),
        holds=lambda sizes, shares: len(sizes) == len(shares),
        text="needs as many entries as --size_shares {1}",
    ),
)
"""Every relation; the first knob's name begins the error."""
