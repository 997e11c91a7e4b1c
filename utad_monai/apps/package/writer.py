"""Put a finished folder in the place of an older one; a kill at any moment leaves one of the two."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from importlib import metadata as installed
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor

from utad_monai.apps.package.configs import (
    Label,
    data_licence,
    inference_config,
    logging_config,
    metadata_config,
    model_card,
    write_exported_program,
    write_torchscript,
)
from utad_monai.errors import PackageError
from utad_monai.inferers.backends.onnx_file import refuse_without_libraries, write_onnx
from utad_monai.inferers.backends.parity import Parity
from utad_monai.models import CheckpointError, TranslatorModel, load_translator, read_translator_content
from utad_monai.models.package_file import PackageFile
from utad_monai.models.stages import present_model
from utad_monai.models.translator_model import refuse_other_modalities
from utad_monai.networks import StudentTranslator
from utad_monai.runtime.files import atomic_folder, read_record, write_json
from utad_monai.runtime.folder_lock import locked_folder


@contextmanager
def replaced_folder(folder: str | Path) -> Iterator[Path]:
    """Give a temporary folder and, when the block ends well, put it in the place of `folder`.

    A folder cannot be renamed over another one. So the new one is finished beside it first, and the old one steps aside
    for the moment of a rename; if the process dies in this moment, the next call brings the old one back.

    Raises:
        OSError: when a folder cannot be written; the old one stays.
    """
    folder = Path(folder)
    finished, aside = (folder.with_name(f".{word}-{folder.name}") for word in ("finished", "previous"))
    recover_folder(folder)
    shutil.rmtree(finished, ignore_errors=True)
    with atomic_folder(finished) as temporary:
        yield temporary
    if folder.exists():
        os.rename(folder, aside)
    try:
        os.rename(finished, folder)
    except OSError:
        recover_folder(folder)
        shutil.rmtree(finished, ignore_errors=True)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def recover_folder(folder: str | Path) -> None:
    """Bring back a folder that stepped aside when its replacement was interrupted; drop one that was replaced."""
    folder = Path(folder)
    aside = folder.with_name(f".previous-{folder.name}")
    if aside.exists() and not folder.exists():
        os.rename(aside, folder)
    shutil.rmtree(aside, ignore_errors=True)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_NOT_PACKAGED = ("critic",)
"""What a description says about weights that stay behind."""
_ORIGINAL = "packaged_from"
_ABOUT = "utad_monai"
"""Under which word an ONNX file carries what `translator.json` says: it can be used without the rest of a package."""


@dataclass(frozen=True)
class Package:
    """A package on disk.

    Attributes:
        folder: its folder.
        sizes: bytes of each file, by name relative to the folder.
        parity: exported files, and how equal they are to the student.
    """

    folder: Path
    sizes: Mapping[str, int] = field(default_factory=dict)
    _: KW_ONLY
    parity: Mapping[str, Parity] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return one line per file: size in MB, name, and how equal an exported network is."""
        return [
            f"{size / 1e6:10.3f} MB  {self.folder / name}"
            + (f"  (largest error {self.parity[name].from_exact:.1e})" if name in self.parity else "")
            for name, size in self.sizes.items()
        ]


def write_package(
    model: str | Path,
    output_dir: str | Path,
    label: Label | None = None,
    onnx: bool = True,
    torchscript: bool = True,
    *,
    pt2: bool = False,
) -> Package:
    """Write `<output_dir>/<name>`, a MONAI bundle of a student; the same model gives the same configs and weights.

    Args:
        model: a student's model file, or an older package.
        output_dir: the folder for packages; an older package of the same name is replaced.
        label: name, release and data source.
        onnx: whether to write `models/model.onnx`.
        torchscript: whether to write `models/model.ts`.
        pt2: whether to write `models/model.pt2`.

    Raises:
        CheckpointError: when the model is unsound, a teacher, or of other modalities than the four.
        PackageError: when the name is unusable, the folder holds something else, a library is missing, or an exported
            network is not equal to the student.
        FolderInUseError: when another run writes to the folder for packages.
        OutputError: when that folder cannot be written, or its disk is full.
    """
    label = label or Label()
    folder = _usable_folder(Path(output_dir), label.name)
    if onnx:
        refuse_without_libraries()
    translator = load_translator(model := present_model(model))
    described = _description(model, translator)
    with locked_folder(output_dir, deep=False), replaced_folder(folder) as temporary:
        for name in PackageFile:
            (temporary / name).parent.mkdir(exist_ok=True)
        network = _student(model, translator)
        configs = _write_configs(temporary, label, translator, described)
        _write_weights(temporary, network)
        parity = _write_exports(temporary, network, translator, configs, (onnx, torchscript, pt2))
        original = described["description"][_ORIGINAL]["sha256"]
        _write_texts(temporary, label, translator, original, parity)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return Package(folder, {str(path.relative_to(folder)): path.stat().st_size for path in files}, parity=parity)


