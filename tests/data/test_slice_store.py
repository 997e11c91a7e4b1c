"""Slices are prepared once, reused while nothing changes, and one bad case never costs the others."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from utad_monai.data import (
    BRATS_2023,
    TABLE,
    Case,
    CohortError,
    PreparedCohort,
    Preprocessing,
    find_cases,
    prepare_slices,
)
from utad_monai.data import slice_store as slices
from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.layouts.label_sets import LABEL_SETS
from utad_monai.data.preprocessing import load_case, slice_case
from utad_monai.keys import Modality
from utad_monai.transforms import BACKGROUND

WriteCase = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, write_case: WriteCase) -> Path:
    """Give a cohort of a complete case, one without segmentation, and one with two modalities."""
    root = tmp_path / "cohort"
    write_case(root, "A_1")
    write_case(root, "B_2", segmentation=False, seed=1)
    write_case(root, "C_3", modalities=[Modality.T1, Modality.T2], seed=2)
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def prepare(cache: Path, tiny_preprocessing: Preprocessing) -> Callable[..., slices.SliceStore]:
    """Give `prepare(root)`, which prepares a cohort with two workers."""

    def prepare(root: Path, preprocessing: Preprocessing = tiny_preprocessing) -> slices.SliceStore:
        return prepare_slices(find_cases(root), preprocessing, cache, workers=2, progress=False)

    return prepare


@pytest.fixture
def loaded_cases(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a list that grows by each case that is really loaded."""
    loaded: list[str] = []

    def load(case: Case, preprocessing: Preprocessing) -> object:
        loaded.append(case.case_id)
        return load_case(case, preprocessing)

    monkeypatch.setattr(slices, "load_case", load)
    return loaded


@pytest.fixture
def two_torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


Prepare = Callable[..., slices.SliceStore]


def test_store_holds_what_slicing_gives(root: Path, prepare: Prepare, tiny_preprocessing: Preprocessing) -> None:
    store = prepare(root)
    for case in find_cases(root):
        loaded = load_case(case, tiny_preprocessing)
        expected = slice_case(loaded, tiny_preprocessing)
        prepared = store.cases[case.case_id]
        assert prepared.modalities == tuple(case.images)
        assert prepared.patient_id == case.patient_id
        assert prepared.windows == loaded.windows
        assert prepared.first_slice == expected.first_slice
        for modality, image in expected.images.items():
            stored = store.image(case.case_id, modality)
            np.testing.assert_array_equal(stored, image.numpy().astype(np.float16))
            np.testing.assert_array_equal(stored > BACKGROUND, image.numpy() > BACKGROUND)
        if expected.labels is not None:
            np.testing.assert_array_equal(store.labels(case.case_id), expected.labels.numpy())


def test_pixels_are_counted_by_slice(root: Path, prepare: Prepare) -> None:
    store = prepare(root)
    case = store.cases["A_1"]
    images = np.stack([store.image("A_1", modality) for modality in Modality])
    assert case.brain_pixels == tuple((images > BACKGROUND).any(axis=0).sum(axis=(1, 2)))
    assert case.tumour_pixels == tuple((store.labels("A_1") > 0).sum(axis=(1, 2)))
    assert sum(case.tumour_pixels) > 0
    assert store.cases["B_2"].tumour_pixels is None


def test_slices_are_memory_mapped_and_cannot_be_changed(root: Path, prepare: Prepare) -> None:
    store = prepare(root)
    for volume, dtype in ((store.image("A_1", Modality.T1), np.float16), (store.labels("A_1"), np.uint8)):
        assert isinstance(volume, np.memmap)
        assert volume.dtype == dtype
        with pytest.raises(ValueError, match="read-only"):
            volume[0] = 0


def test_absent_image_and_segmentation_are_named(root: Path, prepare: Prepare) -> None:
    store = prepare(root)
    with pytest.raises(KeyError, match="case C_3 has no flair image"):
        store.image("C_3", Modality.FLAIR)
    with pytest.raises(KeyError, match="case B_2 has no segmentation"):
        store.labels("B_2")


def test_second_run_loads_nothing_and_touches_nothing(
    root: Path, cache: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(root)
    times = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}

    def fail(*_: object) -> None:
        raise AssertionError("a cached case was loaded again")

    monkeypatch.setattr(slices, "load_case", fail)
    assert prepare(root).cases == first.cases
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == times


@pytest.mark.parametrize("name", ["t1", "seg"])
def test_changed_file_is_prepared_again_and_only_its_case(
    root: Path, prepare: Prepare, loaded_cases: list[str], name: str
) -> None:
    prepare(root)
    loaded_cases.clear()
    path = root / "A_1" / f"A_1_{name}.nii.gz"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    prepare(root)
    assert loaded_cases == ["A_1"]


