"""Everything that a case lacks, made and written; a case that cannot be used says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from utad_monai.apps.complete.intensities import CohortIntensities, ValidatedCases
from utad_monai.apps.complete.manifest import CaseResult, VolumeResult
from utad_monai.apps.complete.preview import preview_path, write_preview
from utad_monai.apps.complete.provenance import WARNINGS, Provenance, SourceImage, meaning
from utad_monai.apps.complete.settings import CompletionSettings
from utad_monai.apps.complete.synthetic_files import SyntheticFiles
from utad_monai.apps.complete.yardsticks import beaten_pairs
from utad_monai.data.layouts import Case
from utad_monai.data.layouts.unclaimed import unclaimed_reason, unclaimed_warnings
from utad_monai.data.preprocessing import LoadedCase
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.data.quality.guards import input_error, input_warnings
from utad_monai.inferers import SyntheticVolume, VolumeTranslator
from utad_monai.inferers.calibration import IntensityMap
from utad_monai.keys import CompletionStatus, IntensityRange, Modality
from utad_monai.models import CheckpointError, file_sha256
from utad_monai.models.source_choice import usable_sources
from utad_monai.transforms import IntensityWindow
from utad_monai.transforms.nifti_bytes import check_regular_file

_UNIT = IntensityWindow(0.0, 1.0)


@dataclass(frozen=True)
class PlannedVolume:
    """What would be done for one modality of a case.

    Attributes:
        target: the modality.
        sources: what it would be made from.
        finished: whether it is there already.
        reason: why it could not be made.
    """

    target: Modality
    sources: tuple[Modality, ...] = ()
    _: KW_ONLY
    finished: bool = False
    reason: str = ""


class CaseCompleter:
    """Make `<output_dir>/<case>/<case>_<modality>_synthetic.nii.gz`, its uncertainty and its sidecar.

    What is finished already, of the same sources, model and settings, is kept.

    Args:
        volumes: translates the volumes of a case.
        output_dir: folder for the volumes; never the cohort itself.
        settings: what to make; those of how a volume is made must be those of `volumes`.
        windows: the intensities of each modality in the cohort, for that range.
        resume: whether what is finished is kept; otherwise everything is made again.
        manifest_dir: the folder that results name files relative to; the output folder by default.
        beaten: the warning of each pair (`t1->t1ce`) that something simpler makes better; by default what the model
            stores.
    """

    def __init__(
        self,
        volumes: VolumeTranslator,
        output_dir: str | Path,
        *,
        settings: CompletionSettings,
        windows: Mapping[Modality, IntensityWindow] | None = None,
        resume: bool = True,
        manifest_dir: str | Path | None = None,
        beaten: Mapping[str, str] | None = None,
    ) -> None:
        self.manifest_dir = Path(output_dir if manifest_dir is None else manifest_dir)
        self.volumes = volumes
        self.resume = resume
        self.output_dir = Path(output_dir)
        self.settings = replace(settings.of_model(volumes.translator), options=volumes.options)
        self.windows = dict(windows or {})
        self.beaten = beaten_pairs(volumes.translator) if beaten is None else beaten
        self.validated = ValidatedCases(self.manifest_dir, volumes.translator.preprocessing)

    def use(self, intensities: CohortIntensities) -> None:
        """Give the volumes from now on the intensities of a cohort."""
        self.windows = dict(intensities.windows)
        self.volumes.slices.calibration = intensities.calibration

    def complete(self, case: Case) -> CaseResult:
        """Make what is asked of one case, and say what became of it; nothing of another case is touched."""
        result = self._complete(case)
        said = [warning.phrase for warning in unclaimed_warnings(case) if self._passes_silently(warning, result)]
        warnings = tuple(dict.fromkeys([*said, *result.warnings]))
        return replace(result, warnings=warnings, patient=case.patient_id, visit=case.visit)

    def _complete(self, case: Case) -> CaseResult:
        targets = self.targets(case)
        if not targets:
            return self._validated(CaseResult(case.case_id, reason="nothing is missing"), case)
        waiting: dict[Modality, SyntheticFiles] = {}
        results: dict[Modality, VolumeResult] = {}
        for target in targets:
            if reason := self._unclaimed(case, target):
                results[target] = _refused(target, reason)
                continue
            try:
                waiting[target] = self._files(case, target)
            except (CheckpointError, OSError, ValueError) as error:
                results[target] = _refused(target, f"case {case.case_id}: {target}: {error}")
                continue
            kept = self._kept(waiting[target])
            if kept:
                results[target] = kept
        missing = [target for target in targets if target not in results]
        if not missing:
            result = self._validated(_case_result(case, [results[target] for target in targets]), case)
            if result.made and not self._preview(case).is_file():  # it was ended between its volumes and its picture
                self._draw(case, result, self._open(case)[0])
            return result
        loaded, problems = self._open(case)
        results |= self._make_all(case, {target: waiting[target] for target in missing}, loaded, problems)
        result = replace(_case_result(case, [results[target] for target in targets]), problems=_texts(problems, loaded))
        self._draw(case, result, loaded)
        return result

    def _draw(self, case: Case, result: CaseResult, loaded: LoadedCase | None) -> None:
        """Write the picture of a case of which something was made."""
        made = {volume.target: self.manifest_dir / volume.file for volume in result.made}
        if loaded is None or not made:
            return
        sources = dict.fromkeys(source for volume in result.made for source in volume.sources)
        title = f"{case.case_id}: {', '.join(made)} made from {', '.join(sources)}. Not for clinical use."
        write_preview(self._preview(case), loaded, made, title)

    def _preview(self, case: Case) -> Path:
        return preview_path(self.output_dir / case.case_id, case.case_id)

    @staticmethod
    def _passes_silently(warning: Finding, result: CaseResult) -> bool:
        return not any(str(warning.file) in reason for reason in result.reasons)

    def _validated(self, result: CaseResult, case: Case) -> CaseResult:
        """Add what is wrong with a case that needs no work, so that nobody is handed a bad one; it is opened once."""
        warnings = self.validated.warnings(case) if self.resume else None
        if warnings is not None:
            return replace(result, warnings=tuple(dict.fromkeys([*result.warnings, *warnings])))
        loaded, problems = self._open(case)
        if loaded is None:
            return CaseResult(case.case_id, result.volumes, reason=_lines(problems), refused=True)
        warnings = tuple(dict.fromkeys([*result.warnings, *loaded.warnings]))
        return replace(result, warnings=warnings, problems=_texts(problems, loaded))

    def _open(self, case: Case) -> tuple[LoadedCase | None, Sequence[Finding]]:
        """Load a case and return its problems too; a bad segmentation costs nothing but itself."""
        try:
            loaded = self.volumes.load(case)
        except CohortError as error:
            if any(problem.file != case.segmentation for problem in error.problems):
                return None, error.problems
            return self.volumes.load(replace(case, segmentation=None)), error.problems
        self.validated.keep(case, loaded.warnings)
        return loaded, ()

    def targets(self, case: Case) -> tuple[Modality, ...]:
        """Return the modalities that are asked of a case."""
        return tuple(map(Modality.named, self.settings.targets)) or case.missing

    def plan(self, case: Case) -> tuple[PlannedVolume, ...]:
        """Return what would be done for each modality that is asked; images are hashed, not opened."""
        return tuple(self._plan(case, target) for target in self.targets(case))

    def _unclaimed(self, case: Case, target: Modality) -> str:
        """Return why a target must not be made: a real image that may be it; empty where it may."""
        return "" if self.settings.ignore_unclaimed else unclaimed_reason(case, target)

    def _plan(self, case: Case, target: Modality) -> PlannedVolume:
        if reason := self._unclaimed(case, target):
            return PlannedVolume(target, reason=reason)
        try:
            files = self._files(case, target)
        except (CheckpointError, OSError, ValueError) as error:
            return PlannedVolume(target, reason=str(error))
        sources = tuple(source.modality for source in files.provenance.sources)
        return PlannedVolume(target, sources, finished=self._kept(files) is not None)

    def _files(self, case: Case, target: Modality) -> SyntheticFiles:
        translator = self.volumes.translator
        available = [m for m in case.images if not self.settings.sources or m in self.settings.sources]
        sources = usable_sources(target, available)
        for source in sources:
            check_regular_file(case.images[source])  # to hash a pipe would wait for ever
        window = self._window(target)
        provenance = Provenance(
            case_id=case.case_id,
            target=target,
            sources=tuple(SourceImage(s, case.images[s].name, sha256=file_sha256(case.images[s])) for s in sources),
            model_sha256=translator.sha256,
            preprocessing=translator.preprocessing.description(),
            training=dict(translator.training),
            validation_errors=translator.source_errors.get(target, {}),
            settings=self.settings.of_volume(self.volumes, target, window),
        )
        return SyntheticFiles(self.output_dir / case.case_id, provenance)

    def _window(self, target: Modality) -> IntensityWindow:
        """Return the intensities that a target is given.

        Raises:
            CheckpointError: when the model never saw it.
            ValueError: when no case of the cohort shows them.
        """
        trained = self.volumes.window(target)
        if self.settings.intensities is IntensityRange.UNIT:
            return _UNIT
        if self.settings.intensities is IntensityRange.TRAINING:
            return trained
        if target in self.windows:
            return self.windows[target]
        if self.volumes.translator.taught:
            return _typical(self.windows.values()) or trained
        raise ValueError(f"no case of the cohort shows the intensities of {target}: use those of the training")

    def _make_all(
        self,
        case: Case,
        waiting: Mapping[Modality, SyntheticFiles],
        loaded: LoadedCase | None,
        problems: Sequence[Finding],
    ) -> dict[Modality, VolumeResult]:
        if loaded is None:
            return {target: _refused(target, _lines(problems)) for target in waiting}
        if error := input_error(loaded):
            return {target: _refused(target, f"case {case.case_id}: {error.phrase}") for target in waiting}
        return {target: self._make(case, loaded, files) for target, files in waiting.items()}

    def _make(self, case: Case, loaded: LoadedCase, files: SyntheticFiles) -> VolumeResult:
        target, translator = files.provenance.target, self.volumes.translator
        sources = tuple(source.modality for source in files.provenance.sources)
        try:
            made = self.volumes.translate(loaded, target, sources, self._window(target))
        except ValueError as error:  # weights that the model does not store
            return _refused(target, f"case {case.case_id}: {target}: {error}")
        warnings = [*self._warnings(loaded, sources, target), *self._simpler(made)]
        shown = target in self.windows or self.settings.intensities is not IntensityRange.COHORT
        extra = {WARNINGS: warnings} | meaning(made, translator, self.settings.intensities, shown=shown)
        like = loaded.headers[made.sources[0]]
        return _done(self.manifest_dir, files, files.write(made, like, self.settings.dtype, extra))

    def _warnings(self, loaded: LoadedCase, sources: Sequence[Modality], target: Modality) -> list[str]:
        """Return each warning once: of the files, of what the model never saw, of a missing calibration."""
        translator = self.volumes.translator
        found = input_warnings(loaded.only(sources), translator.known_profiles, translator.preprocessing)
        texts = [*loaded.warnings, *(warning.phrase for warning in found)]
        chosen = self.volumes.calibration.maps.get(target)
        if self.settings.calibrate and translator.taught and (text := not_shown(target, chosen)):
            texts.append(text)
        return list(dict.fromkeys(texts))

    def _simpler(self, made: SyntheticVolume) -> Iterator[str]:
        """Yield a warning for each source that counts and that something simpler turns into the target better."""
        for source in made.sources if not self.volumes.translator.generator.several else ():
            if text := self.beaten.get(f"{source}->{made.target}"):
                yield f"{made.target} from {source}: {text}"

    def _kept(self, files: SyntheticFiles) -> VolumeResult | None:
        sidecar = files.finished() if self.resume else None
        return None if sidecar is None else _done(self.manifest_dir, files, sidecar, kept=True)


def not_shown(target: Modality, chosen: IntensityMap | None) -> str:
    """Return the warning of a target whose intensities nobody in the cohort shows; empty where somebody does."""
    if chosen is None:
        return f"no {target} image to take intensities from: its contrast stays that of the phantom"
    if chosen.typical:
        return f"no {target} image to take intensities from: its contrast is the average of {chosen.patients} others"
    return ""


def _typical(windows: Iterable[IntensityWindow]) -> IntensityWindow | None:
    """Return the median of windows; None where there is none."""
    chosen = list(windows)
    if not chosen:
        return None
    return IntensityWindow(median(window.lower for window in chosen), median(window.upper for window in chosen))


def _case_result(case: Case, results: Sequence[VolumeResult]) -> CaseResult:
    warnings = [text for result in results for text in result.details.get(WARNINGS, [])]
    return CaseResult(case.case_id, tuple(results), warnings=tuple(dict.fromkeys(warnings)))


def _texts(problems: Sequence[Finding], loaded: LoadedCase | None) -> tuple[str, ...]:
    """Return the problems of a case whose images are sound; those of images stand with what they prevented."""
    return tuple(map(str, problems)) if loaded is not None else ()


def _lines(problems: Sequence[Finding]) -> str:
    return "\n".join(map(str, problems))


def _refused(target: Modality, reason: str) -> VolumeResult:
    return VolumeResult(target, CompletionStatus.REFUSED, reason=reason)


def _done(manifest_dir: Path, files: SyntheticFiles, sidecar: Mapping[str, Any], kept: bool = False) -> VolumeResult:
    return VolumeResult(
        target=files.provenance.target,
        status=CompletionStatus.DONE,
        sources=tuple(sidecar["SourceModalities"]),
        file=str(files.image.relative_to(manifest_dir)),
        details=sidecar,
        kept=kept,
    )
