"""What a package holds beside the weights: configs, model card, and the formats of its network."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from importlib import metadata as installed
from pathlib import Path
from typing import Any

import jinja2
import monai
import numpy
import torch
from monai.data import save_net_with_metadata
from monai.networks.utils import convert_to_torchscript

from utad_monai import __version__
from utad_monai.bundle.configs import bundles_dir
from utad_monai.inferers.backends.parity import TOLERANCE, Parity, checked_parity, probe
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel
from utad_monai.models.package_file import DEFAULT_NAME, PackageFile
from utad_monai.networks import StudentTranslator
from utad_monai.networks.generator import SIZE_DIVISOR
from utad_monai.transforms.normalise import BRAIN_FLOOR


def write_torchscript(
    student: StudentTranslator, path: str | Path, image_size: tuple[int, int], configs: Mapping[str, Any]
) -> Parity:
    """Write the scripted network with its configs inside, and compare it with the student.

    Args:
        student: maps `(B, S + 4, H, W)` to `(B, 1, H, W)`, in evaluation mode.
        path: file to write.
        image_size: height and width that the student was trained with; the file takes others as well.
        configs: file name to content; `metadata.json` is among them.

    Returns:
        How equal the file is to the student.

    Raises:
        PackageError: when the file is not equal enough.
    """
    others = {name: json.dumps(content).encode() for name, content in configs.items() if name != "metadata.json"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript at every call
        scripted = convert_to_torchscript(student)
        save_net_with_metadata(
            scripted,
            str(path),
            include_config_vals=False,
            meta_values=configs["metadata.json"],
            more_extra_files=others,
        )
        return checked_parity(student, torch.jit.load(str(path)), image_size, "the TorchScript file")


_FREE = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)


def write_exported_program(student: StudentTranslator, path: str | Path, image_size: tuple[int, int]) -> Parity:
    """Write the network as `.pt2` and compare it with the student.

    Args:
        student: maps `(B, S + 4, H, W)` to `(B, 1, H, W)`, in evaluation mode.
        path: file to write, ending in `.pt2`.
        image_size: height and width that the student was trained with; the file takes others as well.

    Returns:
        How equal the file is to the student.

    Raises:
        PackageError: when the file is not equal enough.
    """
    with torch.no_grad():
        example = probe(2, 48, 64, student.image_channels, student.modalities)
        program = torch.export.export(student, (example,), dynamic_shapes=(_FREE,))
    torch.export.save(program, path)
    return checked_parity(student, torch.export.load(path).module(), image_size, "the torch.export file")


_SPATIAL_SHAPE = [f"{SIZE_DIVISOR}*(n+1)"] * 2
"""Multiples of 16 pixels, and more than one pixel in the bottleneck: 32, 48, ... for n = 1, 2, ..."""
_ONE = (
    "A mask-free student generator, distilled from a tumour-aware teacher, translates axial slices of skull-stripped "
    "brain MRI from any of FLAIR, T1, T1ce and T2 into any other; one network for all pairs."
)
_SEVERAL = (
    "A mask-free student generator translates axial slices of skull-stripped brain MRI from any one to three of FLAIR, "
    "T1, T1ce and T2, which it takes at once, into any other; one network for all pairs."
)
_UNKNOWN_DATA = "a cohort given by whoever trained the model; the model does not name it"


@dataclass(frozen=True)
class Label:
    """What a package says of itself beside what its model says.

    Attributes:
        name: of the package and its folder.
        release: version of the package.
        change: the release's line in the changelog.
        data_source: what the model was trained on.
    """

    name: str = DEFAULT_NAME
    release: str = __version__
    _: KW_ONLY
    change: str = "packaged student"
    data_source: str = _UNKNOWN_DATA


def inference_config(generator: Mapping[str, Any]) -> dict[str, Any]:
    """Return the project's `bundles/inference.json` with the network written out and the model read from the package.

    Args:
        generator: constructor arguments of the generator.
    """
    config = _packaged("inference.json")
    config["network_def"] = {
        "_target_": "utad_monai.networks.StudentTranslator",
        "generator": {"_target_": "utad_monai.networks.TumourAwareGenerator", **generator},
    }
    config["student"] = {
        "_target_": "utad_monai.models.fill_from_package",
        "network": "@network_def",
        "package": "@bundle_root",
    }
    config.setdefault("handlers", [])
    config["evaluator"].setdefault("val_handlers", "@handlers")
    return config


def metadata_config(label: Label, training: Mapping[str, Any], image_channels: int = 1) -> dict[str, Any]:
    """Return the project's metadata with name, versions, channels and validation value of one model.

    Args:
        label: name, release and data source.
        training: how the model was made, as its file says.
        image_channels: images that the network takes: 1, or 4 of several sources.
    """
    config = _packaged("metadata.json")
    config |= {
        "version": label.release,
        "changelog": {label.release: label.change},
        "monai_version": _release(monai.__version__),
        "pytorch_version": _release(torch.__version__),
        "numpy_version": _release(numpy.__version__),
        "required_packages_version": {"utad-monai": __version__}
        | {name: installed.version(name) for name in config["required_packages_version"]},
        "name": label.name,
        "task": "Translation of brain tumour MRI slices between FLAIR, T1, T1ce and T2, without tumour masks",
        "description": _SEVERAL if image_channels > 1 else _ONE,
        "data_source": label.data_source,
        "eval_metrics": _validation(training),
    }
    for end in (config["network_data_format"]["inputs"]["image"], config["network_data_format"]["outputs"]["pred"]):
        end["spatial_shape"] = _SPATIAL_SHAPE
    image = config["network_data_format"]["inputs"]["image"]
    image["channel_def"] = _channels(image_channels)
    image["num_channels"] = len(image["channel_def"])
    return config


def logging_config() -> str:
    """Return the project's logging config."""
    return (bundles_dir() / "logging.conf").read_text(encoding="utf-8")