def test_the_same_files_with_another_meaning_are_prepared_again(
    root: Path, prepare: Prepare, loaded_cases: list[str]
) -> None:
    def table(columns: str, *cells: str) -> None:
        (root / "cohort.csv").write_text(f"{columns}\n{','.join(cells)}\n", encoding="utf-8")

    first, second, seg = (f"A_1/A_1_{name}.nii.gz" for name in ("t1", "t2", "seg"))
    table("case,t1,t2,seg", "A_1", first, second, seg)
    windows = prepare(root).cases["A_1"].windows
    loaded_cases.clear()
    table("case,t2,t1,seg", "A_1", first, second, seg)
    swapped = prepare(root).cases["A_1"].windows
    assert (swapped[Modality.T1], swapped[Modality.T2]) == (windows[Modality.T2], windows[Modality.T1])
    table("case,patient,t2,t1,seg", "A_1", "someone", first, second, seg)
    assert prepare(root).cases["A_1"].patient_id == "someone"
    assert loaded_cases == ["A_1", "A_1"]


def test_a_file_that_becomes_another_modality_is_prepared_again(root: Path, prepare: Prepare) -> None:
    for modality in (Modality.T1, Modality.T2):
        (root / "cohort.csv").write_text(f"case,{modality}\nA_1,A_1/A_1_t1.nii.gz\n", encoding="utf-8")
        assert prepare(root).cases["A_1"].modalities == (modality,)


def test_channels_of_one_file_are_prepared_as_images_of_their_own(
    root: Path, tmp_path: Path, prepare: Prepare, loaded_cases: list[str]
) -> None:
    images = [nibabel.load(root / "A_1" / f"A_1_{modality}.nii.gz") for modality in Modality]
    volume = np.stack([np.asarray(image.dataobj) for image in images], axis=-1)
    (tmp_path / "task" / "imagesTr").mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(volume, images[0].affine), tmp_path / "task" / "imagesTr" / "A_1.nii.gz")
    expected, store = prepare(root), prepare(tmp_path / "task")
    for modality in Modality:
        np.testing.assert_array_equal(store.image("A_1", modality), expected.image("A_1", modality))
    loaded_cases.clear()
    prepare(tmp_path / "task")
    assert loaded_cases == []


def test_changed_content_is_seen(root: Path, prepare: Prepare) -> None:
    before = np.array(prepare(root).image("A_1", Modality.T1))
    path = root / "A_1" / "A_1_t1.nii.gz"
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine), path)
    after = prepare(root).image("A_1", Modality.T1)
    assert not np.array_equal(before, after)


def test_removed_segmentation_is_seen(root: Path, prepare: Prepare, loaded_cases: list[str]) -> None:
    prepare(root)
    (root / "A_1" / "A_1_seg.nii.gz").unlink()
    loaded_cases.clear()
    assert prepare(root).cases["A_1"].tumour_pixels is None
    assert loaded_cases == ["A_1"]


@pytest.mark.parametrize(
    "other",
    [
        Preprocessing((38, 36), (32, 32)),
        Preprocessing((36, 36), (32, 48)),
        Preprocessing((36, 36), (32, 32), lower_percentile=2),
        Preprocessing((36, 36), (32, 32), upper_percentile=98),
    ],
)
def test_changed_parameter_prepares_all_and_keeps_the_old(
    root: Path, prepare: Prepare, loaded_cases: list[str], other: Preprocessing
) -> None:
    prepare(root)
    loaded_cases.clear()
    assert prepare(root, other).preprocessing == other
    assert sorted(loaded_cases) == ["A_1", "B_2", "C_3"]
    loaded_cases.clear()
    prepare(root)
    assert loaded_cases == []


