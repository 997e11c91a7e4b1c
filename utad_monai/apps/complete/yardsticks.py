"""Which translations of a model are known to be no better than a copy of the source, or than a contrast map."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from utad_monai.engines.evaluations import SUMMARY_FILE
from utad_monai.keys import ImageSource
from utad_monai.models import TranslatorModel
from utad_monai.models.source_choice import BELOW_COPY
from utad_monai.models.stages import Stage, model_of_run

_YARDSTICKS = {ImageSource.COPY_SOURCE: "a copy of the source", ImageSource.CONTRAST_MAP: "a contrast map"}


def beaten_pairs(translator: TranslatorModel, model: str | Path | None = None) -> dict[str, str]:
    """Return the warning of each pair (`t1->t1ce`) that something simpler makes better.

    It is known from the validation of the training, which the model stores, and, of a model in a run's folder, from the
    evaluation of that run.

    Args:
        translator: the model.
        model: where it came from.
    """
    known = dict.fromkeys(_stored(translator), "a copy of the source was better on the validation patients")
    return known | dict(_evaluated(translator, model))


def _stored(translator: TranslatorModel) -> list[str]:
    stored = translator.training.get(BELOW_COPY, [])
    return [str(pair) for pair in stored] if isinstance(stored, list | tuple) else []


def _evaluated(translator: TranslatorModel, model: str | Path | None) -> Iterator[tuple[str, str]]:
    for pair, measured in _measured(translator, model).items():
        try:
            own = float(measured[ImageSource.STUDENT]["ssim"])
            better = [
                f"{words} has SSIM {measured[name]['ssim']:.2f}"
                for name, words in _YARDSTICKS.items()
                if name in measured and float(measured[name]["ssim"]) > own
            ]
        except (KeyError, TypeError, ValueError):  # nothing was measured on this pair
            continue
        if better:
            yield pair, f"{' and '.join(better)}, this model {own:.2f} on the patients of its evaluation"


def _measured(translator: TranslatorModel, model: str | Path | None) -> Mapping[str, Any]:
    """Return what an evaluation of this very model measured by pair; empty without one."""
    if model is None:
        return {}
    try:
        path = model_of_run(model).parent.parent / Stage.EVALUATION / SUMMARY_FILE
        summary = json.loads(path.read_text(encoding="utf-8"))
        same = summary["protocol"]["student_sha256"] == translator.sha256
        found = summary["image_quality_by_pair"] if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
