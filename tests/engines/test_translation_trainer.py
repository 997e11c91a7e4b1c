"""One training step: who is updated when, with which losses, and that it is the published game to the last digit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from utad_monai.engines import TranslationEvents, TranslationTrainer
from utad_monai.handlers import DistillationHandler
from utad_monai.keys import AdversarialGame, BatchKey, LossTerm, OutputKey, SecondInput, StudentScheme
from utad_monai.losses import LossWeights
from utad_monai.networks import ModalityCritic, TumourAwareGenerator, critic_pair, student_from_teacher

CRITIC_TERMS = {LossTerm.CRITIC_REAL, LossTerm.CRITIC_FAKE, LossTerm.CRITIC_MODALITY, LossTerm.CRITIC_GRADIENT_PENALTY}
GENERATOR_TERMS = {LossTerm.ADVERSARIAL, LossTerm.MODALITY, LossTerm.CYCLE, LossTerm.LOCAL}
TOTALS = {OutputKey.LOSS, OutputKey.CRITIC_LOSS}
SIZE = 32
LEARNING_RATE = 1e-3


@dataclass
class Players:
    """The three networks of a game."""

    generator: TumourAwareGenerator
    whole_critic: ModalityCritic
    tumour_critic: ModalityCritic

    @property
    def critics(self) -> tuple[ModalityCritic, ModalityCritic]:
        return self.whole_critic, self.tumour_critic


def make_players(
    scheme: StudentScheme = StudentScheme.COMPLETE,
    second: SecondInput = SecondInput.TUMOUR_IMAGE,
    seed: int = 0,
    game: AdversarialGame = AdversarialGame.WASSERSTEIN,
) -> Players:
    torch.manual_seed(seed)
    return Players(TumourAwareGenerator(2, scheme, second_input=second), *critic_pair((SIZE, SIZE), 2, 4, game))


def make_batch(count: int = 3, seed: int = 0) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    image, mask = torch.full((count, 1, SIZE, SIZE), -1.0), torch.zeros(count, 1, SIZE, SIZE)
    image[:, :, 4:28, 6:26] = torch.rand(count, 1, 24, 20, generator=draw) * 1.6 - 0.8
    mask[:, :, 10:16, 12:20] = 1
    return {
        BatchKey.IMAGE: image,
        BatchKey.TUMOUR_MASK: mask,
        BatchKey.SOURCE_MODALITY: torch.randint(4, (count,), generator=draw),
        BatchKey.TARGET_MODALITY: torch.randint(4, (count,), generator=draw),
        BatchKey.CASE_ID: [f"case_{place}" for place in range(count)],
    }


def make_trainer(
    players: Players, batches: Sequence[dict[str, Any]], critic_steps: int = 1, epochs: int = 1, **arguments: Any
) -> TranslationTrainer:
    return TranslationTrainer(
        "cpu",
        epochs,
        train_data_loader=batches,
        generator=players.generator,
        whole_critic=players.critics[0],
        tumour_critic=players.critics[1],
        generator_optimizer=SGD(players.generator.parameters(), LEARNING_RATE),
        critic_optimizer=SGD([weight for critic in players.critics for weight in critic.parameters()], LEARNING_RATE),
        critic_steps=critic_steps,
        **arguments,
    )


def run(players: Players, batches: Sequence[dict[str, Any]], **arguments: Any) -> dict[str, float]:
    trainer = make_trainer(players, batches, **arguments)
    trainer.run()
    return dict(trainer.state.output)


def weights_of(*networks: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for network in networks for weight in network.parameters()]


def gradients_of(*networks: nn.Module) -> list[Tensor | None]:
    return [None if weight.grad is None else weight.grad.clone() for net in networks for weight in net.parameters()]


def equal(before: Sequence[Tensor | None], after: Sequence[Tensor | None]) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(before, after, strict=True)
    )


@pytest.mark.parametrize("game", AdversarialGame)
def test_critic_only_iteration_leaves_the_generator_untouched_and_moves_both_critics(game: AdversarialGame) -> None:
    players = make_players(game=game)
    generator, whole, tumour = (weights_of(net) for net in (players.generator, *players.critics))
    run(players, [make_batch()], critic_steps=2)
    assert equal(generator, weights_of(players.generator))
    assert all(gradient is None for gradient in gradients_of(players.generator))
    assert not equal(whole, weights_of(players.whole_critic))
    assert not equal(tumour, weights_of(players.tumour_critic))


@pytest.mark.parametrize("game", AdversarialGame)
def test_generator_update_leaves_critic_weights_untouched_and_no_critic_gradients(game: AdversarialGame) -> None:
    players = make_players(game=game)
    seen: dict[str, Any] = {}

    def remember(_: Engine, name: str) -> None:
        seen[name] = (weights_of(*players.critics), gradients_of(*players.critics), weights_of(players.generator))

    trainer = make_trainer(players, [make_batch()])
    trainer.add_event_handler(TranslationEvents.CRITICS_UPDATED, remember, "before")
    trainer.add_event_handler(TranslationEvents.GENERATOR_UPDATED, remember, "after")
    trainer.run()
    assert any(gradient is not None for gradient in seen["before"][1])
    assert equal(seen["before"][0], seen["after"][0])
    assert all(gradient is None for gradient in seen["after"][1])
    assert not equal(seen["before"][2], seen["after"][2])


def test_gradients_leave_once_they_are_used() -> None:
    players, there = make_players(), []
    trainer = make_trainer(players, [make_batch()])
    trainer.add_event_handler(
        TranslationEvents.GENERATOR_UPDATED, lambda: there.extend(gradients_of(players.generator))
    )
    trainer.run()
    assert any(gradient is not None for gradient in there)
    assert all(gradient is None for gradient in gradients_of(players.generator, *players.critics))


@pytest.mark.parametrize("critic_steps", [1, 2, 3])
def test_generator_is_updated_at_multiples_of_critic_steps_across_epochs(critic_steps: int) -> None:
    players = make_players()
    trainer = make_trainer(players, [make_batch(seed=n) for n in range(4)], critic_steps=critic_steps, epochs=2)
    history = [(weights_of(players.generator), weights_of(*players.critics))]
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda _: history.append((weights_of(players.generator), weights_of(*players.critics))),
    )
    trainer.run()
    steps = list(pairwise(history))
    changed = [place for place, (before, after) in enumerate(steps, start=1) if not equal(before[0], after[0])]
    assert changed == [place for place in range(1, 9) if place % critic_steps == 0]
    assert not any(equal(before[1], after[1]) for before, after in steps)


@pytest.mark.parametrize("critic_steps", [0, -1])
def test_fewer_than_one_critic_step_is_refused(critic_steps: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {critic_steps}"):
        make_trainer(make_players(), [make_batch()], critic_steps=critic_steps)


def test_events_come_in_the_order_of_the_step() -> None:
    trainer = make_trainer(make_players(), [make_batch(), make_batch(seed=1)], critic_steps=2)
    fired: list[tuple[int, str]] = []
    for event in (*TranslationEvents, IterationEvents.MODEL_COMPLETED):
        trainer.add_event_handler(event, lambda engine, name: fired.append((engine.state.iteration, name)), event.name)
    trainer.run()
    assert fired == [
        (1, "CRITICS_UPDATED"),
        (1, "MODEL_COMPLETED"),
        (2, "CRITICS_UPDATED"),
        (2, "GENERATOR_FORWARD_COMPLETED"),
        (2, "GENERATOR_UPDATED"),
        (2, "MODEL_COMPLETED"),
    ]


def test_output_is_complete_when_the_model_has_completed() -> None:
    trainer = make_trainer(make_players(), [make_batch()])
    seen: list[set[str]] = []
    trainer.add_event_handler(IterationEvents.MODEL_COMPLETED, lambda engine: seen.append(set(engine.state.output)))
    trainer.run()
    assert seen == [TOTALS | CRITIC_TERMS | GENERATOR_TERMS]


def test_least_squares_have_every_term_but_the_penalty() -> None:
    output = run(make_players(game=AdversarialGame.LEAST_SQUARES), [make_batch()])
    assert set(output) == TOTALS | CRITIC_TERMS - {LossTerm.CRITIC_GRADIENT_PENALTY} | GENERATOR_TERMS
    squares = LossTerm.CRITIC_REAL, LossTerm.CRITIC_FAKE, LossTerm.ADVERSARIAL
    assert all(output[term] > 0 for term in squares)


def test_least_squares_draw_nothing_random() -> None:
    outputs = []
    for seed in (5, 6):
        players = make_players(game=AdversarialGame.LEAST_SQUARES)
        torch.manual_seed(seed)
        outputs.append(run(players, [make_batch()]))
    assert outputs[0] == outputs[1]


def test_least_squares_critics_are_asked_for_the_modality_of_each_image() -> None:
    batch, outputs = make_batch(), []
    for target in (0, 1):
        players = make_players(game=AdversarialGame.LEAST_SQUARES)
        with torch.no_grad():
            for critic in players.critics:
                critic.realness.weight[1] = critic.realness.weight[0] + 1
        batch[BatchKey.SOURCE_MODALITY].fill_(0)
        batch[BatchKey.TARGET_MODALITY].fill_(target)
        outputs.append(run(players, [batch], loss_weights=LossWeights(cycle=0, local=0, modality=0)))
    assert outputs[0][LossTerm.CRITIC_REAL] == outputs[1][LossTerm.CRITIC_REAL]
    assert outputs[0][LossTerm.CRITIC_FAKE] != pytest.approx(outputs[1][LossTerm.CRITIC_FAKE], rel=0.1)


def test_output_of_a_critic_only_iteration_has_loss_0_before_the_generators_first_update() -> None:
    output = run(make_players(), [make_batch()], critic_steps=2)
    assert set(output) == TOTALS | CRITIC_TERMS
    assert output[OutputKey.LOSS] == 0


def test_generators_losses_stay_in_the_output_until_its_next_update() -> None:
    trainer = make_trainer(make_players(), [make_batch(seed=n) for n in range(3)], critic_steps=2)
    outputs: list[dict[str, float]] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(dict(engine.state.output)))
    trainer.run()
    kept = {OutputKey.LOSS, *GENERATOR_TERMS}
    assert {name: outputs[2][name] for name in kept} == {name: outputs[1][name] for name in kept}
    assert outputs[2][OutputKey.CRITIC_LOSS] != outputs[1][OutputKey.CRITIC_LOSS]


def test_output_values_are_plain_floats() -> None:
    output = run(make_players(), [make_batch()])
    assert {type(value) for value in output.values()} == {float}


def test_totals_are_the_weighted_sums_of_the_terms() -> None:
    weights = LossWeights(
        critic_real=2, gradient_penalty=3, adversarial=0.5, cycle=7, local=0, identity=4, tumour_guidance=6
    )
    output = run(make_players(), [make_batch()], loss_weights=weights)
    critic = sum(weights.of(term) * output[term] for term in CRITIC_TERMS)
    generator = sum(
        weights.of(term) * output[term] for term in GENERATOR_TERMS | {LossTerm.IDENTITY, LossTerm.TUMOUR_GUIDANCE}
    )
    assert output[OutputKey.CRITIC_LOSS] == pytest.approx(critic, rel=1e-5)
    assert output[OutputKey.LOSS] == pytest.approx(generator, rel=1e-5)


def test_identity_term_appears_only_when_it_is_switched_on() -> None:
    batch = make_batch()
    batch[BatchKey.TARGET_MODALITY] = batch[BatchKey.SOURCE_MODALITY].clone()
    assert LossTerm.IDENTITY not in run(make_players(), [batch])
    assert run(make_players(), [batch], loss_weights=LossWeights(identity=1))[LossTerm.IDENTITY] > 0


def test_guidance_term_appears_only_when_it_is_switched_on() -> None:
    assert LossTerm.TUMOUR_GUIDANCE not in run(make_players(), [make_batch()])
    assert (
        run(make_players(), [make_batch()], loss_weights=LossWeights(tumour_guidance=1))[LossTerm.TUMOUR_GUIDANCE] > 0
    )


def test_adversarial_term_alone_moves_the_generator() -> None:
    players = make_players()
    before = weights_of(players.generator)
    run(players, [make_batch()], loss_weights=LossWeights(modality=0, cycle=0, local=0))
    assert not equal(before, weights_of(players.generator))


def test_critics_can_learn_again_after_a_generator_update_even_when_a_handler_fails() -> None:
    players = make_players()
    trainer = make_trainer(players, [make_batch()])

    def fail(_: Engine) -> None:
        assert not any(weight.requires_grad for critic in players.critics for weight in critic.parameters())
        raise ZeroDivisionError

    trainer.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, fail)
    with pytest.raises(ZeroDivisionError):
        trainer.run()
    assert all(weight.requires_grad for critic in players.critics for weight in critic.parameters())


def test_term_that_a_handler_adds_is_trained_and_reported() -> None:
    plain, taught = make_players(), make_players()

    def add(engine: Engine) -> None:
        assert isinstance(engine, TranslationTrainer)
        assert engine.translation is not None
        engine.generator_terms[LossTerm.IMAGE_DISTILLATION] = engine.translation.image.square().mean()

    trainer = make_trainer(taught, [make_batch()])
    trainer.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, add)
    torch.manual_seed(3)
    trainer.run()
    torch.manual_seed(3)
    output = run(plain, [make_batch()])
    extra = trainer.state.output[LossTerm.IMAGE_DISTILLATION]
    assert extra > 0
    assert trainer.state.output[OutputKey.LOSS] == pytest.approx(output[OutputKey.LOSS] + 10 * extra, rel=1e-5)
    assert not equal(weights_of(plain.generator), weights_of(taught.generator))


@pytest.mark.parametrize("trouble", ["short last batch", "empty mask", "one blank slice", "all slices blank"])
def test_losses_and_weights_stay_finite(trouble: str) -> None:
    batches = [make_batch(), make_batch(seed=1)]
    if trouble == "short last batch":
        batches.append(make_batch(count=1, seed=2))
    elif trouble == "empty mask":
        batches[1][BatchKey.TUMOUR_MASK].zero_()
    else:
        blank = slice(0, 1) if trouble == "one blank slice" else slice(None)
        batches[1][BatchKey.IMAGE][blank] = -1
        batches[1][BatchKey.TUMOUR_MASK][blank] = 0
    players = make_players()
    trainer = make_trainer(players, batches)
    outputs: list[dict[str, float]] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(dict(engine.state.output)))
    trainer.run()
    assert len(outputs) == len(batches)
    assert all(math.isfinite(value) for output in outputs for value in output.values())
    assert all(bool(torch.isfinite(weight).all()) for weight in weights_of(players.generator, *players.critics))


def test_same_seed_gives_the_same_first_iteration() -> None:
    outputs = []
    for seed in (5, 5, 6):
        players = make_players()
        torch.manual_seed(seed)
        outputs.append(run(players, [make_batch()]))
    assert outputs[0] == outputs[1]
    assert outputs[0][LossTerm.CRITIC_GRADIENT_PENALTY] != outputs[2][LossTerm.CRITIC_GRADIENT_PENALTY]


@pytest.mark.parametrize("second", SecondInput)
@pytest.mark.parametrize("scheme", StudentScheme)
def test_every_scheme_trains_with_local_terms_only_where_it_has_a_tumour_decoder(
    scheme: StudentScheme, second: SecondInput
) -> None:
    players = make_players(scheme, second)
    generator, whole, tumour = (weights_of(net) for net in (players.generator, *players.critics))
    output = run(players, [make_batch()], loss_weights=LossWeights(tumour_guidance=1))
    has_decoder = scheme not in (StudentScheme.GLOBAL_ONLY, StudentScheme.NO_TUMOUR_DECODER)
    assert (LossTerm.LOCAL in output) == has_decoder
    assert (LossTerm.TUMOUR_GUIDANCE in output) == has_decoder
    assert all(math.isfinite(value) for value in output.values())
    assert not equal(generator, weights_of(players.generator))
    assert not equal(whole, weights_of(players.whole_critic))
    assert equal(tumour, weights_of(players.tumour_critic)) != has_decoder


class WatchedBatch(dict[str, Any]):
    """A batch that remembers which of its entries were read."""

    def __init__(self, entries: dict[str, Any]) -> None:
        super().__init__(entries)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)


def test_nothing_but_one_unpaired_image_per_sample_enters() -> None:
    batch = WatchedBatch(make_batch() | {"target_image": torch.zeros(3, 1, SIZE, SIZE)})
    run(make_players(), [batch])
    assert batch.read == {
        BatchKey.IMAGE,
        BatchKey.TUMOUR_MASK,
        BatchKey.SOURCE_MODALITY,
        BatchKey.TARGET_MODALITY,
        BatchKey.CASE_ID,
    }
    assert batch[BatchKey.IMAGE].shape == (3, 1, SIZE, SIZE)


def test_student_step_needs_no_mask_for_its_translation() -> None:
    outputs = []
    for masked in (True, False):
        players, batch = make_players(second=SecondInput.WHOLE_IMAGE), make_batch()
        if not masked:
            batch[BatchKey.TUMOUR_MASK].zero_()
        torch.manual_seed(1)
        outputs.append(run(players, [batch]))
    assert outputs[0][LossTerm.CYCLE] == outputs[1][LossTerm.CYCLE]
    assert outputs[0][LossTerm.LOCAL] != outputs[1][LossTerm.LOCAL]


def test_teachers_translation_depends_on_the_mask() -> None:
    cycles = []
    for masked in (True, False):
        players, batch = make_players(), make_batch()
        if not masked:
            batch[BatchKey.TUMOUR_MASK].zero_()
        torch.manual_seed(1)
        cycles.append(run(players, [batch])[LossTerm.CYCLE])
    assert cycles[0] != cycles[1]


def reference_step(players: Players, batch: dict[str, Any], teacher: TumourAwareGenerator | None) -> dict[str, float]:
    """Play one iteration the way docs/method.md writes it, term by term, with two forward passes."""
    generator = players.generator
    x, mask = batch[BatchKey.IMAGE], batch[BatchKey.TUMOUR_MASK]
    s, m = batch[BatchKey.SOURCE_MODALITY], batch[BatchKey.TARGET_MODALITY]
    t = torch.where(mask > 0, x, -torch.ones_like(x))

    def translate(image: Tensor, target: Tensor) -> Any:
        inside = torch.where(mask > 0, image, -torch.ones_like(image))
        return generator(image, image if teacher is not None else inside, target)

    x_fake, t_fake, _ = translate(x, m)
    critic_loss, penalties = torch.zeros(()), torch.zeros(())
    for critic, real, fake in ((players.whole_critic, x, x_fake), (players.tumour_critic, t, t_fake)):
        alpha = torch.rand(len(real), 1, 1, 1, dtype=real.dtype)
        h = (alpha * real + (1 - alpha) * fake.detach()).requires_grad_()
        (slope,) = torch.autograd.grad(critic(h).realness.sum(), h, create_graph=True)
        penalty = torch.stack([(torch.sqrt((sample**2).sum()) - 1) ** 2 for sample in slope]).mean()
        penalties = penalties + penalty
        critic_loss = critic_loss - critic(real).realness.mean() + critic(fake.detach()).realness.mean()
        critic_loss = critic_loss + functional.cross_entropy(critic(real).modality_logits, s) + 10 * penalty
    descend(critic_loss, *players.critics)

    x_fake, t_fake, f = translate(x, m)
    x_back, t_back, _ = translate(x_fake, s)
    adversarial = -players.whole_critic(x_fake).realness.mean() - players.tumour_critic(t_fake).realness.mean()
    modality = functional.cross_entropy(players.whole_critic(x_fake).modality_logits, m)
    modality = modality + functional.cross_entropy(players.tumour_critic(t_fake).modality_logits, m)
    cycle = (x - x_back).abs().mean()
    local = (t_fake - torch.where(mask > 0, x_fake, -torch.ones_like(x))).abs().mean() + (t - t_back).abs().mean()
    loss = adversarial + modality + 10 * cycle + 10 * local
    terms = {LossTerm.ADVERSARIAL: adversarial, LossTerm.MODALITY: modality, LossTerm.CYCLE: cycle}
    terms |= {LossTerm.LOCAL: local, LossTerm.CRITIC_GRADIENT_PENALTY: penalties}
    if teacher is not None:
        with torch.no_grad():
            x_taught, _, f_taught = teacher(x, t, m)
        terms[LossTerm.IMAGE_DISTILLATION] = (x_fake - x_taught).abs().mean()
        terms[LossTerm.FEATURE_DISTILLATION] = (f - f_taught).abs().mean()
        loss = loss + 10 * terms[LossTerm.IMAGE_DISTILLATION] + 10 * terms[LossTerm.FEATURE_DISTILLATION]
    descend(loss, generator)
    totals = {OutputKey.LOSS: loss, OutputKey.CRITIC_LOSS: critic_loss}
    return {str(name): float(value.detach()) for name, value in (terms | totals).items()}


def descend(loss: Tensor, *networks: nn.Module) -> None:
    """Take one step of gradient descent on the weights that the loss reaches."""
    weights = [weight for network in networks for weight in network.parameters()]
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.data -= LEARNING_RATE * gradient


@pytest.mark.parametrize("distilled", [False, True], ids=["teacher", "student"])
def test_step_equals_the_method_written_out(distilled: bool) -> None:
    ours, theirs = (make_players() for _ in range(2))
    teacher: TumourAwareGenerator | None = None
    if distilled:
        teacher = make_players(seed=9).generator.double().eval()
        for players in (ours, theirs):
            torch.manual_seed(4)
            players.generator = student_from_teacher(teacher, StudentScheme.COMPLETE)
    for network in (ours.generator, *ours.critics, theirs.generator, *theirs.critics):
        network.double()
    batches = [make_batch(), make_batch(count=2, seed=1)]
    for batch in batches:
        batch |= {key: batch[key].double() for key in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK)}
    torch.manual_seed(11)
    expected = [reference_step(theirs, batch, teacher) for batch in batches]
    handlers: list[Any] = [] if teacher is None else [DistillationHandler(teacher)]
    trainer = make_trainer(ours, batches, train_handlers=handlers)
    outputs: list[dict[str, float]] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(dict(engine.state.output)))
    torch.manual_seed(11)
    trainer.run()
    for output, reference in zip(outputs, expected, strict=True):
        assert {name: output[name] for name in reference} == pytest.approx(reference, abs=1e-5)
    moved = make_players(seed=0).whole_critic.double()
    assert not equal(weights_of(moved), weights_of(ours.whole_critic))
    for network, other in zip((ours.generator, *ours.critics), (theirs.generator, *theirs.critics), strict=True):
        for weight, reference in zip(weights_of(network), weights_of(other), strict=True):
            torch.testing.assert_close(weight, reference, rtol=0, atol=1e-8)


def test_epochs_go_on_counting_iterations() -> None:
    trainer = make_trainer(make_players(), [make_batch(), make_batch(seed=1)], epochs=2)
    trainer.run()
    assert (trainer.state.epoch, trainer.state.iteration) == (2, 4)


@pytest.mark.parametrize("scheme", [StudentScheme.GLOBAL_ONLY, StudentScheme.SEPARATE_BRANCHES])
def test_parts_of_a_batch_give_the_updates_of_the_whole(scheme: StudentScheme) -> None:
    """Of generators without BatchNorm, whose statistics are those of a part."""
    batch = make_batch(4) | {BatchKey.BETWEEN: torch.rand(4, 2, generator=torch.Generator().manual_seed(5))}
    batch |= {key: batch[key].double() for key in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK, BatchKey.BETWEEN)}
    whole, parts = make_players(scheme), make_players(scheme)
    for network in (whole.generator, *whole.critics, parts.generator, *parts.critics):
        network.double()  # in float32 a rounding error turns a LeakyReLU, and with it a gradient
    losses = [run(players, [batch] * 4, critic_steps=2, accumulate=n) for players, n in ((whole, 1), (parts, 3))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    expected, found = (weights_of(players.generator, *players.critics) for players in (whole, parts))
    assert all(float((a - b).abs().max()) < 1e-9 for a, b in zip(expected, found, strict=True))


def test_bfloat16_trains_close_to_float32_and_keeps_float32_weights() -> None:
    batch = make_batch(4) | {BatchKey.BETWEEN: torch.full((4, 2), 0.5)}
    exact, half = make_players(), make_players()
    losses = [run(players, [batch], amp=amp) for players, amp in ((exact, ""), (half, "bfloat16"))]
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.05, abs=0.05)
    assert {weight.dtype for weight in weights_of(half.generator, *half.critics)} == {torch.float32}


@pytest.mark.parametrize(("name", "value"), [("accumulate", 0), ("amp", "int8")])
def test_senseless_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=str(value)):
        make_trainer(make_players(), [make_batch()], **{name: value})
