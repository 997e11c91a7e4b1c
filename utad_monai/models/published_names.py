"""Read weights that carry the published generator's names into a generator of this project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.keys import SecondInput, StudentScheme
from utad_monai.models import CheckpointError, TranslatorModel, read_weights_only, save_translator
from utad_monai.models.filling import filled
from utad_monai.networks import TumourAwareGenerator

_WRAPPERS = ("state_dict", "model", "generator", "G")
"""Keys under which training scripts wrap a state dict."""

_NETWORKS = {
    "img_encoder": "image_encoder",
    "tumor_encoder": "tumour_encoder",
    "img_decoder": "image_decoder",
    "tumor_decoder": "tumour_decoder",
}


def import_published_checkpoint(
    path: str | Path,
    output: str | Path,
    preprocessing: Preprocessing,
    second_input: SecondInput = SecondInput.TUMOUR_IMAGE,
) -> TranslatorModel:
    """Read a state dict with the published names and write it as a model of this project.

    The file is read as data only. The published generator paints the background, so `keep_background` is off. It says
    nothing about intensity windows: volumes cannot be written from it until windows are known.

    Args:
        path: the state dict, plain or wrapped in a dictionary.
        output: model file to write.
        preprocessing: what the network was trained with; nothing in the file says so.
        second_input: the tumour image for a teacher, the whole image for a student.

    Raises:
        CheckpointError: when the file is unsafe, damaged, or holds other weights.
    """
    state = _unwrapped(path)
    renamed = {_renamed(path, name, state): value for name, value in state.items() if not _is_counter(name)}
    base_channels = int(state["img_encoder.features.convblock1.conv1.unit.0.weight"].shape[0])
    scheme = _scheme(state)

    def build() -> TumourAwareGenerator:
        return TumourAwareGenerator(base_channels, scheme, second_input=second_input, keep_background=False)

    with torch.device("meta"):
        counters = [name for name in build().state_dict() if _is_counter(name)]
    generator = filled(path, build, renamed | {name: torch.zeros((), dtype=torch.int64) for name in counters})
    translator = TranslatorModel(generator, preprocessing, training={"stage": "imported", "file": Path(path).name})
    save_translator(output, translator)
    return translator


def _unwrapped(path: str | Path) -> Mapping[str, Tensor]:
    content = read_weights_only(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(path, "is no state dict of tensors", "import a generator's state dict")
    state = {name.removeprefix("module."): value for name, value in content.items()}
    if "img_encoder.features.convblock1.conv1.unit.0.weight" not in state:
        raise CheckpointError(path, "lacks the published generator's names", "import a generator's state dict")
    return state


def _scheme(state: Mapping[str, Tensor]) -> StudentScheme:
    has_encoder = any(name.startswith("tumor_encoder.") for name in state)
    has_decoder = any(name.startswith("tumor_decoder.") for name in state)
    if has_encoder:
        return StudentScheme.COMPLETE if has_decoder else StudentScheme.NO_TUMOUR_DECODER
    return StudentScheme.NO_TUMOUR_ENCODER if has_decoder else StudentScheme.GLOBAL_ONLY


def _is_counter(name: str) -> bool:
    """BatchNorm's count of batches; older files lack it and inference does not use it."""
    return name.endswith("num_batches_tracked")


def _renamed(path: str | Path, name: str, state: Mapping[str, Tensor]) -> str:
    """Translate one published name; decoder blocks are ordered by their width, deepest first."""
    if fusion := re.fullmatch(r"fusion\.layer([12])\.([01])\.(\w+)", name):
        return f"fusion.layers.{int(fusion[1]) - 1}.{fusion[2]}.{fusion[3]}"
    network, _, rest = name.partition(".")
    if network not in _NETWORKS:
        raise CheckpointError(path, f"has unexpected weights ({name})", "import a generator's state dict")
    ours = _NETWORKS[network]
    if centre := re.fullmatch(r"center_conv\.conv([12])\.unit\.0\.(\w+)", rest):
        return f"{ours}.centre.{int(centre[1]) - 1}.0.{centre[2]}"
    if block := re.fullmatch(r"features\.convblock([1-4])\.conv([12])\.unit\.0\.(\w+)", rest):
        level = _level(network, "convblock", int(block[1]), state)
        return f"{ours}.levels.{level}.{int(block[2]) - 1}.0.{block[3]}"
    if up := re.fullmatch(r"features\.upconv([1-4])\.up\.1\.unit\.0\.(\w+)", rest):
        return f"{ours}.reductions.{_level(network, 'upconv', int(up[1]), state)}.0.{up[2]}"
    if score := re.fullmatch(r"score\.(\w+)", rest):
        return f"{ours}.head.{score[1]}"
    raise CheckpointError(path, f"has unexpected weights ({name})", "import a generator's state dict")


def _level(network: str, block: str, number: int, state: Mapping[str, Tensor]) -> int:
    """Return the position of a block in our order: encoders finest first, decoders deepest first."""
    if network.endswith("encoder"):
        return number - 1
    middle = "conv1.unit.0" if block == "convblock" else "up.1.unit.0"
    widths = {n: _width(state, f"{network}.features.{block}{n}.{middle}.weight") for n in range(1, 5)}
    return sorted(widths, key=lambda n: widths[n], reverse=True).index(number)


def _width(state: Mapping[str, Tensor], name: str) -> int:
    return int(state[name].shape[0]) if name in state else 0
