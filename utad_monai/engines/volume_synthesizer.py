"""Inference over a cohort: every missing (or asked) modality of every case, as NIfTI volumes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents
from tqdm import tqdm

from utad_monai.atomic import atomic_path
from utad_monai.checkpoints import CheckpointError
from utad_monai.data.layouts import Case
from utad_monai.data.preprocessing import LoadedCase
from utad_monai.data.problems import CohortError
from utad_monai.inferers import VolumeTranslator, write_synthetic
from utad_monai.keys import Modality
from utad_monai.provenance import Provenance

MANIFEST_FILE = "manifest.csv"

_logger = logging.getLogger(__name__)


class SynthesisStatus(StrEnum):
    """What became of one volume that was asked for."""

    DONE = "done"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True)
class ManifestRow:
    """One line of the manifest.

    Attributes:
        case: name of the case.
        target: the modality that was asked for; empty when nothing was missing.
        source: the modality it was made from.
        status: what became of it.
        reason: why it was not made.
        file: the image, relative to the output folder.
    """

    case: str
    target: str
    source: str
    status: str
    reason: str
    file: str


class VolumeSynthesizer(Evaluator):
    """Write `<output_dir>/<case>/<case>_<modality>.nii.gz` and its sidecar for every case of the loader.

    A case that cannot be used is refused in the manifest and does not stop the others.

    Args:
        device: where to compute.
        val_data_loader: yields one `Case` at a time.
        inferer: translates the volumes of one case.
        output_dir: folder for the volumes and `manifest.csv`; never the cohort itself.
        targets: modalities to make; empty for those that a case lacks.
        source: the modality to start from; empty for the best available one.
        dtype: `int16` or `float32` on disk.
        val_handlers: handlers with an `attach` method.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Any],
        inferer: VolumeTranslator,
        output_dir: str | Path,
        targets: Sequence[Modality | str] = (),
        source: Modality | str = "",
        dtype: str = "int16",
        val_handlers: Sequence[Any] | None = None,
    ) -> None:
        self.volumes = inferer
        self.translator = inferer.translator
        self.output_dir = Path(output_dir)
        self.targets = tuple(Modality(target) for target in targets)
        self.source = Modality(source) if source else None
        self.dtype = dtype
        self.manifest: list[ManifestRow] = []
        super().__init__(device=device, val_data_loader=val_data_loader, val_handlers=val_handlers, decollate=False)
        self.add_event_handler(Events.STARTED, self._open)
        self.add_event_handler(Events.COMPLETED, self._close)

    @property
    def refused(self) -> list[ManifestRow]:
        """The volumes that could not be made."""
        return [row for row in self.manifest if row.status == SynthesisStatus.REFUSED]

    def exit_when_refused(self) -> None:
        """End the process with exit code 2 when a volume was refused; the last step of the bundle.

        Raises:
            SystemExit: with code 2.
        """
        if self.refused:
            raise SystemExit(2)

    def _open(self, _: Engine) -> None:
        self.manifest.clear()
        self._bar = tqdm(total=self.state.epoch_length, desc="Synthesizing", unit="case")

    def _close(self, _: Engine) -> None:
        self._bar.close()
        with atomic_path(self.output_dir / MANIFEST_FILE) as temporary:
            pandas.DataFrame([asdict(row) for row in self.manifest]).to_csv(temporary, index=False)
        done = sum(row.status == SynthesisStatus.DONE for row in self.manifest)
        _logger.info("%d volumes written, %d refused: %s", done, len(self.refused), self.output_dir / MANIFEST_FILE)

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        """Make the volumes of one case and return its manifest rows under `rows`."""
        case: Case = batchdata
        rows = self._complete(case)
        self.manifest.extend(rows)
        self._bar.update()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return {"rows": rows}

    def _complete(self, case: Case) -> list[ManifestRow]:
        targets = self.targets or case.missing
        if not targets:
            return [_row(case, SynthesisStatus.SKIPPED, reason="nothing is missing")]
        try:
            loaded = self.volumes.load(case)
        except CohortError as error:
            for line in str(error).splitlines():
                _logger.error("%s", line)
            return [_row(case, SynthesisStatus.REFUSED, target, reason=str(error)) for target in targets]
        for warning in loaded.warnings:
            _logger.warning("case %s: %s", case.case_id, warning)
        return [self._synthesize(case, loaded, target) for target in targets]

    def _synthesize(self, case: Case, loaded: LoadedCase, target: Modality) -> ManifestRow:
        try:
            source = self._source(case, target)
            volume = self.volumes.translate(loaded, source, target)
        except (ValueError, CheckpointError) as error:
            _logger.error("case %s: %s: %s", case.case_id, target, error)
            return _row(case, SynthesisStatus.REFUSED, target, reason=str(error))
        path = self.output_dir / case.case_id / f"{case.case_id}_{target}.nii.gz"
        write_synthetic(path, volume, case.images[source], self._provenance(case, source, target), self.dtype)
        return _row(case, SynthesisStatus.DONE, target, source, file=str(path.relative_to(self.output_dir)))

    def _source(self, case: Case, target: Modality) -> Modality:
        if self.source is None:
            return self.translator.best_source(target, tuple(case.images))
        if self.source not in case.images or self.source == target:
            raise ValueError(f"the asked source {self.source} is not available; the case has {', '.join(case.images)}")
        return self.source

    def _provenance(self, case: Case, source: Modality, target: Modality) -> Provenance:
        return Provenance(
            case_id=case.case_id,
            source=source,
            target=target,
            source_file=case.images[source].name,
            model_sha256=self.translator.sha256,
            preprocessing=self.translator.preprocessing.description(),
            training=dict(self.translator.training),
        )


def _row(
    case: Case,
    status: SynthesisStatus,
    target: Modality | str = "",
    source: Modality | str = "",
    reason: str = "",
    file: str = "",
) -> ManifestRow:
    return ManifestRow(case.case_id, str(target), str(source), str(status), reason, file)
