"""The one evaluator: every method on every test case, and what was measured as one long table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents

from utad_monai.contrast import TranslationMethod
from utad_monai.data.quality.finding import empty_split
from utad_monai.engines.evaluations import (
    FILLS,
    SUMMARY_FILE,
    TABLE_FILE,
    Evaluation,
    EvaluationViews,
    Pairs,
    SeveralSources,
)
from utad_monai.engines.measurements import MEASUREMENTS_FILE, Measurements, long_table
from utad_monai.engines.method_on_case import BASELINES, EvaluatedCase, Method, MethodOnCase
from utad_monai.engines.whole_volumes import (
    OTHERS_MEASURES,
    MethodMeans,
    WholeVolumes,
    means_as_data,
    means_by_protocol,
)
from utad_monai.keys import EvaluationProtocol, ImageSource
from utad_monai.metrics.downstream import DownstreamSegmentation
from utad_monai.runtime.files import write_json, write_table
from utad_monai.runtime.progress import StageBar


class CaseEvaluator(Evaluator):
    """Ask evaluations about methods on test cases; the answers are in `measurements`.

    Beside the methods, the real target, a copy of the source and a zero-filled image are measured.

    Args:
        device: where to compute.
        val_data_loader: yields cases of `utad_monai.data.EvaluationCases`, one at a time.
        translators: the methods by name; those that take several sources (`takes_several`) may get all there are.
        evaluations: what is asked (`utad_monai.engines.evaluations`).
        val_handlers: handlers with an `attach` method.

    Raises:
        CohortError: when there is no case to measure.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Any],
        *,
        translators: Mapping[str, TranslationMethod],
        evaluations: Sequence[Evaluation],
        val_handlers: Sequence[Any] | None = None,
    ) -> None:
        if isinstance(val_data_loader, Sized) and len(val_data_loader) == 0:
            raise empty_split("test case with a segmentation")
        self.methods = (*BASELINES, *(Method.of(name, translate) for name, translate in translators.items()))
        self.evaluations = tuple(evaluations)
        self.measurements = Measurements()
        self._bar: StageBar | None = None
        super().__init__(device=device, val_data_loader=val_data_loader, val_handlers=val_handlers, decollate=False)
        self.add_event_handler(Events.STARTED, self._open)

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Measure every case; the progress bar ends with it, however that comes."""
        try:
            super().run(global_epoch)
        finally:
            if self._bar is not None:
                self._bar.close()

    def _open(self, _: Engine) -> None:
        self.measurements = Measurements()
        total = (self.state.epoch_length or 0) * len(self.methods)
        self._bar = StageBar("Evaluating", total, unit="method")
        self._asked = 0

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Measure one case and return its rows of the long table under `rows`."""
        case, before = EvaluatedCase.of(batchdata), len(self.measurements.rows)
        for method in self.methods:
            subject = MethodOnCase(case, method)
            for ask in self.evaluations:
                ask(subject, self.measurements)
            self._asked += 1
            if self._bar is not None:
                self._bar.advance_to(self._asked)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return {"rows": self.measurements.rows[before:]}


class TranslationEvaluator(CaseEvaluator):
    """Measure image quality and downstream Dice of test cases.

    It writes `measurements.csv`, the long table, and two views of it: `evaluation.csv` has one row per case, source and
    target with columns `<method>_<measure>` and `dice_<fill>_<region>`, `summary.json` the means. Pairs whose target a
    case lacks are not measured; the segmentation needs all four modalities, the Dice is NaN otherwise. Methods that
    take several sources at once are also measured from every subset of two and three; the summary has the means.

    Args:
        device: where to compute.
        val_data_loader: yields cases of `utad_monai.data.EvaluationCases`, one at a time.
        translators: the methods to measure; `student` also fills modalities for the Dice. None for one that is not
            there, such as the starter of an installation without its weights.
        segmentation: the downstream segmentation network.
        output_dir: folder for the results.
        protocol: plain data that says what was measured how; printed and written beside the numbers.
        val_handlers: handlers with an `attach` method.
        yardsticks: what the methods must beat (`utad_monai.contrast.fit_yardsticks`), by name.
        source_slices: slices of a case, evenly spaced, on which quality by number of sources is measured; 0 for all.
        gaps: what is asked about missing modalities (`gap_questions`).
        whole_volumes: measures by the protocols of others, too; the summary has them under `other_protocols`.

    Raises:
        ValueError: when there is no student among the translators, or no case to measure.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Any],
        *,
        translators: Mapping[ImageSource | str, TranslationMethod | None],
        segmentation: DownstreamSegmentation,
        output_dir: str | Path,
        protocol: Mapping[str, Any],
        val_handlers: Sequence[Any] | None = None,
        yardsticks: Mapping[ImageSource | str, TranslationMethod] | None = None,
        source_slices: int = 0,
        gaps: Sequence[Evaluation] = (),
        whole_volumes: WholeVolumes | None = None,
    ) -> None:
        self.yardsticks = {ImageSource(name): method for name, method in (yardsticks or {}).items()}
        self.translators = {ImageSource(name): method for name, method in translators.items() if method is not None}
        if ImageSource.STUDENT not in self.translators:
            raise ValueError("evaluation needs a student")
        self.output_dir = Path(output_dir)
        self.protocol = dict(protocol)
        self.source_slices = source_slices
        evaluations: list[Evaluation] = [Pairs(segmentation, segmented=FILLS), SeveralSources(source_slices), *gaps]
        self.whole_volumes = whole_volumes
        if whole_volumes is not None:
            evaluations.append(whole_volumes)
        methods = {str(name): method for name, method in {**self.translators, **self.yardsticks}.items()}
        super().__init__(
            device, val_data_loader, translators=methods, evaluations=evaluations, val_handlers=val_handlers
        )
        self.add_event_handler(Events.COMPLETED, self._write)

    @property
    def views(self) -> EvaluationViews:
        """What `evaluation.csv` and `summary.json` show of the measurements."""
        several = [method.name for method in self.methods if method.several]
        return EvaluationViews(
            [row for row in self.measurements.rows if row.measure not in OTHERS_MEASURES],
            list(self.translators),
            yardsticks=list(self.yardsticks),
            several=several,
            slices=self.source_slices,
        )

    def summary(self) -> dict[str, Any]:
        """Return what `summary.json` holds: the protocol, `EvaluationViews.summary` and `other_protocols`."""
        others = {"other_protocols": means_as_data(means)} if (means := self.other_protocols()) else {}
        return {"protocol": self.protocol} | self.views.summary() | others

    def other_protocols(self) -> dict[str, MethodMeans]:
        """Return the tables of the protocols of others that were followed too."""
        if self.whole_volumes is None:
            return {}
        return means_by_protocol(self.measurements.rows, map(EvaluationProtocol, self.whole_volumes.in_words))

    def _write(self, _: Engine) -> None:
        write_table(self.output_dir / MEASUREMENTS_FILE, long_table(self.measurements.rows))
        write_table(self.output_dir / TABLE_FILE, self.views.table())
        write_json(self.output_dir / SUMMARY_FILE, self.summary())
