"""The model card: what the student is for, what it was made with, what it needs, and how to run it without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from utad_monai import __version__
from utad_monai.apps.package.configs import Label
from utad_monai.inferers.backends.parity import TOLERANCE, Parity
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel
from utad_monai.models.package_file import PackageFile
from utad_monai.transforms.normalise import BRAIN_FLOOR

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
        taught=bool(translator.reference_histograms),
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
