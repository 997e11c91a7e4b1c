"""The average of the generator's weights; switched off it is the generator itself."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

from utad_monai.handlers import GeneratorAverage
from utad_monai.networks import TumourAwareGenerator


@pytest.fixture
def generator() -> TumourAwareGenerator:
    torch.manual_seed(0)
    return TumourAwareGenerator(1)


def moved_by_one(generator: TumourAwareGenerator) -> Engine:
    """Return an engine that adds 1 to the head's bias in every iteration."""

    def step(_engine: Engine, _batch: int) -> None:
        with torch.no_grad():
            generator.image_decoder.head.bias.add_(1)

    return Engine(step)


def test_switched_off_it_is_the_generator_itself(generator: TumourAwareGenerator) -> None:
    average = GeneratorAverage(generator)
    engine = moved_by_one(generator)
    average.attach(engine)
    assert average.network is generator
    engine.run([0, 0], max_epochs=1)
    assert average.network is generator
    assert generator.image_decoder.head.bias.item() == 2


def test_average_starts_at_the_generator_and_follows_it(generator: TumourAwareGenerator) -> None:
    average = GeneratorAverage(generator, decay=0.9)
    assert average.network is not generator
    assert average.network.image_decoder.head.bias.item() == 0
    engine = moved_by_one(generator)
    average.attach(engine)
    followed = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda _: followed.append(average.network.image_decoder.head.bias.item())
    )
    engine.run([0] * 4, max_epochs=1)
    assert generator.image_decoder.head.bias.item() == 4
    assert all(0 < follower < leader for leader, follower in enumerate(followed, start=1))
    assert followed == sorted(followed)


def test_average_of_constant_weights_is_the_weights(generator: TumourAwareGenerator) -> None:
    average = GeneratorAverage(generator, decay=0.99)
    engine = Engine(lambda *_: None)
    average.attach(engine)
    engine.run([0] * 20, max_epochs=1)
    for ours, theirs in zip(average.network.parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_decay_is_the_share_of_the_old_average_after_the_warm_up(generator: TumourAwareGenerator) -> None:
    average = GeneratorAverage(generator, decay=0.9)
    engine = Engine(lambda *_: None)
    average.attach(engine)
    engine.run([0] * 150, max_epochs=1)
    with torch.no_grad():
        generator.image_decoder.head.bias.fill_(1)
    engine.run([0], max_epochs=1)
    assert average.network.image_decoder.head.bias.item() == pytest.approx(0.1, abs=1e-5)


def test_batch_statistics_are_the_generators(generator: TumourAwareGenerator) -> None:
    average = GeneratorAverage(generator, decay=0.9)
    engine = Engine(lambda *_: None)
    average.attach(engine)
    assert generator.fusion is not None
    generator.fusion.layers[0][1].running_mean.fill_(3)
    engine.run([0], max_epochs=1)
    assert average.network.fusion is not None
    assert average.network.fusion.layers[0][1].running_mean.unique().tolist() == [3]


def test_average_can_be_saved_as_a_generator(generator: TumourAwareGenerator) -> None:
    network = GeneratorAverage(generator, decay=0.5).network
    assert network.description() == generator.description()


@pytest.mark.parametrize("share", [-0.1, 1.0, 2])
def test_shares_outside_their_range_are_refused(generator: TumourAwareGenerator, share: float) -> None:
    with pytest.raises(ValueError, match=r"decay .*\[0, 1\)"):
        GeneratorAverage(generator, share)
    with pytest.raises(ValueError, match=r"start_share .*\[0, 1\)"):
        GeneratorAverage(generator, start_share=share)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_start_weights_have_their_share_at_the_end_of_each_epoch(generator: TumourAwareGenerator, decay: float) -> None:
    plain, average = GeneratorAverage(generator, decay), GeneratorAverage(generator, decay, start_share=0.25)
    engine = moved_by_one(generator)
    plain.attach(engine)
    average.attach(engine)
    for _ in range(2):
        engine.run([0, 0], max_epochs=1)
        expected = 0.75 * plain.network.image_decoder.head.bias.item()
        assert expected > 0
        assert average.network.image_decoder.head.bias.item() == pytest.approx(expected, rel=1e-4)


def test_resumed_average_has_the_start_weights_of_the_earlier_run(generator: TumourAwareGenerator) -> None:
    average = GeneratorAverage(generator, 0.9, start_share=0.5)
    engine = moved_by_one(generator)
    average.attach(engine)
    engine.run([0, 0], max_epochs=1)
    resumed = GeneratorAverage(generator, 0.9, start_share=0.5)  # begins, wrongly, with trained weights
    resumed.attach(engine)
    resumed.load_state_dict(average.state_dict())
    expected = average.network.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in resumed.network.state_dict().items())


def test_resumed_average_refuses_another_share(generator: TumourAwareGenerator) -> None:
    state = GeneratorAverage(generator, start_share=0.5).state_dict()
    with pytest.raises(ValueError, match=r"was 0\.5 \(start_share\)"):
        GeneratorAverage(generator).load_state_dict(state)
