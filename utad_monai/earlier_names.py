"""Names that configs of earlier versions use, and where what they name lives now.

A package that `utad-monai package` wrote and a config that a user kept name components by their address. An address
here still imports: it gives the component itself.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

EARLIER_NAMES = {
    "utad_monai.allocator.keep_freed_memory": "utad_monai.runtime.workers.keep_freed_memory",
    "utad_monai.bundle.start.begin": "utad_monai.bundle.run.begin",
    "utad_monai.checkpoints.common_preprocessing": "utad_monai.models.common_preprocessing",
    "utad_monai.checkpoints.critics_for_student": "utad_monai.models.critics_for_student",
    "utad_monai.checkpoints.load_segmenter": "utad_monai.models.load_segmenter",
    "utad_monai.checkpoints.load_stage": "utad_monai.models.load_stage",
    "utad_monai.checkpoints.load_start_weights": "utad_monai.models.load_start_weights",
    "utad_monai.configuration.default_device": "utad_monai.runtime.workers.default_device",
    "utad_monai.configuration.refuse_unknown_overrides": "utad_monai.bundle.configs.refuse_unknown_overrides",
    "utad_monai.data.default_dataset_dir": "utad_monai.phantom.default_dataset_dir",
    "utad_monai.distributed.local_device": "utad_monai.runtime.parallel.local_device",
    "utad_monai.distributed.start": "utad_monai.runtime.parallel.start",
    "utad_monai.distributed.stop": "utad_monai.runtime.parallel.stop",
    "utad_monai.engines.VolumeSynthesizer": "utad_monai.apps.complete.VolumeSynthesizer",
    "utad_monai.errors.print_expected_errors_plainly": "utad_monai.runtime.console.print_expected_errors_plainly",
    "utad_monai.folder_lock.hold_folder": "utad_monai.runtime.folder_lock.hold_folder",
    "utad_monai.inferers.starter_method.calibrated_starter": "utad_monai.inferers.slice_translator.calibrated_starter",
    "utad_monai.packaging.content.fill_from_package": "utad_monai.models.fill_from_package",
    "utad_monai.reports.show_summary": "utad_monai.apps.report.show_summary",
    "utad_monai.stages.existing_model": "utad_monai.models.stages.existing_model",
    "utad_monai.starter.installed_starter": "utad_monai.models.starter.installed_starter",
    "utad_monai.starter.method.calibrated_starter": "utad_monai.inferers.slice_translator.calibrated_starter",
    "utad_monai.starter.starter_path": "utad_monai.models.starter.starter_path",
}
"""New address of every component that moved, by the address that bundles and packages have named it by."""


class EarlierNames(MetaPathFinder, Loader):
    """Import what `EARLIER_NAMES` lists, and the packages on the way to it, when nothing else has the name."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  (the import system gives it)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return a spec for a name of `EARLIER_NAMES`, or for what stands before its last dot; else None."""
        known = fullname in EARLIER_NAMES
        on_the_way = any(name.startswith(f"{fullname}.") for name in EARLIER_NAMES)
        return ModuleSpec(fullname, self, is_package=on_the_way) if known or on_the_way else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make an empty module."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the component itself in the place of the module."""
        if module.__name__ in EARLIER_NAMES:
            sys.modules[module.__name__] = component_of_earlier_name(module.__name__)


def component_of_earlier_name(name: str) -> Any:
    """Return what an earlier name means.

    Raises:
        AttributeError: when it is none.
    """
    if name not in EARLIER_NAMES:
        address, _, attribute = name.rpartition(".")
        raise AttributeError(f"module {address!r} has no attribute {attribute!r}")
    address, _, attribute = EARLIER_NAMES[name].rpartition(".")
    return getattr(importlib.import_module(address), attribute)
