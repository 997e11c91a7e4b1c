"""Inference over a cohort as an engine: every missing (or asked) modality of every case, as NIfTI volumes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents

from utad_monai.apps.complete.case_completer import CaseCompleter
from utad_monai.apps.complete.intensities import completion_intensities
from utad_monai.apps.complete.manifest import MANIFEST_FILE, CaseResult, log_result, write_manifest
from utad_monai.apps.complete.settings import CompletionSettings
from utad_monai.data.layouts import Case
from utad_monai.inferers import VolumeTranslator
from utad_monai.keys import CompletionStatus, IntensityRange, Modality, VoxelType
from utad_monai.runtime.progress import StageBar

_logger = logging.getLogger(__name__)


class VolumeSynthesizer(Evaluator):
    """Write `<output_dir>/<case>/<case>_<modality>_synthetic.nii.gz` and its sidecar for every case of the loader.

    A case that cannot be used is refused in the manifest and does not stop the others; what is finished is kept.

    Args:
        device: where to compute.
        val_data_loader: yields one `Case` at a time.
        inferer: translates the volumes of one case.
        output_dir: folder for the volumes and the manifest; never the cohort itself.
        targets: modalities to make; empty for those that a case lacks.
        sources: modalities to start from; empty for all that a case has.
        intensities: the training cohort's, those of the loader's cases, or `unit`; empty for what suits the model
            (`CompletionSettings.of_model`). A model that says what it paints is
            calibrated on the loader's cases.
        dtype: `int16` or `float32` on disk.
        ignore_unclaimed: whether a modality is also made where a file that no layout takes may be it.
        val_handlers: handlers with an `attach` method.

    Raises:
        CheckpointError: for a modality that the model does not know.
        ValueError: for an unknown range or type.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Any],
        *,
        inferer: VolumeTranslator,
        output_dir: str | Path,
        targets: Sequence[Modality | str] = (),
        sources: Sequence[Modality | str] = (),
        intensities: IntensityRange | str = "",
        dtype: VoxelType | str = VoxelType.INT16,
        ignore_unclaimed: bool = False,
        val_handlers: Sequence[Any] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        settings = CompletionSettings(
            targets=targets,
            sources=sources,
            options=inferer.options,
            intensities=intensities or None,
            dtype=dtype,
            ignore_unclaimed=ignore_unclaimed,
        )
        self.completer = CaseCompleter(inferer, self.output_dir, settings=settings)
        self.results: list[CaseResult] = []
        dataset = getattr(val_data_loader, "dataset", val_data_loader)
        self.problems = tuple(getattr(dataset, "problems", ()))
        listed = dataset if isinstance(dataset, Sequence) else ()
        self.cases: tuple[Case, ...] = tuple(getattr(dataset, "cases", listed))
        super().__init__(device=device, val_data_loader=val_data_loader, val_handlers=val_handlers, decollate=False)
        self.add_event_handler(Events.STARTED, self._open)
        self.add_event_handler(Events.COMPLETED, self._close)

    @property
    def refused(self) -> list[CaseResult]:
        """The cases of which something could not be made."""
        return [result for result in self.results if result.status is CompletionStatus.REFUSED]

    def exit_when_refused(self) -> None:
        """End the process with exit code 2 when something was refused; the last step of the bundle.

        Raises:
            SystemExit: with code 2.
        """
        if self.refused:
            raise SystemExit(2)

    def _open(self, _: Engine) -> None:
        self.results[:] = [CaseResult.refused_at_once(problem) for problem in self.problems]
        for refused in self.results:
            log_result(refused)
        translator, settings = self.completer.volumes.translator, self.completer.settings
        self.completer.use(completion_intensities(self.cases, translator, settings, self.output_dir))
        self._bar = StageBar("Synthesizing", self.state.epoch_length, unit="case")

    def _close(self, _: Engine) -> None:
        self._bar.close()
        write_manifest(self.output_dir, self.results)
        made = sum(len(result.made) for result in self.results)
        manifest = self.output_dir / MANIFEST_FILE
        _logger.info("%d volumes, %d of %d cases refused: %s", made, len(self.refused), len(self.results), manifest)

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        """Make the volumes of one case and return its `CaseResult` under `result`."""
        case: Case = batchdata
        result = self.completer.complete(case)
        log_result(result)
        self.results.append(result)
        self._bar.advance_to(self.state.iteration)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return {"result": result}
