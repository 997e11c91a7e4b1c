"""What a whole evaluation spends its time on, and that nothing in it is computed twice.

python -m benchmarks.metrics --cases 1 --rounds 5

Phantom cases of 2 mm, untrained networks of the demonstration's size.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from monai.networks.nets import UNet
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.paired import spread
from benchmarks.training_step import SIZES
from utad_monai.data import EvaluationCases, Preprocessing, find_cases, prepare_slices, single_case
from utad_monai.engines import TranslationEvaluator
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import ImageSource, Modality
from utad_monai.metrics import DownstreamSegmentation, measures
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.phantom.cohort import write_phantom_cohort

WORK: Mapping[str, tuple[Any, str]] = {
    "loading": (EvaluationCases, "__getitem__"),
    "translation": (SliceTranslator, "__call__"),
    "image_quality": (measures, "image_quality"),
    "multi_scale_ssim": (measures, "multi_scale_ssim"),
    "segmentation": (DownstreamSegmentation, "segment"),
}
"""The parts of an evaluation, and the function that does each."""


class Ledger:
    """Seconds of each part of the work, and how often it had the same input."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.inputs: Counter[tuple[str, str]] = Counter()

    @property
    def computed_twice(self) -> int:
        """How many calls had an input that an earlier call of the same part had."""
        return self.inputs.total() - len(self.inputs)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note every part of the work in the block."""
        patches = [patch.object(owner, name, self._noted(part, owner, name)) for part, (owner, name) in WORK.items()]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()

    def _noted(self, part: str, owner: Any, name: str) -> Callable[..., Any]:
        work = getattr(owner, name)

        def noted(*arguments: Any) -> Any:
            self.inputs[part, _digest(arguments)] += 1
            begin = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                self.seconds[part] += time.perf_counter() - begin

        return noted


def _digest(value: Any) -> str:
    """Return a hash of tensors by their voxels, of what holds them by its parts, and of other objects by identity."""
    if isinstance(value, Tensor):
        return hashlib.blake2b(value.contiguous().numpy().tobytes()).hexdigest()
    if isinstance(value, Mapping):
        return repr([(str(key), _digest(one)) for key, one in value.items()])
    if isinstance(value, tuple):
        return repr([_digest(one) for one in value])
    return str(value) if isinstance(value, (str, int, float)) else str(id(value))


def evaluator(folder: Path, number: int) -> TranslationEvaluator:
    """Return the evaluation of some phantom cases."""
    size = SIZES["demo"].in_box()
    preprocessing = Preprocessing(frame_size_mm=(240.0, 200.0), image_size=size.image_size)
    cases = find_cases(write_phantom_cohort(folder / "cohort", number, progress=False))
    store = prepare_slices(cases, preprocessing, folder / "slices", progress=False)
    loader = DataLoader(EvaluationCases(store, list(store.cases.values())), collate_fn=single_case)
    torch.manual_seed(0)
    teacher = TumourAwareGenerator(size.base_channels).eval()
    translators: dict[ImageSource | str, SliceTranslator] = {
        ImageSource.STUDENT: SliceTranslator(student_from_teacher(teacher, "complete").eval()),
        ImageSource.TEACHER: SliceTranslator(teacher),
    }
    network = UNet(2, len(Modality), 3, (16, 32, 64, 128), (2, 2, 2), num_res_units=1)
    return TranslationEvaluator(
        "cpu",
        loader,
        translators=translators,
        segmentation=DownstreamSegmentation(network),
        output_dir=folder / "out",
        protocol={},
    )


def measure(cases: int, rounds: int) -> dict[str, Any]:
    """Evaluate several times; return the share of each part.

    Raises:
        AssertionError: when something was computed twice.
    """
    shares: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        engine = evaluator(Path(folder), cases)
        for _ in range(rounds):
            ledger, begin = Ledger(), time.perf_counter()
            with ledger.watching():
                engine.run()
            whole = time.perf_counter() - begin
            if ledger.computed_twice:
                raise AssertionError(f"{ledger.computed_twice} computations had an input that was computed before")
            for part in WORK:
                shares[part].append(ledger.seconds[part] / whole)
    parts = {part: list(spread(values)) for part, values in shares.items()}
    return {"cases": cases, "computed_twice": 0, "share_of_time": parts, "rounds": rounds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(measure(options.cases, options.rounds), indent=4) + "\n")