def _usable_folder(output_dir: Path, name: str) -> Path:
    """Return the package's folder when nothing, or an older package of the same name, is there."""
    if not _NAME.fullmatch(name):
        raise PackageError("", f"{name!r} is no name for a package", "use letters, digits, - and _, a letter first")
    folder = output_dir / name
    if folder.exists() and _package_name(folder) != name:
        raise PackageError(folder, f"is there already and is no package {name}", "choose another folder or name")
    return folder


def _package_name(folder: Path) -> str | None:
    """Return the name of the package in a folder, or None where there is none."""
    content = read_record(folder / PackageFile.METADATA) or {}
    return str(content["name"]) if "name" in content and (folder / PackageFile.TRANSLATOR).is_file() else None


def _student(model: str | Path, translator: TranslatorModel) -> StudentTranslator:
    if translator.generator.needs_mask:
        raise CheckpointError(model, "is a teacher and needs tumour masks", "give a student model")
    refuse_other_modalities(model, translator, "a package")
    return StudentTranslator(translator.generator).eval()


def _description(model: str | Path, translator: TranslatorModel) -> dict[str, Any]:
    """Return everything a model file says but its weights; where it came from is kept through repackaging."""
    content = read_translator_content(model)
    described = {key: value for key, value in content["description"].items() if key not in _NOT_PACKAGED}
    described.setdefault(_ORIGINAL, {"sha256": translator.sha256})
    return {**{key: value for key, value in content.items() if key != "weights"}, "description": described}


def _write_configs(
    folder: Path, label: Label, translator: TranslatorModel, described: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write the configs and return the JSON ones by file name."""
    configs = {
        PackageFile.METADATA: metadata_config(label, translator.training, translator.generator.image_channels),
        PackageFile.INFERENCE: inference_config(described["description"]["generator"]),
        PackageFile.TRANSLATOR: dict(described),
    }
    for name, content in configs.items():
        write_json(folder / name, content)
    (folder / PackageFile.LOGGING).write_text(logging_config(), encoding="utf-8")
    return {Path(name).name: content for name, content in configs.items()}


def _write_weights(folder: Path, network: StudentTranslator) -> None:
    state: dict[str, Tensor] = {name: weight.cpu().contiguous() for name, weight in network.state_dict().items()}
    with (folder / PackageFile.WEIGHTS).open("wb") as file:
        torch.save(state, file)
    (folder / PackageFile.SAFETENSORS).write_bytes(safetensors.save(state, {"format": "pt"}))


def _write_exports(
    folder: Path,
    network: StudentTranslator,
    translator: TranslatorModel,
    configs: Mapping[str, Any],
    asked: tuple[bool, bool, bool],
) -> dict[str, Parity]:
    """Write the asked ones of ONNX, TorchScript and torch.export; return how equal each is to the student."""
    size = translator.preprocessing.image_size
    onnx, torchscript, pt2 = asked
    parity: dict[str, Parity] = {}
    if onnx:
        about = {_ABOUT: json.dumps(configs[Path(PackageFile.TRANSLATOR).name])}
        parity[PackageFile.ONNX.value] = write_onnx(network, folder / PackageFile.ONNX, size, about)
    if torchscript:
        path = folder / PackageFile.TORCHSCRIPT
        parity[PackageFile.TORCHSCRIPT.value] = write_torchscript(network, path, size, configs)
    if pt2:
        parity[PackageFile.PT2.value] = write_exported_program(network, folder / PackageFile.PT2, size)
    return parity


def _write_texts(
    folder: Path, label: Label, translator: TranslatorModel, original: str, parity: Mapping[str, Parity]
) -> None:
    (folder / PackageFile.MODEL_CARD).write_text(model_card(label, translator, original, parity), encoding="utf-8")
    (folder / PackageFile.DATA_LICENCE).write_text(data_licence(label), encoding="utf-8")
    shutil.copyfile(_licence(), folder / PackageFile.LICENCE)


def _licence() -> Path:
    """Return the project's licence, in a checkout or in an installation."""
    checkout = Path(__file__).resolve().parents[3] / PackageFile.LICENCE
    if checkout.is_file():
        return checkout
    files = installed.files("utad-monai") or ()
    return next(Path(str(file.locate())) for file in files if file.name == PackageFile.LICENCE)
