"""What of an iteration's output goes to TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping


def scalars(output: Mapping[str, float]) -> dict[str, float]:
    """Return the output of a `TranslationTrainer` iteration with plain string keys."""
    return {str(name): float(value) for name, value in output.items()}
