"""What a completion makes, from what and how, and which share of the cohort this process makes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from utad_monai.apps.complete.manifest import CaseResult
from utad_monai.errors import UserError
from utad_monai.inferers import TranslationOptions, VolumeTranslator
from utad_monai.keys import IntensityRange, Modality, VoxelType
from utad_monai.models import CheckpointError, TranslatorModel
from utad_monai.runtime.files import write_json
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.transforms import IntensityWindow


@dataclass(frozen=True, kw_only=True)
class CompletionSettings:
    """Every choice that decides what a synthetic volume looks like.

    Args:
        targets: modalities to make; those that a case lacks when empty.
        sources: modalities to start from; all that a case has when empty.
        options: how translations become a volume, and whether their disagreement is written; a volume of another
            engine is made anew.
        intensities: the range that the volumes are given; None for that of the model's training cohort, or of the
            completed cohort where the model was taught by a phantom.
        dtype: how they are stored; `unit` intensities are float32 always.
        calibrate: whether a model that says what it paints is calibrated on the completed cohort.
        ignore_unclaimed: whether a modality is also made where a file that no layout takes may be it.

    Raises:
        ValueError: for an unknown word.
    """

    targets: Sequence[Modality | str] = ()
    sources: Sequence[Modality | str] = ()
    options: TranslationOptions = field(default_factory=TranslationOptions)
    intensities: IntensityRange | str | None = None
    dtype: VoxelType | str = VoxelType.INT16
    calibrate: bool = True
    ignore_unclaimed: bool = False

    def __post_init__(self) -> None:
        # words come from command lines and JSON: members keep the object equal however it was made
        object.__setattr__(self, "targets", tuple(map(Modality.named, self.targets)))
        object.__setattr__(self, "sources", tuple(map(Modality.named, self.sources)))
        chosen = IntensityRange(self.intensities) if self.intensities else None
        object.__setattr__(self, "intensities", chosen)
        unit = self.intensities is IntensityRange.UNIT
        object.__setattr__(self, "dtype", VoxelType.FLOAT32 if unit else VoxelType(self.dtype))

    def of_model(self, translator: TranslatorModel, device: torch.device | str = "cpu") -> CompletionSettings:
        """Return the settings with everything chosen that is left to a model and its device.

        Raises:
            CheckpointError: when a modality is asked that the model does not know.
            MissingLibraryError: when a library of the engine is missing.
        """
        unknown = [name for name in (*self.targets, *self.sources) if name not in translator.modalities]
        if unknown:
            reason = f"knows {', '.join(translator.modalities)}, not {', '.join(unknown)}"
            raise CheckpointError("the model", reason, "ask for modalities that it knows")
        return replace(
            self,
            options=self.options.of_model(translator, device),
            intensities=self.intensities or (IntensityRange.COHORT if translator.taught else IntensityRange.TRAINING),
            calibrate=self.calibrate and bool(translator.reference_histograms),
        )

    def description(self) -> dict[str, Any]:
        """Return the settings of how a volume is made, as plain data; which targets are asked does not change one."""
        made = {"intensities": self.intensities, "dtype": self.dtype}
        plain = asdict(self.options)
        engine = plain.pop("engine")
        every = plain | made | {"engine": engine}
        return {key: str(value) if isinstance(value, str) else value for key, value in every.items()}

    def of_volume(self, volumes: VolumeTranslator, target: Modality, window: IntensityWindow) -> dict[str, Any]:
        """Return how one volume is made, as plain data.

        A model of several sources fuses nothing.

        Args:
            volumes: what makes it; the settings must be those of its model (`of_model`).
            target: the modality.
            window: the intensities that it is given.
        """
        described = self.description()
        if volumes.translator.generator.several:
            del described["fusion"]
            described["sources_at_once"] = True
        if self.calibrate:
            described["calibration"] = volumes.calibration.summary(target)
        return described | {"window": [window.lower, window.upper]}


PARTS_FOLDER = ".shards"
"""Its name in an output folder; it holds the account of each shard."""
SLURM = "slurm"
"""The word for the share that a SLURM array gives."""
_ACCOUNT = "account.json"

Item = TypeVar("Item")


class ShardError(UserError, ValueError):
    """A share of a cohort that cannot be, or shares that do not cover it."""


@dataclass(frozen=True)
class Shard:
    """One of several even shares.

    Args:
        number: which one, from 0.
        count: of how many.

    Raises:
        ShardError: when there is no such share.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ShardError("", f"there is no shard {self}: of 4 shards the first is 0/4 and the last 3/4")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return this share of a list: every so-manieth item, so that shares differ by at most one."""
        return list(items[self.number :: self.count])


def chosen_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard | None:
    """Return the share that is asked for, or the one that torchrun gives this process; None for everything.

    Args:
        text: `i/n` from `0/n` on, `slurm` for the share of a SLURM array's task, or empty.
        environment: variables of torchrun and SLURM.

    Raises:
        ShardError: when it is neither, or there is no such share.
    """
    if not text:
        inside = "RANK" in environment and "WORLD_SIZE" in environment
        return _shard(environment["RANK"], environment["WORLD_SIZE"]) if inside else None
    if text == SLURM:
        return _slurm_shard(environment)
    return _shard(*text.split("/")) if text.count("/") == 1 else _shard(text, "")


def _slurm_shard(environment: Mapping[str, str]) -> Shard:
    try:
        task, first = int(environment["SLURM_ARRAY_TASK_ID"]), int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
        return Shard((task - first) // step, int(environment["SLURM_ARRAY_TASK_COUNT"]))
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ShardError("", f"--shard {SLURM} needs a task of a SLURM array (sbatch --array), not {error}") from None


def _shard(number: str, count: str) -> Shard:
    if not (number.isdecimal() and count.isdecimal()):
        raise ShardError("", f"a shard is two numbers such as 0/4, or the word {SLURM}, not {number}")
    return Shard(int(number), int(count))


@contextmanager
def held_shard(output_dir: Path, folders: Iterable[Path], shard: Shard) -> Iterator[Path]:
    """Hold a shard's folder alone and the output's folders together with the other shards.

    Raises:
        FolderInUseError: when the same shard, or a run of everything, is at work.
    """
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(locked_folder(folder, shared=True, deep=False))
        name = str(shard).replace("/", "-of-")
        yield stack.enter_context(locked_folder(output_dir / PARTS_FOLDER / name))


def write_account(folder: Path, results: Iterable[CaseResult], protocol: Mapping[str, Any]) -> None:
    """Write what became of a shard's cases into its folder."""
    write_json(folder / _ACCOUNT, {"protocol": dict(protocol), "cases": [result.as_json() for result in results]})


def read_accounts(output_dir: Path, protocol: Mapping[str, Any]) -> dict[str, CaseResult]:
    """Return what became of each case of all shards that worked by a protocol, the newest account of it."""
    found: dict[str, CaseResult] = {}
    wanted = json.loads(json.dumps(protocol))
    files = list((output_dir / PARTS_FOLDER).glob(f"*/{_ACCOUNT}"))
    for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path)):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["protocol"] == wanted:
                found |= {entry["case_id"]: CaseResult.from_json(entry) for entry in content["cases"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a damaged account counts as none: its cases are missed, and its shard is run again
    return found


def all_accounted(case_ids: Sequence[str], accounts: Mapping[str, CaseResult]) -> list[CaseResult]:
    """Return the result of every case.

    Raises:
        ShardError: naming cases that no shard accounts for.
    """
    missing = [case_id for case_id in case_ids if case_id not in accounts]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ShardError(
            "", f"{len(missing)} cases are not completed yet ({shown})", "run their shards, or without --shard"
        )
    return [accounts[case_id] for case_id in case_ids]
