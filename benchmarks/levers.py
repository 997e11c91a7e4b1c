"""What each lever of the training step is worth: the step without it, or with one that was left out, in turn with ours.

python -m benchmarks.levers demo --rounds 15
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import nullcontext
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from benchmarks.literal import plain_layers, plain_norms
from benchmarks.paired import RivalProcess, serve, take_turns
from benchmarks.training_step import SIZES, Rivals, Size, our_cycle
from utad_monai.engines import TranslationTrainer, translation_trainer
from utad_monai.handlers import StopOnNonFinite
from utad_monai.keys import BatchKey, LossTerm
from utad_monai.losses import WassersteinLoss, gradient_penalty
from utad_monai.losses.adversarial import Critic
from utad_monai.networks.cpu_layers import BilinearDoubling, NarrowConv2d, PairMaxPool2d, PlaneSum
from utad_monai.runtime.workers import keep_freed_memory

OURS = "ours"


class Kept(StrEnum):
    """What the step has."""

    MEMORY = "freed memory is kept"
    LAYERS = "InstanceNorm as GroupNorm, activations in place"
    NARROW = "gradients of narrow convolutions"
    HEAD = "the last convolution as a matrix product"
    POOL = "the greatest of a window by rows, then columns"
    UPSAMPLE = "gradient of upsampling by rows, then columns"
    SHARED_PASS = "one forward pass for both players, no graph for critics alone"
    FROZEN = "critics are frozen while the generator trains"
    TOGETHER = "real and fake in one pass of a critic"


class Guard(StrEnum):
    """What watches the step, and costs time."""

    NON_FINITE = "the guard against NaN and infinity"


class LeftOut(StrEnum):
    """What the step does without."""

    CHANNELS_LAST = "channels_last"
    FUSED_ADAM = "fused Adam"
    COMPILED = "compiled generator"


def cycle(size: Size, lever: str) -> Callable[[], object]:
    """Return one cycle of the engine without a kept lever, or with one that was left out, or with a guard."""
    if lever != Kept.MEMORY:
        keep_freed_memory()
    rivals = Rivals(size)
    if change_layers := _LAYERS.get(lever):
        rivals.generator = change_layers(rivals.generator)
        rivals.critics = change_layers(rivals.critics[0]), change_layers(rivals.critics[1])
    trainer = rivals.ours()
    _CHANGES.get(lever, lambda *_: None)(trainer, rivals)
    return lambda: our_cycle(trainer, rivals.batch, size.critic_steps)


def _pass_by_pass(trainer: TranslationTrainer, _: Rivals) -> None:
    changed: Any = trainer
    critics, generator = trainer._critic_losses, trainer._generator_losses
    changed._critic_losses = lambda batch, **_: critics(batch, keep_graph=True)
    changed._generator_losses = lambda batch, **_: generator(batch, translated=False)


def _unfrozen(*_: object) -> None:
    translation_trainer._frozen = lambda *_: nullcontext()


def _one_by_one(trainer: TranslationTrainer, _: Rivals) -> None:
    trainer.adversarial_loss = _RealAndFakeApart()


class _RealAndFakeApart(WassersteinLoss):
    def critic(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        source_modality: Tensor,
        target_modality: Tensor,  # noqa: ARG002
        *,
        alpha: Tensor | None = None,
    ) -> dict[LossTerm, Tensor]:
        fake = fake.detach()
        on_real, on_fake = critic(real), critic(fake)
        return {
            LossTerm.CRITIC_REAL: -on_real.realness.mean(),
            LossTerm.CRITIC_FAKE: on_fake.realness.mean(),
            LossTerm.CRITIC_MODALITY: torch.nn.functional.cross_entropy(on_real.modality_logits, source_modality),
            LossTerm.CRITIC_GRADIENT_PENALTY: gradient_penalty(critic, real, fake, alpha),
        }


def _channels_last(trainer: TranslationTrainer, rivals: Rivals) -> None:
    for network in (trainer.generator, trainer.whole_critic, trainer.tumour_critic):
        network.to(memory_format=torch.channels_last)
    image = rivals.batch[BatchKey.IMAGE]
    rivals.batch[BatchKey.IMAGE] = image.contiguous(memory_format=torch.channels_last)


def _fused(trainer: TranslationTrainer, _: Rivals) -> None:
    fused = partial(Adam, lr=1e-4, fused=True)
    critics = (trainer.whole_critic, trainer.tumour_critic)
    trainer.generator_optimizer = fused(trainer.generator.parameters())
    trainer.critic_optimizer = fused([weight for critic in critics for weight in critic.parameters()])


def _compiled(trainer: TranslationTrainer, _: Rivals) -> None:
    trainer.generator = torch.compile(trainer.generator)  # type: ignore[assignment]


def _guarded(trainer: TranslationTrainer, _: Rivals) -> None:
    changed: Any = trainer
    iteration, guard = trainer._iteration, StopOnNonFinite()

    def guarded_iteration(engine: TranslationTrainer, batch: dict[str, Any]) -> object:
        output = iteration(engine, batch)
        guard(engine)
        return output

    changed._iteration = guarded_iteration


_LAYERS: dict[str, Callable[[Any], Any]] = {
    Kept.LAYERS: plain_norms,
    Kept.NARROW: partial(plain_layers, kinds=[NarrowConv2d]),
    Kept.HEAD: partial(plain_layers, kinds=[PlaneSum]),
    Kept.POOL: partial(plain_layers, kinds=[PairMaxPool2d]),
    Kept.UPSAMPLE: partial(plain_layers, kinds=[BilinearDoubling]),
}
_CHANGES: dict[str, Callable[[TranslationTrainer, Rivals], None]] = {
    Kept.SHARED_PASS: _pass_by_pass,
    Kept.FROZEN: _unfrozen,
    Kept.TOGETHER: _one_by_one,
    Guard.NON_FINITE: _guarded,
    LeftOut.CHANNELS_LAST: _channels_last,
    LeftOut.FUSED_ADAM: _fused,
    LeftOut.COMPILED: _compiled,
}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Return, for every lever, how many times faster the step is with it than without."""
    levers = [OURS, *Kept, *LeftOut, *Guard]
    rivals = {lever: RivalProcess("-m", "benchmarks.levers", name, "--serve", lever) for lever in levers}
    timings = take_turns(rivals, rounds)
    for rival in rivals.values():
        rival.peak_megabytes()
    ours = timings[OURS]
    return {
        "size": name,
        "kept, times faster with it": {str(lever): list(ours.ratio_to(timings[lever])) for lever in Kept},
        "left out, times faster with it": {str(lever): list(timings[lever].ratio_to(ours)) for lever in LeftOut},
        "times faster without it": {str(guard): list(ours.ratio_to(timings[guard])) for guard in Guard},
        "rounds": rounds,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--serve")
    given = parser.parse_args()
    if given.serve:
        serve(cycle(SIZES[given.size], given.serve))
    else:
        print(json.dumps(measure(given.size, given.rounds), indent=4))
