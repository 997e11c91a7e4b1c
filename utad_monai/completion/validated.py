"""Which cases were opened before and found sound: a case is validated once, until one of its files changes."""

from __future__ import annotations

import json
from pathlib import Path

from utad_monai.atomic import write_json
from utad_monai.data.layouts import Case
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.data.slices import case_key

VALIDATED_FOLDER = ".validated"
"""Its name in an output folder; no case has it, because names of cases never begin with a dot."""


class ValidatedCases:
    """Warnings of sound cases, kept under path, size and time of their files.

    Args:
        output_dir: the folder that holds the records.
        preprocessing: what the cases were opened for.
    """

    def __init__(self, output_dir: str | Path, preprocessing: Preprocessing) -> None:
        self.folder = Path(output_dir) / VALIDATED_FOLDER
        self.preprocessing = preprocessing

    def warnings(self, case: Case) -> tuple[str, ...] | None:
        """Return what was doubtful about a sound case; None when it was not opened, or has changed since."""
        try:
            found = json.loads(self._record(case).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return tuple(found) if isinstance(found, list) and all(isinstance(text, str) for text in found) else None

    def keep(self, case: Case, warnings: tuple[str, ...]) -> None:
        """Remember that a case is sound."""
        write_json(self._record(case), list(warnings))

    def _record(self, case: Case) -> Path:
        return self.folder / f"{case_key(case, self.preprocessing)}.json"
