"""One HTML file that shows a completion: what was made of each case, its picture, its warnings."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from utad_monai import __version__
from utad_monai.apps.complete.caution import caution
from utad_monai.apps.complete.manifest import MANIFEST_JSON
from utad_monai.apps.complete.preview import preview_path
from utad_monai.apps.report.page import content_security_policy, page_style, page_template
from utad_monai.data.quality.finding import CohortError
from utad_monai.keys import CompletionStatus, Modality
from utad_monai.models.stages import Stage
from utad_monai.runtime.files import atomic_path
from utad_monai.runtime.folder_lock import locked_folder

COMPLETION_REPORT_FILE = "report.html"
MOST_PICTURES = 300
"""Cases whose picture is in the page, which then has about 10 MB; the others are listed, with a link to theirs."""
_WIDTH, _QUALITY = 640, 60
_DONE = str(CompletionStatus.DONE)


def is_completion(folder: str | Path) -> bool:
    """Tell whether `complete` wrote a folder."""
    return (Path(folder) / MANIFEST_JSON).is_file()


def write_completion_report(output_dir: str | Path, max_pictures: int = MOST_PICTURES) -> Path:
    """Write `output_dir/report.html` from the manifest and the pictures of a completion; no volume is opened.

    Args:
        output_dir: the output folder of a completion.
        max_pictures: cases that are shown with their picture.

    Returns:
        The path of the report.

    Raises:
        CohortError: when the manifest cannot be read.
        FolderInUseError: when another run writes to the folder.
        OutputError: when the folder cannot be written, or its disk is full.
    """
    output = Path(output_dir)
    with locked_folder(output, deep=False):
        manifest = _manifest(output / MANIFEST_JSON)
        path = output / COMPLETION_REPORT_FILE
        with atomic_path(path) as temporary:
            temporary.write_text(_page(output, manifest, max_pictures), encoding="utf-8")
    return path


def _manifest(path: Path) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content["cases"], list) and isinstance(content["protocol"], dict):
            return content
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise CohortError.of(path, "is no manifest of a completion", "run utad-monai complete again")


def _page(output: Path, manifest: Mapping[str, Any], max_pictures: int) -> str:
    protocol, cases = manifest["protocol"], manifest["cases"]
    made = [volume for case in cases for volume in case["volumes"] if volume["status"] == _DONE]
    style = page_style()
    return page_template("completion.html").render(
        version=__version__,
        policy=content_security_policy([], style),
        style=style,
        cases=[_case(output, case, shown=place < max_pictures) for place, case in enumerate(_in_order(cases))],
        counts=Counter(case["status"] for case in cases),
        model=_model(protocol),
        volumes=Counter((volume["target"], " + ".join(volume["sources"])) for volume in made).most_common(),
        caution=caution(_modalities(made), {Modality.named(m) for volume in made for m in volume["sources"]}),
        warned=sum(bool(case["warnings"]) for case in cases),
    )


def _modalities(made: list[Mapping[str, Any]]) -> list[Modality]:
    found = {Modality.named(volume["target"]) for volume in made}
    return [*(modality for modality in Modality if modality in found), *(found - set(Modality))]


def _in_order(cases: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Put first what somebody should look at: refused cases, those with warnings, the rest, and skipped ones."""
    rank = {str(CompletionStatus.REFUSED): 0, _DONE: 1, str(CompletionStatus.SKIPPED): 2}
    return sorted(cases, key=lambda case: (rank.get(case["status"], 1), not case["warnings"], case["case"]))


def _case(output: Path, case: Mapping[str, Any], shown: bool) -> dict[str, Any]:
    made = [volume for volume in case["volumes"] if volume["status"] == _DONE]
    picture = preview_path(output / Stage.SYNTHETIC / case["case"], case["case"])
    there = bool(made) and picture.is_file()
    return {
        "name": case["case"],
        "status": case["status"],
        "made": [(volume["target"], " + ".join(volume["sources"]), quote(volume["file"])) for volume in made],
        "reasons": case["reasons"],
        "warnings": case["warnings"],
        "link": quote(str(picture.relative_to(output))) if there else "",
        "picture": _thumbnail(picture) if there and shown else "",
    }


def _thumbnail(path: Path) -> str:
    """Return a small version of a picture as a data URI; empty when it is none."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except OSError:
        return ""
    small.thumbnail((_WIDTH, _WIDTH))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True, subsampling=0)  # the mark keeps its colour
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _model(protocol: Mapping[str, Any]) -> str:
    training = protocol.get("model_training", {})
    text = protocol.get("model") or f"{training.get('stage', 'model')}, epoch {training.get('epoch', 'unknown')}"
    return f"{text}; SHA-256 {str(protocol.get('model_sha256', ''))[:12]}"
