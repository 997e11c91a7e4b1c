"""What every bundle does before anything else."""

from __future__ import annotations

from pathlib import Path

from monai.utils import set_determinism

from utad_monai.bundle.configs import refuse_unknown_overrides
from utad_monai.runtime import parallel
from utad_monai.runtime.console import print_expected_errors_plainly
from utad_monai.runtime.folder_lock import hold_folder
from utad_monai.runtime.workers import keep_freed_memory


def begin(folder: str | Path, seed: int | None = None, processes: bool = False) -> None:
    """Show expected errors in one line, refuse misspelt overrides, hold the folder, and seed every random generator.

    Args:
        folder: what the bundle writes; no other run may write there meanwhile.
        seed: of every random generator; none is seeded when None.
        processes: whether this is one process of several (torchrun), which find each other first.

    Raises:
        UnknownOverrideError: when an override names no key of the config.
        FolderInUseError: when another run holds the folder.
    """
    print_expected_errors_plainly()
    refuse_unknown_overrides()
    keep_freed_memory()
    if processes:
        parallel.start()
    hold_folder(folder)
    if seed is not None:
        set_determinism(seed=seed)
