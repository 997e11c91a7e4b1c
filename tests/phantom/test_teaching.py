"""Teaching batches: repeatable one by one, honest about what is absent, painted once."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from utad_monai.keys import BatchKey, Modality
from utad_monai.phantom import (
    PatientVariation,
    ScanVariation,
    TeachingBatches,
    TeachingBrains,
    default_brains_dir,
    reference_histograms,
)
from utad_monai.phantom.acquisition import TeachingTissue
from utad_monai.phantom.plane import BrainSlices
from utad_monai.transforms import BRAIN_FLOOR

SIZE = (32, 32)
TENSORS = [
    *(BatchKey.IMAGE, BatchKey.TARGET_IMAGE, BatchKey.TUMOUR_MASK),
    *(BatchKey.SOURCE_MODALITY, BatchKey.TARGET_MODALITY),
]


class Killed(BaseException):
    """What a kill does to a painting: nothing is done any more."""


def make(brains: TeachingBrains, **arguments: Any) -> TeachingBatches:
    return TeachingBatches(brains, **({"sizes": [SIZE], "batch_size": 4} | arguments))


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    tensors = all(torch.equal(first[key], second[key]) for key in TENSORS)
    return tensors and first[BatchKey.CASE_ID] == second[BatchKey.CASE_ID]


def shown(images: Tensor) -> Tensor:
    """Return `(B, C)`: which channels show any brain."""
    return images.amax(dim=(2, 3)) > -1


def folders(place: Path) -> list[str]:
    return [path.name for path in place.iterdir()]


def test_a_batch_depends_on_seed_and_number_alone(teaching_brains: TeachingBrains) -> None:
    batches = make(teaching_brains, seed=5)
    first = [batches[index] for index in (0, 1, 2)]
    torch.manual_seed(3)
    np.random.seed(3)
    later = [make(teaching_brains, seed=5, length=7)[index] for index in (2, 0, 1)]
    assert all(same(first[index], batch) for index, batch in zip((2, 0, 1), later, strict=True))
    assert not same(first[0], first[1])
    assert not same(first[0], make(teaching_brains, seed=6)[0])


def test_the_length_ends_an_epoch_and_not_the_batches(teaching_brains: TeachingBrains) -> None:
    batches = make(teaching_brains, length=3)
    assert len(batches) == 3
    assert batches[10**6][BatchKey.IMAGE].shape == (4, 4, *SIZE)


def test_absent_modalities_are_background_and_the_target_is_never_a_source(teaching_brains: TeachingBrains) -> None:
    counts = set()
    for index in range(12):
        batch = make(teaching_brains)[index]
        present = shown(batch[BatchKey.IMAGE])
        rows = torch.arange(len(present))
        assert not bool(present[rows, batch[BatchKey.TARGET_MODALITY]].any())
        assert bool(present[rows, batch[BatchKey.SOURCE_MODALITY]].all())
        assert bool((batch[BatchKey.IMAGE][~present] == -1).all())
        counts |= set(present.sum(dim=1).tolist())
    assert counts == {1, 2, 3}


@pytest.mark.parametrize(("probability", "counts"), [(0.0, {1}), (1.0, {3})])
def test_sources_are_as_many_as_asked_for(
    teaching_brains: TeachingBrains, probability: float, counts: set[int]
) -> None:
    batches = make(teaching_brains, source_probability=probability)
    present = torch.cat([shown(batches[index][BatchKey.IMAGE]) for index in range(8)])
    assert set(present.sum(dim=1).tolist()) == counts
    assert present.any(dim=0).tolist() == [True] * 4


def test_sources_target_and_tumour_lie_on_each_other(teaching_brains: TeachingBrains) -> None:
    for index in range(6):
        batch = make(teaching_brains, source_probability=1.0)[index]
        target, mask = batch[BatchKey.TARGET_IMAGE], batch[BatchKey.TUMOUR_MASK]
        assert target.shape == mask.shape == (4, 1, *SIZE)
        brain = target > -1
        present = shown(batch[BatchKey.IMAGE])[:, :, None, None]
        assert torch.equal(batch[BatchKey.IMAGE] > -1, brain & present)
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        assert bool(brain[mask > 0].all())
        for images in (target, batch[BatchKey.IMAGE]):
            inside = images[images > -1]
            assert BRAIN_FLOOR <= float(inside.min()) < float(inside.max()) <= 1


def test_slices_are_mirrored_now_and_then_with_their_tumour(teaching_brains: TeachingBrains) -> None:
    ways: dict[str, set[bytes]] = defaultdict(set)
    for index in range(12):
        batch = make(teaching_brains)[index]
        brain_and_tumour = torch.cat([batch[BatchKey.TARGET_IMAGE] > -1, batch[BatchKey.TUMOUR_MASK] > 0], dim=1)
        for name, masks in zip(batch[BatchKey.CASE_ID], brain_and_tumour, strict=True):
            ways[name].add(masks.numpy().tobytes())
    assert {len(seen) for seen in ways.values()} == {1, 2}
    for seen in ways.values():
        first, *others = (np.frombuffer(masks, bool).reshape(2, *SIZE) for masks in seen)
        assert all((other == first[:, :, ::-1]).all() for other in others)


def test_sources_are_randomised_and_targets_are_not(teaching_brains: TeachingBrains) -> None:
    wild = ScanVariation(noise=0.5, bias=0.5, sequence=0.5)
    calm, noisy = make(teaching_brains, source_probability=1.0), make(teaching_brains, source_probability=1.0)
    noisy.scans = wild
    one, two = calm[0], noisy[0]
    assert torch.equal(one[BatchKey.TARGET_IMAGE], two[BatchKey.TARGET_IMAGE])
    assert not torch.equal(one[BatchKey.IMAGE], two[BatchKey.IMAGE])


def test_a_batch_has_one_size_and_about_as_many_pixels_as_others(teaching_brains: TeachingBrains) -> None:
    batches = make(teaching_brains, sizes=[(32, 32), (64, 32), (64, 64), (160, 160)], shares=[1, 1, 1, 1])
    expected = {(32, 32): 4, (64, 32): 2, (64, 64): 1, (160, 160): 1}
    found = {}
    for index in range(16):
        image = batches[index][BatchKey.IMAGE]
        found[tuple(image.shape[2:])] = len(image)
    assert found == expected


def test_sizes_are_drawn_by_their_shares(teaching_brains: TeachingBrains) -> None:
    batches = make(teaching_brains, sizes=[(32, 32), (16, 16)], shares=[30, 10], batch_size=1)
    sizes = [batches[index][BatchKey.IMAGE].shape[-1] for index in range(120)]
    assert sizes.count(32) == pytest.approx(90, abs=20)
    assert set(make(teaching_brains, sizes=[(32, 32), (16, 16)], shares=[1, 0]).shares) == {1.0, 0.0}


@pytest.mark.parametrize(("sizes", "shares"), [([SIZE], [0.5, 0.5]), ([], [])])
def test_sizes_without_shares_are_refused(
    teaching_brains: TeachingBrains, sizes: Sequence[tuple[int, int]], shares: Sequence[float]
) -> None:
    with pytest.raises(ValueError, match="each size needs one share"):
        TeachingBatches(teaching_brains, sizes, shares=shares)


def test_what_decides_the_batches_is_in_their_identity(teaching_brains: TeachingBrains) -> None:
    first = make(teaching_brains).identity()
    assert make(teaching_brains).identity() == first
    assert make(teaching_brains, length=7).identity() == first
    changes: list[dict[str, Any]] = [
        {"seed": 1},
        {"batch_size": 5},
        {"source_probability": 0.5},
        {"sizes": [(16, 16)]},
        {"sizes": [SIZE, (16, 16)], "shares": [1, 2]},
        {"scans": ScanVariation(noise=0.1)},
    ]
    assert all(make(teaching_brains, **change).identity() != first for change in changes)


def test_brains_are_painted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = TeachingBrains(tmp_path, slices=3, seed=1, progress=False)
    monkeypatch.setattr(TeachingBrains, "_painted", None)  # a second painting would fail
    second = TeachingBrains(tmp_path, slices=3, seed=1, progress=False)
    assert len(first) == len(second) == 3
    assert torch.equal(first.resized([0, 1, 2], SIZE).fractions, second.resized([0, 1, 2], SIZE).fractions)


def test_a_brain_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    few, many, other = (
        TeachingBrains(tmp_path, slices=slices, seed=seed, progress=False) for slices, seed in ((2, 1), (9, 1), (2, 2))
    )
    first, second, third = (brains.resized([0, 1], SIZE).fractions for brains in (few, many, other))
    torch.testing.assert_close(first, second, atol=1 / 200, rtol=0)
    assert float((first - third).abs().max()) > 0.5


def test_every_way_to_be_other_brains_has_its_folder(tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [{}, {"seed": 1}, {"slices": 2}, {"variation": PatientVariation(scale=0.05)}]
    for way in ways:
        TeachingBrains(tmp_path, **({"slices": 1, "seed": 0, "progress": False} | way))
    assert len(folders(tmp_path)) == len(ways)


def test_no_slices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one slice, got 0"):
        TeachingBrains(tmp_path, slices=0)
    assert folders(tmp_path) == []


def test_a_kill_while_painting_leaves_no_half_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TeachingBrains(tmp_path / "whole", slices=20, progress=False)
    paint, calls = TeachingBrains._painted, itertools.count()

    def killed(brains: TeachingBrains, places: Sequence[int]) -> BrainSlices:
        if next(calls) == 1:
            raise Killed
        return paint(brains, places)

    with monkeypatch.context() as patch:
        patch.setattr(TeachingBrains, "_painted", killed)
        with pytest.raises(Killed):
            TeachingBrains(tmp_path / "cut", slices=20, progress=False)
    assert next(calls) == 2
    assert folders(tmp_path / "cut") == []
    again = TeachingBrains(tmp_path / "cut", slices=20, progress=False)
    assert torch.equal(again.resized(range(20), SIZE).fractions, whole.resized(range(20), SIZE).fractions)


def test_what_a_killed_process_left_half_painted_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, others = (tmp_path / f".partial-{process}-teaching-0" for process in (ended.pid, os.getppid()))
    for folder in (left, others):
        folder.mkdir()
        (folder / "fractions.npy").write_bytes(bytes(9))
    TeachingBrains(tmp_path, slices=1, progress=False)
    assert not left.exists()
    assert others.exists()


def test_brains_of_another_size_are_the_same_brains(teaching_brains: TeachingBrains) -> None:
    stored, small = teaching_brains.resized([0, 1], (192, 160)), teaching_brains.resized([0, 1], (96, 80))
    for painted in (stored, small):
        sums = painted.fractions.sum(dim=1)
        torch.testing.assert_close(sums, painted.brain.to(sums.dtype), atol=1e-5, rtol=0)
        assert not bool((painted.tumour & ~painted.brain).any())
    for larger, smaller in ((stored.brain, small.brain), (stored.tumour, small.tumour)):
        assert float(smaller.sum()) * 4 == pytest.approx(float(larger.sum()), rel=0.1)
    shrunk = torch.nn.functional.avg_pool2d(stored.fractions, 2)
    apart = (shrunk - small.fractions).abs().sum(dim=1)[small.brain]
    assert float(apart.mean()) < 0.25


def test_window_voxels_are_brain_of_many_patients(teaching_brains: TeachingBrains) -> None:
    voxels = teaching_brains.window_voxels
    assert 2000 < len(voxels) < 8001
    torch.testing.assert_close(voxels.sum(dim=1), torch.ones(len(voxels)), atol=1e-5, rtol=0)
    assert float(voxels.mean(dim=0).min()) > 0


def test_reference_histograms_are_shares_of_each_modality(teaching_brains: TeachingBrains) -> None:
    histograms = reference_histograms(teaching_brains)
    assert list(histograms) == list(Modality)
    for shares in histograms.values():
        assert len(shares) == 256
        assert min(shares) >= 0
        assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert len({tuple(shares) for shares in histograms.values()}) == 4
    assert reference_histograms(teaching_brains) == histograms


class HalfIll:
    """Brains of grey matter in front and oedema behind."""

    seed, variation, window_voxels = 0, PatientVariation(), torch.eye(8).repeat(50, 1)

    def __len__(self) -> int:
        return 1

    def resized(self, places: Sequence[int], size: tuple[int, int]) -> BrainSlices:
        fractions = torch.zeros(len(places), 8, *size)
        fractions[:, TeachingTissue.GREY, 10:40] = 1
        fractions[:, TeachingTissue.OEDEMA, 40:70] = 1
        brain = fractions.sum(dim=1) > 0
        return BrainSlices(fractions, brain, tumour=fractions[:, TeachingTissue.OEDEMA] > 0)


def test_reference_histograms_are_of_healthy_brain() -> None:
    for shares in reference_histograms(HalfIll()).values():  # type: ignore[arg-type]
        assert [share for share in shares if share > 0] == [1.0]  # of grey matter alone, one intensity
        assert shares[0] == 0  # no background


def test_brains_are_kept_in_the_users_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UTAD_MONAI_HOME", str(tmp_path))
    assert default_brains_dir() == str(tmp_path / "teaching")
