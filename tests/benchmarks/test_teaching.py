from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import teaching
from benchmarks.everything import BENCHMARKS
from benchmarks.paired import Timing
from benchmarks.teaching import Rivals, Setting, measure, teaching_config
from utad_monai.keys import BatchKey
from utad_monai.phantom import TeachingBrains

TINY = Setting(sizes=[[32, 32], [48, 32]], shares=[0.5, 0.5], batch_size=2, base_channels=2)


def test_what_is_measured_is_what_is_taught() -> None:
    config, setting = teaching_config(), Setting()
    names = {"slice_sizes": "sizes", "size_shares": "shares"}
    for name in ("slice_sizes", "size_shares", "batch_size", "base_channels", "scheme", "second_input"):
        assert getattr(setting, names.get(name, name)) == config[name]
    network = {name: config["network_def"][name] for name in ("sources", "conditional_norms", "gain_head")}
    assert network == {"sources": "several", "conditional_norms": True, "gain_head": True}


def test_both_work_on_the_same_batches(teaching_brains: TeachingBrains) -> None:
    rivals = Rivals(teaching_brains, TINY, 3)
    for number, batch in zip(rivals.numbers, rivals.batches, strict=True):
        assert torch.equal(rivals.dataset[number][BatchKey.IMAGE], batch[BatchKey.IMAGE])
    before = [weight.clone() for weight in rivals.trainer.generator.parameters()]
    rivals.draw()
    assert all(map(torch.equal, before, rivals.trainer.generator.parameters()))
    rivals.train()
    assert not all(map(torch.equal, before, rivals.trainer.generator.parameters()))


@pytest.mark.parametrize(("seconds", "share", "starved"), [(1.0, 0.1, False), (6.0, 0.6, True)])
def test_it_says_whether_teaching_is_starved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, share: float, starved: bool
) -> None:
    timings = {"draw": Timing((seconds, seconds)), "train": Timing((10.0, 10.0))}
    monkeypatch.setattr(teaching, "take_turns", lambda *_: timings)
    found = measure(TINY, tmp_path, brains=2, batches=4, rounds=2)
    assert found["drawing_as_share_of_training"] == pytest.approx([share] * 3)
    assert found["starved"] is starved
    assert found["batches_drawn_per_second"] == pytest.approx(4 / seconds)
    assert found["training_steps_per_second"] == pytest.approx(0.4)
    assert sum(found["sizes"].values()) == 4


def test_it_is_one_of_everything() -> None:
    assert BENCHMARKS["teaching"] == ("benchmarks.teaching",)
