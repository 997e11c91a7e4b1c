"""What became of every case of a completion: one CSV for people, one JSON with everything."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas

from utad_monai.data.quality.finding import Finding
from utad_monai.keys import CompletionStatus, Modality
from utad_monai.runtime.files import write_json, write_table

MANIFEST_FILE = "manifest.csv"
MANIFEST_JSON = "manifest.json"
_COLUMNS = ("case", "status", "made", "sources", "reason", "warnings", "files", "patient", "visit")
_SEPARATOR = "; "

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VolumeResult:
    """What became of one modality of a case.

    Attributes:
        target: the modality.
        status: what became of it.
        sources: the modalities that it was made from.
        file: the image, relative to the manifest's folder; empty when it was not made.
        reason: why it was not made.
        details: the sidecar's content.
        kept: whether it was finished before and kept.
    """

    target: Modality
    status: CompletionStatus
    _: KW_ONLY
    sources: tuple[str, ...] = ()
    file: str = ""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = False


@dataclass(frozen=True)
class CaseResult:
    """What became of a case.

    Attributes:
        case_id: the case.
        volumes: one entry for each modality that was asked.
        reason: why nothing was tried, or that nothing was missing.
        refused: whether nothing could be tried.
        warnings: what somebody should look at.
        problems: what is wrong with files that were not needed, such as a segmentation.
        patient: whom the case is of; empty where that cannot be told.
        visit: when, as far as its name tells.
    """

    case_id: str
    volumes: tuple[VolumeResult, ...] = ()
    _: KW_ONLY
    reason: str = ""
    refused: bool = False
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    patient: str = ""
    visit: str = ""

    @classmethod
    def refused_at_once(cls, problem: Finding) -> CaseResult:
        """Return the result of a file or folder of which the case cannot be told."""
        return cls(problem.case_id or Path(problem.file or "").name, reason=str(problem), refused=True)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CaseResult:
        """Return what `as_json` gave, from a file.

        Raises:
            KeyError, TypeError, ValueError: when it is something else.
        """
        volumes = [
            VolumeResult(
                **volume
                | {
                    "target": Modality.named(volume["target"]),
                    "status": CompletionStatus(volume["status"]),
                    "sources": tuple(volume["sources"]),
                }
            )
            for volume in content["volumes"]
        ]
        texts = {name: tuple(content[name]) for name in ("warnings", "problems")}
        return cls(**{**content, "volumes": tuple(volumes), **texts})

    @property
    def status(self) -> CompletionStatus:
        """Refused when anything was, skipped when nothing was asked, done otherwise."""
        volumes_refused = any(volume.status is CompletionStatus.REFUSED for volume in self.volumes)
        if self.refused or self.problems or volumes_refused:
            return CompletionStatus.REFUSED
        return CompletionStatus.DONE if self.volumes else CompletionStatus.SKIPPED

    @property
    def made(self) -> tuple[VolumeResult, ...]:
        """The volumes that are there."""
        return tuple(volume for volume in self.volumes if volume.status is CompletionStatus.DONE)

    @property
    def kept(self) -> bool:
        """Whether everything that was asked was finished before."""
        return bool(self.volumes) and all(volume.kept for volume in self.volumes)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why things were not made, each reason once."""
        return tuple(
            dict.fromkeys(text for text in (self.reason, *(v.reason for v in self.volumes), *self.problems) if text)
        )


def write_manifest(
    output_dir: str | Path, results: Iterable[CaseResult], protocol: Mapping[str, Any] | None = None
) -> list[CaseResult]:
    """Write `manifest.csv` and `manifest.json`: every case once, sorted by name.

    Nothing in them tells when or how often the completion ran: a repetition writes the same bytes.

    Args:
        output_dir: folder of both.
        results: one entry for each case.
        protocol: plain data on how the volumes were made, for the JSON.

    Returns:
        The results in the order of the files.
    """
    ordered = sorted(results, key=lambda result: result.case_id)
    table = pandas.DataFrame([_row(result) for result in ordered], columns=list(_COLUMNS))
    write_table(Path(output_dir) / MANIFEST_FILE, table)
    content = {"protocol": dict(protocol or {}), "cases": [_entry(result) for result in ordered]}
    write_json(Path(output_dir) / MANIFEST_JSON, content)
    return ordered


def log_result(result: CaseResult) -> None:
    """Say what was doubtful about a case and what was not made of it, a line each."""
    for volume in result.made:
        if not volume.kept:
            _logger.info("case %s: %s made from %s", result.case_id, volume.target, ", ".join(volume.sources))
    for warning in result.warnings:
        _logger.warning("case %s: %s", result.case_id, warning)
    if result.status is CompletionStatus.REFUSED:
        for reason in result.reasons:
            for line in reason.splitlines():
                _logger.error("%s", line)


def _row(result: CaseResult) -> dict[str, str]:
    return {
        "case": result.case_id,
        "status": str(result.status),
        "made": _SEPARATOR.join(str(volume.target) for volume in result.made),
        "sources": _SEPARATOR.join("+".join(volume.sources) for volume in result.made),
        "reason": _one_line(result.reasons),
        "warnings": _one_line(result.warnings),
        "files": _SEPARATOR.join(volume.file for volume in result.made),
        "patient": result.patient,
        "visit": result.visit,
    }


def _one_line(texts: Sequence[str]) -> str:
    return " | ".join(line for text in texts for line in text.splitlines())


def _entry(result: CaseResult) -> dict[str, Any]:
    return {
        "case": result.case_id,
        "patient": result.patient,
        "visit": result.visit,
        "status": str(result.status),
        "reasons": list(result.reasons),
        "warnings": list(result.warnings),
        "volumes": [
            {
                "target": str(volume.target),
                "status": str(volume.status),
                "sources": list(volume.sources),
                "file": volume.file,
                "reason": volume.reason,
                "sidecar": dict(volume.details),
            }
            for volume in result.volumes
        ],
    }
