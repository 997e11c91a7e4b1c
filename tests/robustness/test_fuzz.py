"""Damaged files: accepted or refused, in a word of the library's own, and nothing else. Longer with `make fuzz`."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz as fuzzer
from benchmarks.fuzz import Result, fuzz, limits
from benchmarks.fuzz_targets import Images, targets
from benchmarks.mutations import damaged_data, damaged_nifti, tiny_nifti
from utad_monai.apps.prepare.case_files import is_finished
from utad_monai.data.layouts import look_for_cases
from utad_monai.runtime.files import read_record, write_json
from utad_monai.transforms import InvalidImageError, read_nifti

MUTATIONS = 2000


def test_no_reader_is_surprised(tmp_path: Path) -> None:
    chosen = targets(tmp_path)
    with limits():
        result = fuzz(chosen, MUTATIONS, seed=20, keep=tmp_path / "findings")
    assert [finding.error for finding in result.findings] == []
    assert sum(result.outcomes.values()) == MUTATIONS
    for target in chosen:
        assert result.outcomes[target.name, "accepted"] > 0
        assert result.outcomes[target.name, "refused"] > 0 or not target.refusals or target.name == "description"


class _Sick(Images):
    """A reader with what a fuzzer must notice."""

    def __init__(self, folder: Path, sickness: str) -> None:
        super().__init__(folder)
        self.sickness = sickness

    def read(self, path: Path) -> None:
        if self.sickness == "foreign":
            raise KeyError("magic")
        if self.sickness == "silent":
            raise WordlessError
        if self.sickness == "hang":
            time.sleep(10)
        if self.sickness == "greedy":
            bytearray(3 << 30)
        raise AssertionError(path)


class WordlessError(InvalidImageError):
    def __init__(self) -> None:
        ValueError.__init__(self)


@pytest.mark.parametrize(
    ("sickness", "error"),
    [
        ("foreign", "KeyError: 'magic'"),
        ("silent", "without a word"),
        ("hang", "HangError"),
        ("greedy", "MemoryError"),
        ("wrong", "AssertionError"),
    ],
)
def test_what_must_not_be_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sickness: str, error: str
) -> None:
    monkeypatch.setattr(fuzzer, "LIMIT_SECONDS", 0.1)
    with limits():
        result = fuzz([_Sick(tmp_path, sickness)], 1, seed=0, keep=tmp_path / "findings")
    (finding,) = result.findings
    assert error in finding.error
    assert finding.file.is_file()


def test_mutation_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    first, second = (Images(folder) for folder in (tmp_path / "a", tmp_path / "b") if folder.mkdir() is None)
    for number in range(20):
        written = [target.damage(random.Random(f"7-{number}")) for target in (first, second)]
        assert written[0].read_bytes() == written[1].read_bytes()
    assert damaged_nifti(random.Random(1), tiny_nifti()) != damaged_nifti(random.Random(2), tiny_nifti())
    assert damaged_data(random.Random(3), {"a": [1]}) != {"a": [1]}


def test_table_of_results_counts_everything() -> None:
    result = Result(seconds=2.0)
    result.outcomes.update({("image", "accepted"): 3, ("image", "refused"): 1})
    lines = list(result.lines())
    assert lines[1].split() == ["image", "3", "1", "0"]
    assert lines[-1].startswith("4 mutations in 2 s (2 a second)")


# what the fuzzer found, each once


@pytest.mark.parametrize("size", [348, 352, 539])
def test_nifti_2_header_that_ends_early_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "image.nii"
    path.write_bytes(tiny_nifti(version=2)[:size])
    with pytest.raises(InvalidImageError, match="is too short"):
        read_nifti(path)


def test_path_of_a_table_that_no_file_can_have_is_missing(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text(f"case,t1\na,{'x' * 5000}.nii.gz\n")
    (problem,) = look_for_cases(table).problems
    assert "is missing" in problem.text


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[1]", b"\xff", b"{", b"9" * 5000, b""])
def test_record_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    assert read_record(tmp_path / "record.json") is None
    assert read_record(tmp_path / "absent.json") is None


@pytest.mark.parametrize("packed", [False, True])
def test_memory_grows_with_the_file_and_not_with_its_header(tmp_path: Path, packed: bool) -> None:
    content = bytearray(tiny_nifti(dtype="float64"))
    content[42:48] = np.array([512, 512, 512], "<i2").tobytes()
    path = tmp_path / ("image.nii.gz" if packed else "image.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidImageError, match="is too short"):
            read_nifti(path)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_report_of_a_file_without_a_hash_finishes_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "preparation" / "a" / "report.json", {"fingerprint": "1", "outputs": {"a/absent": ""}})
    assert not is_finished(tmp_path, "a", "1")
