"""Read a package back: as the content of a model file, and into the network that its config builds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from utad_monai.checkpoints import CheckpointError, Translator, load_translator, read_weights_only
from utad_monai.networks import StudentTranslator
from utad_monai.packaging.layout import WEIGHT_PREFIX, PackageFile, weights_file

_REMEDY = "give a model file, or a folder written by utad-monai package"


def packaged_content(folder: str | Path) -> dict[str, Any]:
    """Return what a model file would hold: format, kind, version, description and the generator's weights.

    Args:
        folder: a package.

    Raises:
        CheckpointError: when the folder is no package, or its description or weights are damaged or foreign.
    """
    described = _description_file(Path(folder))
    state = read_weights_only(weights_file(folder))
    if not isinstance(state, Mapping) or not all(str(name).startswith(WEIGHT_PREFIX) for name in state):
        raise CheckpointError(weights_file(folder), "is no state dict of a packaged student", _REMEDY)
    weights = {str(name).removeprefix(WEIGHT_PREFIX): value for name, value in state.items()}
    return {**described, "weights": {"generator": weights}}


def _description_file(folder: Path) -> dict[str, Any]:
    path = folder / PackageFile.TRANSLATOR
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(folder, f"is a folder without {PackageFile.TRANSLATOR}: no package", _REMEDY) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is no readable JSON ({error})", "write the package again") from error
    if not isinstance(described, dict) or not isinstance(described.get("description"), dict):
        raise CheckpointError(path, "has no description", "write the package again")
    return described


def fill_from_package(network: StudentTranslator, package: str | Path) -> Translator:
    """Load a package's weights into the network that its config built; `configs/inference.json` calls it.

    Args:
        network: `network_def`; its generator receives the weights and becomes part of the result.
        package: the package's folder.

    Returns:
        The translator whose generator is that of `network`.

    Raises:
        CheckpointError: when the package is unsound, or its two configs describe different networks.
    """
    translator = load_translator(package)
    if network.generator.description() != translator.generator.description():
        reason = f"describes another network than {PackageFile.TRANSLATOR.value}"
        raise CheckpointError(Path(package) / PackageFile.INFERENCE, reason, "write the package again")
    network.generator.load_state_dict(translator.generator.state_dict())
    network.eval()
    return replace(translator, generator=network.generator)
