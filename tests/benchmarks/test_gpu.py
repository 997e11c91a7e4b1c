"""The GPU's benchmark runs without one, small, and says what it needs otherwise."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import PRECISIONS, Recipe, against_processor, picture
from benchmarks.training_step import SIZES, make_batch
from utad_monai.keys import AdversarialGame, BatchKey


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
    return gpu.main()


def test_without_a_gpu_it_says_so_in_one_line_and_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(monkeypatch, "--output", str(tmp_path / "gpu")) == 2
    assert capsys.readouterr().out.count("\n") == 1
    assert not (tmp_path / "gpu").exists()


def test_it_runs_small_on_a_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_cohort: Path
) -> None:
    small = ("--device", "cpu", "--steps", "2", "--small", "--cohort", str(tiny_cohort))
    assert run(monkeypatch, *small, "--output", str(tmp_path)) == 0
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    trained = {(one["recipe"], one["precision"]): one for one in lines if "precision" in one}
    assert set(trained) == {(recipe, number) for recipe in gpu.RECIPES for number in ("float32", "bfloat16")}
    assert all(one["finite"] and len(one["losses"]["loss"]) == 2 for one in trained.values())
    for recipe in gpu.RECIPES:
        assert (tmp_path / f"gpu_{recipe}.png").is_file()
        exact, half = (trained[recipe, number]["losses"]["critic_loss"][0] for number in ("float32", "bfloat16"))
        assert half == pytest.approx(exact, rel=0.05)
        assert half != exact
    assert all(one["flop_per_cycle"] > 0 for one in lines if "flop_per_cycle" in one)
    assert "| published | bfloat16 |" in capsys.readouterr().out


def test_recipes_are_those_of_their_bundles() -> None:
    published, today = (Recipe.of(name) for name in gpu.RECIPES)
    assert [published[key] for key in ("base_channels", "image_size", "batch_size", "critic_steps")] == [
        64,
        [128, 128],
        8,
        5,
    ]
    assert [today[key] for key in ("base_channels", "image_size", "batch_size", "critic_steps")] == [
        16,
        [192, 160],
        8,
        1,
    ]
    assert (published["loss_weights"].anchor, today["loss_weights"].anchor) == (0, 10)
    assert published["adversarial_game"] == AdversarialGame.WASSERSTEIN
    assert published["loss_weights"].cycle == 10
    assert published.preprocessing.pixel_mm == (1.875, 1.875)


def test_the_same_numbers_are_equal_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(SIZES["demo"], torch.float32) | {BatchKey.BETWEEN: torch.rand(8, 2)}
    for name in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK):
        batch[name] = batch[name][..., :48, :48]
    recipe = Recipe.of("published", small=True)
    same = against_processor(recipe, batch, "cpu:0")
    assert same["equal"]
    assert same["largest_relative_loss_difference"] < 1e-6
    monkeypatch.setattr(gpu, "paint", lambda _trainer, _batch, where: torch.full((1,), 0.01 * len(where)))
    other = against_processor(recipe, batch, "cpu:0")
    assert not other["equal"]
    assert other["largest_pixel_difference"] == pytest.approx(0.02)


def test_the_picture_shows_sources_precisions_and_differences() -> None:
    source = torch.zeros(3, 8, 6)
    painted = {number: source + 0.05 * place for place, number in enumerate(PRECISIONS)}
    made = picture(source, painted)
    assert made.size == (5 * 6, 4 * 8)
    assert [made.getpixel((x, 20)) for x in (9, 15)] == [0, 64]