def _packaged(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundles_dir() / name).read_text(encoding="utf-8"))
    return content


def _channels(image_channels: int) -> dict[str, str]:
    brain = "brain in (-1, 1], background exactly -1"
    images = {"0": f"slice in the source modality, {brain}"}
    if image_channels > 1:
        images = {str(m.channel): f"slice in {m.value}, {brain}; -1 throughout where it is absent" for m in Modality}
    planes = {str(image_channels + m.channel): f"1 everywhere when the target is {m.value}, else 0" for m in Modality}
    return images | planes


def _validation(training: Mapping[str, Any]) -> dict[str, float]:
    name, value = training.get("validation_metric"), training.get("validation_value")
    known = isinstance(name, str) and isinstance(value, (int, float)) and math.isfinite(value)
    return {f"validation_{name}": float(value)} if known and value is not None else {}


def _release(version: str) -> str:
    """Return a version without its build, such as `2.13.0` of `2.13.0+cpu`."""
    return version.partition("+")[0]


_TEMPLATES = Path(__file__).parent / "templates"


def model_card(label: Label, translator: TranslatorModel, original_sha256: str, parity: Mapping[str, Parity]) -> str:
    """Return the text of `docs/README.md`.

    Args:
        label: name, release and data source.
        translator: the packaged student.
        original_sha256: hash of the model file that was packaged.
        parity: exported files, and how equal they are to the student.
    """
    generator = translator.generator
    return _render(
        "model_card.md",
        label=label,
        version=__version__,
        description=generator.description(),
        images=generator.image_channels,
        taught=translator.taught,
        million_parameters=sum(weight.numel() for weight in generator.parameters()) / 1e6,
        preprocessing=translator.preprocessing,
        windows=translator.target_windows,
        errors=translator.source_errors,
        training=dict(translator.training),
        sha256=original_sha256,
        parity=parity,
        tolerance=TOLERANCE,
        brain_floor=BRAIN_FLOOR,
        modalities=list(Modality),
        file=PackageFile,
    )


def data_licence(label: Label) -> str:
    """Return the text of `docs/data_license.txt`."""
    return _render("data_license.txt", label=label)


def _render(name: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the card is Markdown
    )
    return environment.get_template(name).render(values)
