"""Parts of the report page: what it may load, its pictures and its table."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor

from utad_monai.apps.evaluate import table_lines
from utad_monai.apps.study.plan import METHODS_DIR
from utad_monai.engines import TranslationEvaluator
from utad_monai.engines.evaluations import SUMMARY_FILE, TABLE_FILE
from utad_monai.engines.measurements import MEASUREMENTS_FILE, SEPARATOR
from utad_monai.handlers.health import CHECKS
from utad_monai.keys import TumourRegion
from utad_monai.models.stages import HEALTH_FILE, Stage
from utad_monai.runtime.console import counted
from utad_monai.runtime.files import read_table

_TEMPLATES = Path(__file__).parent / "templates"


def page_template(name: str) -> jinja2.Template:
    """Return a template of a page; what is put into it is escaped, and a name that is missing is an error."""
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(name)


def inlined(file: Path) -> str:
    """Return a script or style as a browser reads it inside a page; it cannot end its own element."""
    return file.read_text(encoding="utf-8").replace("</script", "<\\/script")


def page_style() -> str:
    """Return the style of every page."""
    return inlined(_TEMPLATES / "report.css")


_NOTHING_ELSE = (
    "default-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "img-src data: blob:",
    "connect-src data: blob:",
    "worker-src blob:",
    "font-src data:",
)
"""The viewer reads the volumes that the page holds, in a worker that it makes itself; nothing is fetched or sent."""


def content_security_policy(scripts: Sequence[str], style: str) -> str:
    """Return a policy under which nothing runs but the given texts: they are named by their hashes.

    Args:
        scripts: the text of every script element, exactly; empty ones do not count.
        style: the text of the style element.
    """
    runs = " ".join(_hash(script) for script in scripts if script)
    return "; ".join((*_NOTHING_ELSE, f"script-src {runs}", f"style-src {_hash(style)}"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

LABEL_STEP = 60
"""Grey levels between two label values, so that a person can read a label sprite too."""


def image_sprite(slices: Tensor) -> str:
    """Return slices `(Z, H, W)` in [-1, 1] as the data URI of one PNG; background is 0, the brightest 255."""
    levels = ((slices.to(torch.float32) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return _data_uri(_montage(levels.numpy()))


def label_sprite(labels: Tensor) -> str:
    """Return canonical labels `(Z, H, W)` as the data URI of one PNG, `LABEL_STEP` grey levels apart."""
    return _data_uri(_montage((labels.to(torch.uint8) * LABEL_STEP).numpy()))


def sprite_columns(slices: int) -> int:
    """Return how many slices lie in each row of a sprite; the last row may not be full."""
    return math.ceil(math.sqrt(slices))


def _montage(
    levels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    count, height, width = levels.shape
    columns = sprite_columns(count)
    rows = math.ceil(count / columns)
    canvas = np.zeros((rows * columns, height, width), np.uint8)
    canvas[:count] = levels
    return canvas.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def _data_uri(pixels: _Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


_SHOWN = ("ssim", "psnr", "mae", "tumour_ssim", "tumour_mae", "tissue_order", "tissue_contrast")
_PROTOCOL = (
    *("cohort", "split", "grid", "window", "data_range", "region", "checkpoint_choice"),
    *("tissue_classes", "tissue_order", "tissue_contrast"),
    *("starter", "calibration", "flat_brain", "contrast_map", "paired_contrast_map"),
    *("image_quality_by_sources", "missing_modalities"),
)


def show_summary(evaluator: TranslationEvaluator) -> None:
    """Print the summary of an evaluation and the paths of its files."""
    for line in summary_lines(evaluator.summary()):
        typer.echo(line)
    for protocol, methods in evaluator.other_protocols().items():
        typer.echo("\n".join(["", *table_lines(protocol, methods)]))
    files = [str(evaluator.output_dir / name) for name in (MEASUREMENTS_FILE, TABLE_FILE)]
    typer.echo(f"written: {', '.join(files)} and {evaluator.output_dir / SUMMARY_FILE}")


def protocol_lines(protocol: Mapping[str, Any]) -> list[str]:
    """Return what must be read beside every number, one line each."""
    return [f"  {name}: {protocol[name]}" for name in _PROTOCOL if name in protocol]


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the protocol and the tables of a summary, as lines of text."""
    lines = [
        f"Protocol ({counted(summary['cases'], 'case')}):",
        *protocol_lines(summary["protocol"]),
        "",
        "Image quality, mean over all sources and targets:",
    ]
    below = summary.get("below_contrast_map", {})
    marked = {f"{name}*" if name in below else name: values for name, values in summary["image_quality"].items()}
    lines += _table(marked, _SHOWN)
    lines += [f"  * {name} is no better than the contrast map in {', '.join(on)}" for name, on in below.items()]
    lines += _by_sources(summary.get("image_quality_by_sources", {}))
    regions = tuple(next(iter(summary["dice"].values()), {}))
    lines += ["", "Dice of the segmentation when one modality is:", *_table(summary["dice"], regions)]
    return lines + _missing_modalities(summary.get("missing_modalities", {}))


def _by_sources(by_sources: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> list[str]:
    """Return the table of the methods that take several sources, a row per method and number; empty without any."""
    methods = dict.fromkeys(name for quality in by_sources.values() for name in quality)
    rows = {f"{name} {count}": by_sources[count][name] for name in methods for count in by_sources}
    return ["", "Image quality by number of sources:", *_table(rows, _SHOWN)] if rows else []


def _missing_modalities(gaps: Mapping[str, Any]) -> list[str]:
    """Return the best route for the whole tumour with every set of available modalities; empty without any."""
    if not gaps:
        return []
    lines = ["", "Dice WT with modalities missing, the best route, and what synthesis adds to the best one without:"]
    for available, regions in gaps["best"].items():
        best = regions[TumourRegion.WT]
        gain = f"{_number(best.get('gain_mean'))}" if best.get("synthesis_adds") else "nothing"
        lines.append(f"  {available.replace(SEPARATOR, ' '):<16} {_number(best['mean'])}  {best['route']:<20} {gain}")
    return lines


def _table(rows: Mapping[str, Mapping[str, float | None]], columns: tuple[str, ...]) -> list[str]:
    width = max(12, *(len(name) for name in rows)) if rows else 12
    lines = ["  " + " " * width + "".join(f"{column:>16}" for column in columns)]
    for name, values in rows.items():
        lines.append(f"  {name:<{width}}" + "".join(f"{_number(values.get(column)):>16}" for column in columns))
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def training_health(output: Path) -> list[dict[str, Any]]:
    """Return name, number of epochs and warnings of every training in a run's or study's folder that was watched."""
    folders = [output / Stage.TEACHER, output / Stage.STUDENT, *sorted((output / METHODS_DIR).glob("*"))]
    return [_training(folder / HEALTH_FILE) for folder in folders if (folder / HEALTH_FILE).is_file()]


def _training(path: Path) -> dict[str, Any]:
    table = read_table(path, keep_default_na=False)
    told = dict(zip(table["epoch"], table["warnings"], strict=True))
    return {"name": path.parent.name, "epochs": len(told), "warnings": list(_warnings(told))}


def _warnings(told: dict[int, str]) -> Iterator[dict[str, str]]:
    for check in CHECKS:
        epochs = [str(epoch) for epoch, names in told.items() if check.name in names.split()]
        if epochs:
            name = check.name.replace("_", " ")
            yield {"name": name, "epochs": ", ".join(epochs), "advice": check.advice}
