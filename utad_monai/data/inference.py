"""The cases that inference looks at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch.utils.data import Dataset

from utad_monai.data.layouts import Case, look_for_cases
from utad_monai.data.problems import SPLIT_FILE, CohortError, CohortProblem, empty_split
from utad_monai.data.split import read_split
from utad_monai.keys import OnBadCase, Split


class InferenceCases(Dataset[Case]):
    """Every case of a folder, or those of one split.

    Args:
        dataset_dir: root of the cohort, or one case's folder.
        split: a split's name; empty for all cases.
        output_dir: folder with the `split.csv` of the training run; needed with `split`.
        case_ids: names of the only cases to look at; empty for all.
        on_bad_case: whether files of which the case cannot be told stop everything (`refuse`) or are left out (`skip`).

    Attributes:
        cases: what is looked at.
        problems: what was left out, and why.

    Raises:
        CohortError: when there is no such cohort, case or split.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        split: Split | str = "",
        output_dir: str | Path = "",
        case_ids: Sequence[str] = (),
        on_bad_case: OnBadCase | str = OnBadCase.REFUSE,
    ) -> None:
        found = look_for_cases(dataset_dir)
        cases, self.problems = list(found.cases), found.problems
        if self.problems and (OnBadCase(on_bad_case) is OnBadCase.REFUSE or not cases):
            raise CohortError(self.problems)
        if split:
            assigned = read_split(Path(output_dir) / SPLIT_FILE, cases)
            cases = [case for case in cases if assigned[case.case_id] is Split(split)]
        if case_ids:
            _refuse_unknown(dataset_dir, case_ids, cases)
            cases = [case for case in cases if case.case_id in case_ids]
        if not cases:
            raise empty_split(f"{split} case")
        self.cases = cases

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.cases)

    def __getitem__(self, index: int) -> Case:
        """Return one case; nothing is loaded yet."""
        return self.cases[index]


def _refuse_unknown(dataset_dir: str | Path, case_ids: Sequence[str], cases: Sequence[Case]) -> None:
    unknown = sorted(set(case_ids) - {case.case_id for case in cases})
    if unknown:
        names = ", ".join(unknown)
        problem = CohortProblem("", Path(dataset_dir), f"has no case {names}", "check the names")
        raise CohortError([problem])


def the_case(batch: Sequence[Case]) -> Case:
    """Collate one case as it is."""
    (case,) = batch
    return case