def test_changed_format_prepares_all(
    root: Path, prepare: Prepare, loaded_cases: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(root)
    loaded_cases.clear()
    monkeypatch.setattr(slices, "_FORMAT", slices._FORMAT + 1)
    prepare(root)
    assert sorted(loaded_cases) == ["A_1", "B_2", "C_3"]


def test_error_lists_every_bad_case_and_sound_ones_stay_cached(
    root: Path, cache: Path, prepare: Prepare, loaded_cases: list[str]
) -> None:
    prepare(root)
    clean = {json.loads((entry / "case.json").read_text())["case_id"]: contents(entry) for entry in cache.iterdir()}
    for entry in cache.iterdir():
        for file in entry.iterdir():
            file.unlink()
        entry.rmdir()
    flair = (root / "A_1" / "A_1_flair.nii.gz").read_bytes()
    (root / "A_1" / "A_1_flair.nii.gz").write_bytes(b"")
    (root / "A_1" / "A_1_t2.nii.gz").write_bytes(b"<html>")
    (root / "C_3" / "C_3_t1.nii.gz").unlink()
    (root / "C_3" / "C_3_t1.nii.gz").symlink_to("nowhere")
    with pytest.raises(CohortError) as refusal:
        prepare(root)
    assert [(problem.case_id, problem.file.name) for problem in refusal.value.problems] == [
        ("A_1", "A_1_flair.nii.gz"),
        ("A_1", "A_1_t2.nii.gz"),
        ("C_3", "C_3_t1.nii.gz"),
    ]
    assert len(str(refusal.value).splitlines()) == 3
    (entry,) = cache.iterdir()
    assert contents(entry) == clean["B_2"]
    loaded_cases.clear()
    (root / "A_1" / "A_1_flair.nii.gz").write_bytes(flair)
    with pytest.raises(CohortError):
        prepare(root)
    assert sorted(loaded_cases) == ["A_1", "C_3"]


def test_failure_while_writing_leaves_no_entry(
    root: Path, cache: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        prepare(root)
    assert list(cache.iterdir()) == []


def test_an_entry_that_lost_its_index_heals(root: Path, prepare: Prepare) -> None:
    store = prepare(root)
    case = next(iter(store.cases.values()))
    (case.folder / "case.json").unlink()
    assert prepare(root).image(case.case_id, Modality.T1).shape == store.image(case.case_id, Modality.T1).shape


def test_an_entry_that_another_process_finished_meanwhile_is_kept(
    root: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prepare(root)
    entries = {case.folder: (case.folder / "case.json").stat().st_mtime_ns for case in before.cases.values()}
    seen = Path.exists
    hidden = {entry / "case.json" for entry in entries}

    def exists(path: Path, **arguments: bool) -> bool:
        if path in hidden:  # not there when it is first looked for, nor when the work starts
            asked[path] = asked.get(path, 0) + 1
            return asked[path] > 2 and seen(path, **arguments)
        return seen(path, **arguments)

    asked: dict[Path, int] = {}
    monkeypatch.setattr(Path, "exists", exists)
    prepare(root)
    assert {entry: (entry / "case.json").stat().st_mtime_ns for entry in entries} == entries


def test_a_link_to_itself_is_refused_like_any_bad_file(root: Path, prepare: Prepare) -> None:
    path = next(root.rglob("*_t1.nii.gz"))
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(CohortError, match=r"_t1\.nii\.gz: .*link"):
        prepare(root)


def test_warnings_are_logged_once_in_every_run_and_kept(
    tmp_path: Path, write_case: WriteCase, prepare: Prepare, caplog: pytest.LogCaptureFixture
) -> None:
    write_case(tmp_path / "cohort", "A_1", tumour=False)
    for _ in range(2):
        slices._say_once.cache_clear()  # as in another process
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="utad_monai"):
            store = prepare(tmp_path / "cohort")
        (warning,) = store.cases["A_1"].warnings
        assert "is empty" in warning
        prepare(tmp_path / "cohort")
        assert [record.getMessage() for record in caplog.records] == [f"case A_1: {warning}"]


@pytest.mark.usefixtures("two_torch_threads")
def test_torch_threads_are_as_before(root: Path, prepare: Prepare) -> None:
    prepare(root)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_torch_threads")
def test_torch_threads_are_as_before_even_after_an_error(root: Path, prepare: Prepare) -> None:
    (root / "A_1" / "A_1_flair.nii.gz").write_bytes(b"")
    with pytest.raises(CohortError):
        prepare(root)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_torch_threads")
def test_each_case_is_prepared_with_one_torch_thread(
    root: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def load(case: Case, preprocessing: Preprocessing) -> object:
        threads.append(torch.get_num_threads())
        return load_case(case, preprocessing)

    monkeypatch.setattr(slices, "load_case", load)
    prepare(root)
    assert threads == [1, 1, 1]


def test_number_of_workers_does_not_matter(root: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    cases = find_cases(root)
    for workers in (1, 3):
        prepare_slices(cases, tiny_preprocessing, tmp_path / str(workers), workers, progress=False)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_progress_bar_is_shown_only_when_asked(
    root: Path,
    tmp_path: Path,
    tiny_preprocessing: Preprocessing,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("utad_monai.runtime.progress.SECONDS_BETWEEN_LINES", 1e-9)
    prepare_slices(find_cases(root), tiny_preprocessing, tmp_path / "quiet", progress=False)
    assert capsys.readouterr().err == ""
    prepare_slices(find_cases(root), tiny_preprocessing, tmp_path / "loud", progress=True)
    assert "Preparing slices" in capsys.readouterr().err


def test_prepared_fixture_is_sound(prepared_tiny_cohort: PreparedCohort) -> None:
    assert all(not case.warnings for case in prepared_tiny_cohort.store.cases.values())


def _key(case: Case, label_set: str) -> str:
    said = LabelChoice(LABEL_SETS[label_set], "the test") if label_set else None
    return slices.case_key(replace(case, labels_said=said), Preprocessing())


def test_a_key_changes_only_where_labels_mean_something_else(tmp_path: Path) -> None:
    case = Case("a", "a", images={Modality.T1: tmp_path / "t1"}, segmentation=tmp_path / "seg", layout=TABLE)
    named = replace(case, layout=BRATS_2023)
    assert _key(case, "brats2020") == _key(case, "brats2023") == _key(case, ""), "as before sets had names"
    assert _key(named, "brats2024") == _key(named, ""), "what has no cavity stays as it is"
    others = [_key(case, name) for name in ("brats2020", "brats2024", "brats-ped", "msd")]
    assert len(set(others)) == 4
