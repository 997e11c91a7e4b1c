"""What each lever of the shipped recipe's step is worth: the step without it, or with one that was left out, and ours.

They take turns in processes of one thread, and count their processor's seconds: other programs change those less than
a clock's.

python -m benchmarks.levers teacher
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from enum import StrEnum
from functools import partial
from statistics import median
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor
from torch.optim import Adam

from benchmarks.literal import literal_layers
from benchmarks.paired import RivalProcess, Timing, serve, take_turns
from benchmarks.training_step import Rivals, Role, Size, make_batch, our_cycle
from utad_monai.bundle.configs import bundles_dir
from utad_monai.data import Preprocessing, SliceStore
from utad_monai.engines import TranslationTrainer, translation_trainer
from utad_monai.handlers import DistillationHandler, StarterAnchor, StopOnNonFinite
from utad_monai.keys import BatchKey
from utad_monai.networks import Judgement, student_from_teacher
from utad_monai.runtime.workers import keep_freed_memory

STEPS = 3
"""Training steps of a turn."""
OURS = "ours"


class Kept(StrEnum):
    """What the step has."""

    MEMORY = "freed memory is kept"
    LAYERS = "InstanceNorm as GroupNorm, activations in place"
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


class Recipe(Rivals):
    """Networks, losses and handlers of `bundles/teacher.json` or `student.json`, and a made-up batch.

    Args:
        role: which generator is trained.
        changed: other values for keys of the teacher's bundle.
    """

    def __init__(self, role: Role, **changed: Any) -> None:
        teacher: Any = ConfigParser.load_config_file(bundles_dir() / "teacher.json") | changed
        teacher["critics"]["image_size"] = "@image_size"  # no cohort, no brain box
        parser = ConfigParser(teacher)
        self.generator, self.critics = map(parser.get_parsed_content, ("network_def", "critics"))
        parser.get_parsed_content("start")
        self.teacher = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.flips = bool(teacher["anchor_flips"])
        if role is Role.STUDENT:
            parser = ConfigParser(ConfigParser.load_config_file(bundles_dir() / "student.json"))
            self.generator = student_from_teacher(self.teacher, parser["scheme"], parser["warm_tumour_encoder"])
        self.loss_weights = parser.get_parsed_content("loss_weights")
        networks = (teacher[name] for name in ("base_channels", "critic_channels", "critic_layers"))
        sizes = [tuple(teacher["image_size"])] * 3
        self.size = Size(*networks, *sizes, teacher["batch_size"], teacher["critic_steps"])
        self.batch = make_batch(self.size, torch.float32)

    def handlers(self) -> list[Any]:
        """Return the teacher's anchor, or the student's distillation."""
        if not self.loss_weights.anchor:
            return [DistillationHandler(self.teacher)]
        anchor = StarterAnchor("", SliceStore((), Preprocessing()), cases=(), flips=self.flips)
        anchor.starter = self.teacher
        return [anchor]


def cycle(rivals: Rivals, lever: str) -> Callable[[], object]:
    """Return one cycle of the engine without a kept lever, or with one that was left out, or with a guard."""
    if lever != Kept.MEMORY:
        keep_freed_memory()
    if lever == Kept.LAYERS:
        rivals.generator = literal_layers(rivals.generator)
        rivals.critics = literal_layers(rivals.critics[0]), literal_layers(rivals.critics[1])
        rivals.teacher = rivals.teacher and literal_layers(rivals.teacher)
    trainer = rivals.ours()
    _CHANGES.get(lever, lambda *_: None)(trainer, rivals)
    return lambda: our_cycle(trainer, rivals.batch, rivals.size.critic_steps)


def _pass_by_pass(trainer: TranslationTrainer, _: Rivals) -> None:
    changed: Any = trainer
    critics, generator = trainer._critic_losses, trainer._generator_losses
    changed._critic_losses = lambda batch, **_: critics(batch, keep_graph=True)
    changed._generator_losses = lambda batch, **_: generator(batch, translated=False)


def _unfrozen(*_: object) -> None:
    translation_trainer._frozen = lambda *_: nullcontext()


def _one_by_one(trainer: TranslationTrainer, _: Rivals) -> None:
    changed: Any = copy.copy(trainer.adversarial_loss)
    together = changed.critic
    changed.critic = lambda critic, *given, **more: together(partial(_real_and_fake_apart, critic), *given, **more)
    trainer.adversarial_loss = changed


def _real_and_fake_apart(critic: Callable[[Tensor], Judgement], images: Tensor) -> Judgement:
    return Judgement(*map(torch.cat, zip(*map(critic, images.chunk(2)), strict=True)))


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


_CHANGES: dict[str, Callable[[TranslationTrainer, Rivals], None]] = {
    Kept.SHARED_PASS: _pass_by_pass,
    Kept.FROZEN: _unfrozen,
    Kept.TOGETHER: _one_by_one,
    Guard.NON_FINITE: _guarded,
    LeftOut.CHANNELS_LAST: _channels_last,
    LeftOut.FUSED_ADAM: _fused,
    LeftOut.COMPILED: _compiled,
}


def measure(role: Role, levers: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return, for every lever, how many times faster the step is with it than without."""
    timings = {lever: beside_ours(role, lever, rounds) for lever in levers}
    faster = {lever: list(ours.ratio_to(without)) for lever, (ours, without) in timings.items()}
    left_out = {lever: list(timings[lever][1].ratio_to(timings[lever][0])) for lever in LeftOut if lever in timings}
    return {
        "role": role,
        "seconds of a step": median(ours.median for ours, _ in timings.values()) / STEPS,
        "kept, times faster with it": {lever: faster[lever] for lever in Kept if lever in faster},
        "left out, times faster with it": left_out,
        "times faster without it": {lever: faster[lever] for lever in Guard if lever in faster},
        "rounds": rounds,
        "steps of a round": STEPS,
    }


def beside_ours(role: Role, lever: str, rounds: int) -> tuple[Timing, Timing]:
    """Let the step as it is and that of a lever take turns; two processes at a time, which keep their memory."""
    rivals = {name: RivalProcess("-m", "benchmarks.levers", role, "--serve", name) for name in (OURS, lever)}
    timings = take_turns(rivals, rounds, of_processor=True)
    for rival in rivals.values():
        rival.peak_megabytes()
    return timings[OURS], timings[lever]


def serve_lever(role: Role, lever: str) -> None:
    """Be the process of one lever."""
    torch.set_num_threads(1)
    step = cycle(Recipe(role), lever)
    serve(lambda: [step() for _ in range(STEPS)])


if __name__ == "__main__":
    every = [*Kept, *LeftOut, *Guard]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", type=Role, choices=list(Role))
    parser.add_argument("--lever", action="append", choices=every)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve")
    given = parser.parse_args()
    if given.serve:
        serve_lever(given.role, given.serve)
    else:
        print(json.dumps(measure(given.role, given.lever or every, given.rounds), indent=4))
