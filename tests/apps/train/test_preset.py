"""Sizes are chosen from the machine, and the user is told why."""

from __future__ import annotations

import pytest
import torch

from utad_monai.apps.train.preset import Machine, choose_preset
from utad_monai.bundle.configs import bundles_dir
from utad_monai.keys import TrainPreset

LAPTOP = Machine(8, 16.0)
CARD = Machine(16, 128.0, gpu="NVIDIA X", gpu_gib=23.6)
SMALL_CARD = Machine(8, 32.0, gpu="NVIDIA Y", gpu_gib=4.0)


@pytest.mark.parametrize(
    ("wanted", "machine", "name"),
    [
        (TrainPreset.AUTO, LAPTOP, TrainPreset.DEMO),
        (TrainPreset.AUTO, CARD, TrainPreset.FULL),
        (TrainPreset.AUTO, SMALL_CARD, TrainPreset.DEMO),
        (TrainPreset.FULL, LAPTOP, TrainPreset.FULL),
        (TrainPreset.DEMO, CARD, TrainPreset.DEMO),
    ],
)
def test_a_gpu_with_room_gets_full_slices(wanted: TrainPreset, machine: Machine, name: TrainPreset) -> None:
    preset, reason = choose_preset(wanted, machine)
    assert preset.name is name
    assert reason.startswith(f"preset {name}: slices of {preset.size}")
    assert str(machine) in reason
    assert "\n" not in reason
    assert all((bundles_dir() / overlay).is_file() for overlay in preset.overlays)


def test_a_machine_is_said_in_words() -> None:
    assert str(LAPTOP) == "8 cores, 16 GB of memory, no GPU"
    assert str(Machine(1, 4.0)) == "1 core, 4 GB of memory, no GPU"
    assert str(CARD) == "16 cores, 128 GB of memory, NVIDIA X with 24 GB"


def test_little_memory_prepares_few_cases_at_a_time() -> None:
    assert [Machine(8, memory).workers for memory in (1.0, 4.0, 64.0)] == [1, 2, 8]


def test_this_machine_is_described() -> None:
    here = Machine.here(torch.device("cpu"))
    assert here.cores >= 1
    assert here.memory_gib > 0
    assert here.gpu == ""
