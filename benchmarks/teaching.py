"""Whether teaching is starved: batches of the randomised phantom against the training steps that they feed.

python -m benchmarks.teaching --rounds 5

Sizes, shares, batch size and networks are those of `bundles/teach.json`. Both work on the same batches, in one process
and on one thread each, as a training without loading workers does; brains are painted before, and painting is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.optim import Adam

from benchmarks.paired import take_turns
from utad_monai.bundle.configs import bundles_dir
from utad_monai.engines import GeneratorTrainer
from utad_monai.handlers import Teaching
from utad_monai.keys import BatchKey
from utad_monai.losses import LossWeights
from utad_monai.networks import TumourAwareGenerator
from utad_monai.phantom import TeachingBatches, TeachingBrains
from utad_monai.runtime.workers import keep_freed_memory

STARVED = 0.25
"""Drawing may take this share of a step's time; more is worth a loading worker."""
Batch = dict[str, Any]


def teaching_config() -> dict[str, Any]:
    """Return the teaching bundle as plain data."""
    return json.loads((bundles_dir() / "teach.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Setting:
    """What is measured; the bundle's values by default.

    Attributes:
        sizes: heights and widths of slices.
        shares: how often each is drawn.
        batch_size: slices of the first size in a batch.
        base_channels: width of the generator.
        scheme: its branches.
        second_input: what its tumour encoder sees.
    """

    sizes: Sequence[Sequence[int]] = field(default_factory=lambda: teaching_config()["slice_sizes"])
    shares: Sequence[float] = field(default_factory=lambda: teaching_config()["size_shares"])
    batch_size: int = field(default_factory=lambda: teaching_config()["batch_size"])
    base_channels: int = field(default_factory=lambda: teaching_config()["base_channels"])
    scheme: str = "global_only"
    second_input: str = "whole_image"


class Rivals:
    """Drawing and training of the same batches.

    Args:
        brains: what is scanned.
        setting: sizes and networks.
        batches: how many batches a round has.
    """

    def __init__(self, brains: TeachingBrains, setting: Setting, batches: int) -> None:
        self.dataset = TeachingBatches(brains, setting.sizes, shares=setting.shares, batch_size=setting.batch_size)
        self.numbers = range(batches)
        self.batches: list[Batch] = [self.dataset[number] for number in self.numbers]
        torch.manual_seed(0)
        generator = TumourAwareGenerator(
            setting.base_channels,
            setting.scheme,
            second_input=setting.second_input,
            sources="several",
            conditional_norms=True,
            gain_head=True,
        )
        weights = {name: value for name, value in teaching_config()["loss_weights"].items() if name != "_target_"}
        self.trainer = GeneratorTrainer(
            "cpu",
            1,
            train_data_loader=self.batches,
            generator=generator,
            generator_optimizer=Adam(generator.parameters(), 1e-5),
            loss_weights=LossWeights(**weights),
            train_handlers=[Teaching()],
        )

    def draw(self) -> None:
        """Draw every batch."""
        for number in self.numbers:
            _ = self.dataset[number]

    def train(self) -> None:
        """Take a step on every batch."""
        for batch in self.batches:
            self.trainer.state.iteration += 1
            self.trainer._iteration(self.trainer, batch)


def measure(setting: Setting, folder: Path, brains: int, batches: int, rounds: int) -> dict[str, Any]:
    """Paint brains, then let drawing and training take turns."""
    begin = time.perf_counter()
    painted = TeachingBrains(folder, brains, progress=False)
    painting = time.perf_counter() - begin
    rivals = Rivals(painted, setting, batches)
    runs: Mapping[str, Callable[[], object]] = {"draw": rivals.draw, "train": rivals.train}
    timings = take_turns(runs, rounds)
    share, least, greatest = timings["train"].ratio_to(timings["draw"])
    shapes = [tuple(batch[BatchKey.IMAGE].shape[2:]) for batch in rivals.batches]
    return {
        "brains_painted_per_second": brains / painting,
        "batches_drawn_per_second": batches / timings["draw"].median,
        "training_steps_per_second": batches / timings["train"].median,
        "drawing_as_share_of_training": [share, least, greatest],
        "starved": share > STARVED,
        "sizes": {f"{height}x{width}": shapes.count((height, width)) for height, width in sorted(set(shapes))},
        "batches": batches,
        "rounds": rounds,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brains", type=int, default=64, help="brains to paint")
    parser.add_argument("--batches", type=int, default=20, help="batches of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base-channels", type=int, default=teaching_config()["base_channels"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the bundle does
    setting = Setting(base_channels=options.base_channels)
    with tempfile.TemporaryDirectory() as name:
        result = measure(setting, Path(name), options.brains, options.batches, options.rounds)
    sys.stdout.write(json.dumps(result, indent=4) + "\n")


if __name__ == "__main__":
    main()
