"""A training step against the literal one: same losses, less time, no more memory."""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.optim import Adam

from benchmarks.literal import LiteralTraining
from benchmarks.paired import count_flops, matrix_product, matrix_rate, peak_megabytes, take_turns
from transforms import BACKGROUND
from utad_monai.engines import TranslationTrainer
from utad_monai.engines.translation_batch import TranslationBatch
from utad_monai.keys import BatchKey
from utad_monai.networks import TumourAwareGenerator, critic_pair

LOSS_TOLERANCE = 1e-5
"""Largest relative difference of the losses of the two first steps."""


@dataclass(frozen=True)
class Size:
    """Sizes of a training.

    Attributes:
        base_channels: feature maps of the generator.
        critic_channels: feature maps of the critics.
        critic_layers: convolutions of the critics.
        image_size: height and width in pixels.
        batch_size: slices per step.
        critic_steps: critic updates per generator update; a measured cycle has so many iterations.
    """

    base_channels: int
    critic_channels: int
    critic_layers: int
    image_size: tuple[int, int]
    batch_size: int
    critic_steps: int


SIZES = {
    "demo": Size(8, 16, 4, (80, 64), 8, 1),
    "paper": Size(64, 64, 6, (128, 128), 2, 5),
}
"""The paper's batch of 8 needs more memory and time than two cores have; ratios are of batches of 2."""


def make_batch(size: Size, seed: int = 0) -> dict[str, Any]:
    """Return a batch as the data set gives it: half of each slice is brain."""
    draw = torch.Generator().manual_seed(seed)
    height, width = size.image_size
    image = torch.full((size.batch_size, 1, height, width), BACKGROUND)
    inside = (slice(None), slice(None), slice(height // 7, -height // 7), slice(width // 7, -width // 7))
    image[inside] = torch.rand(image[inside].shape, generator=draw) * 1.6 - 0.8
    mask = torch.zeros_like(image)
    mask[:, :, height // 3 : height // 2, width // 3 : width // 2] = 1
    return {
        BatchKey.IMAGE: image,
        BatchKey.TUMOUR_MASK: mask,
        BatchKey.SOURCE_MODALITY: torch.randint(4, (size.batch_size,), generator=draw),
        BatchKey.TARGET_MODALITY: torch.randint(4, (size.batch_size,), generator=draw),
        BatchKey.CASE_ID: [f"case {place}" for place in range(size.batch_size)],
    }


class Rivals:
    """The same networks twice: trained by this project's engine, and literally.

    Args:
        size: sizes of the training.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        torch.manual_seed(0)
        self.generator = TumourAwareGenerator(size.base_channels)
        self.critics = critic_pair(size.image_size, size.critic_channels, size.critic_layers)
        self.batch = make_batch(size)

    def ours(self) -> TranslationTrainer:
        """Return the engine, ready to run iterations."""
        generator, critics = copy.deepcopy(self.generator), copy.deepcopy(self.critics)
        optimizers = Adam(generator.parameters(), 1e-4), Adam([w for c in critics for w in c.parameters()], 1e-4)
        trainer = TranslationTrainer(
            *("cpu", 1, [self.batch], generator, *critics, *optimizers), critic_steps=self.size.critic_steps
        )
        trainer.state.iteration = 0
        return trainer

    def literal(self) -> LiteralTraining:
        """Return the rival."""
        generator, critics = copy.deepcopy(self.generator), copy.deepcopy(self.critics)
        optimizers = Adam(generator.parameters(), 1e-4), Adam([w for c in critics for w in c.parameters()], 1e-4)
        return LiteralTraining(generator, critics, optimizers, self.size.critic_steps)

    def literal_batch(self) -> TranslationBatch:
        """Return the batch as the rival takes it."""
        image, mask = self.batch[BatchKey.IMAGE], self.batch[BatchKey.TUMOUR_MASK]
        source, target = self.batch[BatchKey.SOURCE_MODALITY], self.batch[BatchKey.TARGET_MODALITY]
        return TranslationBatch(image, mask, source, target, self.batch[BatchKey.CASE_ID])


def our_cycle(trainer: TranslationTrainer, batch: dict[str, Any], critic_steps: int) -> dict[str, float]:
    """Run one cycle of iterations of the engine; return the last losses."""
    for _ in range(critic_steps):
        trainer.state.iteration += 1
        trainer._iteration(trainer, batch)
    return trainer.state.output  # type: ignore[no-any-return]


def literal_cycle(training: LiteralTraining, batch: TranslationBatch, critic_steps: int) -> dict[str, float]:
    """Run one cycle of iterations of the rival; return the last losses."""
    losses: dict[str, float] = {}
    for _ in range(critic_steps):
        losses |= training.step(batch)
    return losses


def difference(rivals: Rivals) -> float:
    """Return the largest relative difference of the losses after one cycle from the same start."""
    torch.manual_seed(1)
    ours = our_cycle(rivals.ours(), rivals.batch, rivals.size.critic_steps)
    torch.manual_seed(1)
    theirs = literal_cycle(rivals.literal(), rivals.literal_batch(), rivals.size.critic_steps)
    return max(abs(ours[name] - value) / max(1.0, abs(value)) for name, value in theirs.items())


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Compare both at one size.

    Raises:
        AssertionError: when they do not compute the same.
    """
    size = SIZES[name]
    rivals = Rivals(size)
    different = difference(rivals)
    if different > LOSS_TOLERANCE:
        raise AssertionError(f"losses differ by {different:.1e}: not the same mathematics")
    trainer, training = rivals.ours(), rivals.literal()
    batch = rivals.literal_batch()
    timings = take_turns(
        {
            "ours": lambda: our_cycle(trainer, rivals.batch, size.critic_steps),
            "literal": lambda: literal_cycle(training, batch, size.critic_steps),
            "matrix": matrix_product(),
        },
        rounds,
    )
    rate = count_flops(lambda: our_cycle(trainer, rivals.batch, size.critic_steps)) / timings["ours"].median
    faster, least, most = timings["ours"].ratio_to(timings["literal"])
    return {
        "size": asdict(size),
        "loss_difference": different,
        "times_faster": [faster, least, most],
        "seconds_per_cycle": timings["ours"].median,
        "share_of_matrix_rate": rate / matrix_rate(timings["matrix"]),
        "peak_mb": {side: _peak(name, side) for side in ("ours", "literal")},
        "rounds": rounds,
    }


def _peak(name: str, side: str) -> float:
    """Return the peak memory of two cycles of one side, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training_step", name, "--memory", side]
    return float(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)


def _memory_of(name: str, side: str) -> float:
    rivals = Rivals(SIZES[name])
    steps = rivals.size.critic_steps
    if side == "ours":
        trainer = rivals.ours()
        for _ in range(2):
            our_cycle(trainer, rivals.batch, steps)
    else:
        training, batch = rivals.literal(), rivals.literal_batch()
        for _ in range(2):
            literal_cycle(training, batch, steps)
    return peak_megabytes()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", choices=["ours", "literal"])
    arguments = parser.parse_args()
    if arguments.memory:
        sys.stdout.write(f"{_memory_of(arguments.size, arguments.memory)}\n")
    else:
        sys.stdout.write(json.dumps(measure(arguments.size, arguments.rounds), indent=4) + "\n")
