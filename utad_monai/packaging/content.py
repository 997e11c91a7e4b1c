"""Read a package back: as the content of a model file, and into the network that its config builds."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from utad_monai.checkpoints import CheckpointError, Translator, file_sha256, load_translator, read_weights_only
from utad_monai.networks import StudentTranslator
from utad_monai.packaging.archive import read_member
from utad_monai.packaging.layout import WEIGHT_PREFIX, PackageFile, weights_file

_REMEDY = "give a model file, or a folder written by utad-monai package, or a zip file of it"
_MAX_DESCRIPTION_BYTES = 4 * 2**20
_TAR = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)", re.IGNORECASE)


def is_package(path: str | Path) -> bool:
    """Tell whether a path is a package, its folder or a zip file of it, and not a model file.

    Raises:
        CheckpointError: when it is a tar archive.
    """
    path = Path(path)
    if _TAR.search(path.name) and not path.is_dir():
        reason = "is a tar archive, which is not read: links in it can lead outside its folder"
        raise CheckpointError(path, f"{reason} (unsafe)", "unpack it and give the folder, or pack it as a .zip")
    return path.is_dir() or _is_zipped(path)


def model_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a model's file, of a package that of its `models/model.pt`, in hexadecimal."""
    if _is_zipped(path):
        return hashlib.sha256(read_member(path, PackageFile.WEIGHTS)).hexdigest()
    return file_sha256(weights_file(path))


def packaged_content(package: str | Path) -> dict[str, Any]:
    """Return what a model file would hold: format, kind, version, description and the generator's weights.

    Args:
        package: a package, its folder or a zip file of it.

    Raises:
        CheckpointError: when it is no package, or its description or weights are damaged or foreign.
    """
    described = _described(Path(package))
    if _is_zipped(package):
        file, content = Path(package) / PackageFile.WEIGHTS, io.BytesIO(read_member(package, PackageFile.WEIGHTS))
        state = read_weights_only(file, content)
    else:
        file = weights_file(package)
        state = read_weights_only(file)
    if not isinstance(state, Mapping) or not all(str(name).startswith(WEIGHT_PREFIX) for name in state):
        raise CheckpointError(file, "is no state dict of a packaged student", _REMEDY)
    weights = {str(name).removeprefix(WEIGHT_PREFIX): value for name, value in state.items()}
    return {**described, "weights": {"generator": weights}}


def _is_zipped(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".zip" and not Path(path).is_dir()


def _described(package: Path) -> dict[str, Any]:
    path = package / PackageFile.TRANSLATOR
    try:
        text = read_member(package, PackageFile.TRANSLATOR) if _is_zipped(package) else _small_file(path)
        described = json.loads(text.decode("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(package, f"is a folder without {PackageFile.TRANSLATOR}: no package", _REMEDY) from error
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is no readable JSON ({error})", "write the package again") from error
    if not isinstance(described, dict) or not isinstance(described.get("description"), dict):
        raise CheckpointError(path, "has no description", "write the package again")
    return described


def _small_file(path: Path) -> bytes:
    if path.stat().st_size > _MAX_DESCRIPTION_BYTES:
        raise ValueError("it is too large")
    return path.read_bytes()


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
