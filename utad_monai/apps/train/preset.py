"""How large the networks' slices are and how long the trainings: chosen from the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import psutil
import torch

from utad_monai.keys import TrainPreset
from utad_monai.models.stages import Stage

_GPU_GIB = 7.5
"""Memory that a GPU needs for slices of 192x160 pixels in batches of 8; cards that are sold as 8 GB have less."""
_GIB_PER_CASE = 2.0
"""Memory that preparing one case may need."""


@dataclass(frozen=True)
class Machine:
    """What a training can use.

    Attributes:
        cores: of the processor, those that this process may use.
        memory_gib: of the machine.
        gpu: name of the GPU; empty for none.
        gpu_gib: its memory.
    """

    cores: int
    memory_gib: float
    _: KW_ONLY
    gpu: str = ""
    gpu_gib: float = 0.0

    @classmethod
    def here(cls, device: torch.device) -> Machine:
        """Describe this machine, and the GPU that was chosen."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        memory = psutil.virtual_memory().total / 2**30
        if device.type != "cuda":
            return cls(cores, memory)
        found = torch.cuda.get_device_properties(device)
        return cls(cores, memory, gpu=found.name, gpu_gib=found.total_memory / 2**30)

    @property
    def workers(self) -> int:
        """How many cases are prepared side by side."""
        return max(1, min(self.cores, int(self.memory_gib / _GIB_PER_CASE)))

    def __str__(self) -> str:
        """Return it in words, such as `2 cores, 16 GB of memory, no GPU`."""
        gpu = f"{self.gpu} with {self.gpu_gib:.0f} GB" if self.gpu else "no GPU"
        return f"{self.cores} core{'s' if self.cores > 1 else ''}, {self.memory_gib:.0f} GB of memory, {gpu}"


@dataclass(frozen=True)
class Preset:
    """Sizes and lengths of all stages.

    Attributes:
        name: `demo` or `full`.
        size: its slices, in words.
        overlays: packaged files that are laid over every training.
        overrides: of single stages.
    """

    name: TrainPreset
    size: str
    _: KW_ONLY
    overlays: tuple[str, ...] = ()
    overrides: Mapping[Stage, Mapping[str, Any]] = field(default_factory=dict)


_LONGER = {"samples_per_epoch": 1600}
"""The overlay is a demonstration's: a cohort is trained as long as by default."""
_PRESETS = {
    TrainPreset.DEMO: Preset(
        TrainPreset.DEMO,
        "96x80 pixels of 2.5 mm",
        overlays=("demo.json",),
        overrides={
            Stage.TEACHER: _LONGER,
            Stage.STUDENT: _LONGER,
            Stage.EVALUATION: {"starter_flips": False, "source_slices": 8},
        },
    ),
    TrainPreset.FULL: Preset(TrainPreset.FULL, "192x160 pixels of 1.25 mm"),
}


def choose_preset(wanted: TrainPreset, machine: Machine) -> tuple[Preset, str]:
    """Return a preset, and why it is this one, in one line."""
    large = machine.gpu_gib >= _GPU_GIB
    name = wanted if wanted is not TrainPreset.AUTO else TrainPreset.FULL if large else TrainPreset.DEMO
    preset = _PRESETS[name]
    reason = f"as you asked; this machine has {machine}" if wanted is not TrainPreset.AUTO else f"for {machine}"
    other = TrainPreset.DEMO if name is TrainPreset.FULL else TrainPreset.FULL
    hint = f"--preset {other}: {_PRESETS[other].size}"
    return preset, f"preset {name}: slices of {preset.size}, {reason} ({hint})"
