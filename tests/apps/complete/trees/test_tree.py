"""Trees: every file where the next tool looks, every label in its own values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas
import pytest
from monai.data import load_decathlon_datalist

from utad_monai.apps.complete.provenance import is_synthetic
from utad_monai.apps.complete.trees import CompleteCase, tree_form, write_tree
from utad_monai.data import BRATS_2023, CohortError, find_cases
from utad_monai.data.layouts import MSD_TASK01
from utad_monai.data.layouts.label_choice import LabelChoice
from utad_monai.data.layouts.label_sets import BRATS_2017_TO_2021_LABELS, label_set_of
from utad_monai.keys import SYNTHETIC_MARK, Modality, Placing, TreeLayout

FLAIR, T1, T1CE, T2 = Modality
OFFICIAL = ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000")
Make = Callable[..., Any]


@pytest.fixture
def cases(tmp_path: Path, write_case: Make) -> list[CompleteCase]:
    """Two cases: `a` lacks T1, which was made; `b` lacks nothing and has no segmentation."""
    write_case(tmp_path / "cohort", "a", [FLAIR, T1CE, T2], seed=1)
    write_case(tmp_path / "cohort", "b", segmentation=False, seed=2)
    a, b = find_cases(tmp_path / "cohort")
    made = tmp_path / "out" / "synthetic" / "a" / "a_t1_synthetic.nii.gz"
    made.parent.mkdir(parents=True)
    image = nibabel.load(a.images[T2])
    image.header["descrip"] = f"{SYNTHETIC_MARK} t1".encode()
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) // 2, None, image.header), made)
    return [CompleteCase(a, {T1: made}), CompleteCase(b, {})]


@pytest.fixture
def write(tmp_path: Path, cases: list[CompleteCase]) -> Make:
    def _write(layout: str, placing: str = "link", chosen: Any = None) -> Any:
        return write_tree(cases if chosen is None else chosen, layout, placing, tmp_path / "out", progress=False)

    return _write


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if not path.is_dir()]


def voxels(path: Path) -> Any:
    return np.asarray(nibabel.load(path).dataobj)


def labels_of(path: Path) -> set[int]:
    return set(np.unique(voxels(path)).astype(int).tolist())


@pytest.mark.parametrize("placing", Placing)
@pytest.mark.parametrize("layout", TreeLayout)
def test_our_own_reader_finds_every_case_complete(
    write: Make, cases: list[CompleteCase], layout: TreeLayout, placing: Placing
) -> None:
    tree = write(layout, placing)
    assert tree.problems == ()
    a, b = tree.cases
    assert (a, b) == (OFFICIAL if layout is TreeLayout.BRASYN else ("a", "b"))
    if layout is TreeLayout.NNUNET:
        return  # an output for nnU-Net alone
    found = find_cases(tree.folder)
    assert [(case.case_id, case.missing, case.segmentation is None) for case in found] == [
        (a, (), False),
        (b, (), True),
    ]
    for case, given in zip(found, cases, strict=True):
        for modality in Modality:
            data = voxels(case.images[modality])
            channel = case.channel(modality)
            data = data if channel is None else data[..., channel]
            np.testing.assert_array_equal(data, voxels(given.image(modality)[0]))
            affine = nibabel.load(case.images[modality]).affine
            assert affine.tobytes() == nibabel.load(given.image(modality)[0]).affine.tobytes()


@pytest.mark.parametrize(
    ("layout", "labels"), [("brats2020", {0, 1, 2, 4}), ("brats2023", {0, 1, 2, 3}), ("nnunet", {0, 1, 2, 3})]
)
def test_labels_are_those_of_the_layout(write: Make, cases: list[CompleteCase], layout: str, labels: set[int]) -> None:
    tree = write(layout)
    path = tree_form(TreeLayout(layout)).segmentation(cases[0], tree.folder)
    assert labels_of(path) == labels
    original = cases[0].case.segmentation
    assert original is not None
    enhancing = {"brats2020": 4, "brats2023": 3, "nnunet": 3}[layout]
    np.testing.assert_array_equal(voxels(path) == enhancing, voxels(original) == 4)
    oedema = 1 if layout == "nnunet" else 2
    np.testing.assert_array_equal(voxels(path) == oedema, voxels(original) == 2)


def test_nnunet_tree_is_what_nnunet_reads(write: Make) -> None:
    tree = write("nnunet")
    assert names(tree.folder) == [
        *[f"Dataset501_CompletedCohort/{name}" for name in ["dataset.json"]],
        *[f"Dataset501_CompletedCohort/imagesTr/a_{channel:04d}.nii.gz" for channel in range(4)],
        *[f"Dataset501_CompletedCohort/imagesTs/b_{channel:04d}.nii.gz" for channel in range(4)],
        "Dataset501_CompletedCohort/labelsTr/a.nii.gz",
        "label_set.json",
        "patients.csv",
        "synthetic.csv",
    ]
    content = json.loads((tree.folder / "Dataset501_CompletedCohort" / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "flair", "1": "t1", "2": "t1ce", "3": "t2"}
    assert (content["numTraining"], content["file_ending"]) == (1, ".nii.gz")
    assert content["labels"]["tumour_core"] == [2, 3]
    assert tree.channel_order == "_0000 flair, _0001 t1, _0002 t1ce, _0003 t2"


def test_decathlon_tree_is_read_by_monai(write: Make) -> None:
    tree = write("msd")
    (training,) = load_decathlon_datalist(str(tree.folder / "dataset.json"), True, "training")
    assert Path(training["image"]).is_file()
    assert Path(training["label"]).is_file()
    image = nibabel.load(training["image"])
    assert image.shape == (24, 20, 12, 4)
    assert image.header["descrip"].tobytes().startswith(b"SYNTHETIC volumes: t1")
    assert labels_of(training["label"]) == {0, 1, 2, 3}
    assert tree.channel_order == "0 FLAIR, 1 T1w, 2 T1gd, 3 T2w"


def test_datalist_has_the_order_of_the_model_zoo(write: Make) -> None:
    tree = write("brats2020")
    (training,) = load_decathlon_datalist(str(tree.folder / "datalist.json"), True, "training")
    assert [Path(path).name.split("_")[-1].split(".")[0] for path in training["image"]] == ["t1ce", "t1", "t2", "flair"]
    assert all(Path(path).is_file() for path in [*training["image"], training["label"]])


def test_links_point_at_originals_and_survive_a_move_of_the_output(
    write: Make, cases: list[CompleteCase], tmp_path: Path
) -> None:
    tree = write("brats2020")
    real, made = tree.folder / "a" / "a_t2.nii.gz", tree.folder / "a" / "a_t1.nii.gz"
    assert real.is_symlink()
    assert real.resolve() == cases[0].case.images[T2].resolve()
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = tmp_path / "moved" / "brats2020" / "a" / made.name
    assert moved.resolve() == (tmp_path / "moved" / "synthetic" / "a" / "a_t1_synthetic.nii.gz").resolve()
    assert moved.exists()


def test_every_link_is_relative_and_survives_a_move_of_tree_and_cohort(
    write: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write("brats2020")
    links = [path for path in tree.folder.rglob("*") if path.is_symlink()]
    assert len(links) == 9  # four images of two cases, one segmentation
    assert not any(path.readlink().is_absolute() for path in links)
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    for name in ("cohort", "out"):
        (tmp_path / name).rename(moved / name)
    found = moved / "out" / "brats2020"
    assert all(path.exists() for path in found.rglob("*"))
    with pytest.raises(CohortError, match="leads outside"):
        find_cases(found)  # a moved tree is not trusted by where it was
    monkeypatch.setenv("UTAD_MONAI_LINKS", str(moved))
    assert [case.missing for case in find_cases(found)] == [(), ()]


def test_links_written_through_a_linked_folder_lead_to_the_originals(tmp_path: Path, cases: list[CompleteCase]) -> None:
    (tmp_path / "far" / "disk" / "out").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "far" / "disk" / "out")
    tree = write_tree(cases, "brats2020", "link", tmp_path / "alias", progress=False)
    assert (tree.folder / "b" / "b_t2.nii.gz").resolve() == cases[1].case.images[T2].resolve()


def test_copies_are_files_of_their_own_and_not_copied_twice(write: Make) -> None:
    tree = write("brats2020", "copy")
    path = tree.folder / "a" / "a_t2.nii.gz"
    assert not path.is_symlink()
    inode = path.stat().st_ino
    write("brats2020", "copy")
    assert path.stat().st_ino == inode


def test_what_is_synthetic_is_listed(write: Make) -> None:
    tree = write("brats2023")
    table = pandas.read_csv(tree.folder / "synthetic.csv", dtype=str, keep_default_na=False)
    assert table.to_dict("records") == [{"case": "a", "modality": "t1", "file": "a/a-t1n.nii.gz", "channel": ""}]


@pytest.mark.parametrize("placing", Placing)
@pytest.mark.parametrize("layout", TreeLayout)
def test_every_listed_file_and_channel_holds_the_synthetic_voxels(
    write: Make, cases: list[CompleteCase], layout: TreeLayout, placing: Placing
) -> None:
    tree = write(layout, placing)
    table = pandas.read_csv(tree.folder / "synthetic.csv", dtype=str, keep_default_na=False)
    (row,) = table.to_dict("records")
    data = voxels(tree.folder / row["file"])
    data = data[..., int(row["channel"])] if row["channel"] else data
    assert (layout is TreeLayout.MSD) == bool(row["channel"])
    np.testing.assert_array_equal(data, voxels(cases[0].synthetic[T1]))
    assert row["case"] in tree.cases
    assert is_synthetic(nibabel.load(tree.folder / row["file"]).header)
    assert not [path for path in tree.folder.rglob("*") if path.is_symlink() and path.readlink().is_absolute()]


@pytest.mark.parametrize(
    ("layout", "place"),
    [
        ("brats2020", "a/a_t1.json"),
        ("brats2023", "a/a-t1n.json"),
        ("brasyn", f"{OFFICIAL[0]}/{OFFICIAL[0]}-t1n.json"),
        ("nnunet", "Dataset501_CompletedCohort/imagesTr/a_0001.json"),
        ("msd", "imagesTr/a_t1.json"),
    ],
)
@pytest.mark.parametrize("placing", Placing)
def test_sidecars_of_synthetic_images_go_along(
    write: Make, cases: list[CompleteCase], layout: str, place: str, placing: Placing
) -> None:
    sidecar = cases[0].synthetic[T1].with_name("a_t1_synthetic.json")
    sidecar.write_text('{"Synthetic": true}')
    tree = write(layout, placing)
    assert (tree.folder / place).read_text() == sidecar.read_text()
    assert (tree.folder / place).is_symlink() is (placing is Placing.LINK)
    sidecar.unlink()
    assert place not in names(write(layout, placing).folder)


def test_uncompressed_and_four_dimensional_originals_are_written_anew(
    write: Make, tmp_path: Path, write_case: Make
) -> None:
    write_case(tmp_path / "plain", "p", ending=".nii", layout=BRATS_2023)
    (plain,) = find_cases(tmp_path / "plain")
    first = write("msd", chosen=[CompleteCase(plain, {})])
    (stacked,) = find_cases(first.folder)
    assert stacked.layout is MSD_TASK01
    tree = write("nnunet", chosen=[CompleteCase(plain, {}), CompleteCase(replace(stacked, case_id="s"), {})])
    folder = tree.folder / "Dataset501_CompletedCohort" / "imagesTr"
    for modality in Modality:
        ours, theirs = (folder / f"{name}_{modality.channel:04d}.nii.gz" for name in "ps")
        np.testing.assert_array_equal(voxels(ours), voxels(theirs))
        assert nibabel.load(theirs).affine.tobytes() == nibabel.load(plain.images[modality]).affine.tobytes()
    assert labels_of(tree.folder / "Dataset501_CompletedCohort" / "labelsTr" / "s.nii.gz") == {0, 1, 2, 3}


def test_unusable_segmentation_is_left_out_and_reported(write: Make, cases: list[CompleteCase]) -> None:
    path = cases[0].case.segmentation
    assert path is not None
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) + 7, image.affine), path)
    tree = write("brats2020")
    assert "unknown label values" in str(tree.problems[0])
    assert not (tree.folder / "a" / "a_seg.nii.gz").exists()
    path.write_bytes(b"broken")
    assert "a_seg.nii.gz" in str(write("brats2020").problems[0])


def test_files_of_an_earlier_tree_are_removed(write: Make, cases: list[CompleteCase]) -> None:
    write("brats2020")
    tree = write("brats2020", chosen=cases[1:])
    assert {name.split("/")[0] for name in names(tree.folder)} == {
        "b",
        "datalist.json",
        "label_set.json",
        "patients.csv",
        "synthetic.csv",
    }
    assert all(path.exists() for path in cases[0].case.files)


@pytest.fixture
def visits(tmp_path: Path, write_case: Make) -> list[CompleteCase]:
    """Give two visits each of seven patients, of whom nothing but a list tells."""
    for number in range(14):
        write_case(tmp_path / "visits", f"scan{number}", seed=number)
    cases = find_cases(tmp_path / "visits")
    return [CompleteCase(replace(case, patient_id=f"P{int(case.case_id[4:]) % 7}"), {}) for case in cases]


@pytest.mark.parametrize("layout", [TreeLayout.BRATS2020, TreeLayout.BRATS2023, TreeLayout.MSD])
def test_patients_survive_a_tree(write: Make, visits: list[CompleteCase], layout: TreeLayout) -> None:
    found = find_cases(write(layout, chosen=visits).folder)
    assert {case.case_id: case.patient_id for case in found} == {c.case.case_id: c.case.patient_id for c in visits}


def test_brasyn_holds_real_and_synthetic_files_of_a_case_under_names_of_brats_2023(
    write: Make, cases: list[CompleteCase]
) -> None:
    tree = write("brasyn")
    for name in OFFICIAL:
        files = {f"{name}-{ending}.nii.gz" for ending in ("t1n", "t1c", "t2f", "t2w")}
        assert files == {path.name for path in (tree.folder / name).iterdir()} - {f"{name}-seg.nii.gz"}
    table = pandas.read_csv(tree.folder / "cases.csv", dtype=str)
    assert table.to_dict("records") == [
        {"case": one.case.case_id, "name": n} for one, n in zip(cases, OFFICIAL, strict=True)
    ]
    patients = {case.case_id: case.patient_id for case in find_cases(tree.folder)}
    assert patients == {OFFICIAL[0]: "a", OFFICIAL[1]: "b"}


def test_cases_keep_their_names_when_the_cohort_grows(write: Make, cases: list[CompleteCase]) -> None:
    assert write("brasyn", chosen=cases[1:]).cases == ("BraTS-GLI-00001-000",)
    assert write("brasyn").cases == ("BraTS-GLI-00002-000", "BraTS-GLI-00001-000")


def test_nnunet_gets_five_folds_that_never_tear_a_patient(write: Make, visits: list[CompleteCase]) -> None:
    dataset = write("nnunet", chosen=visits).folder / "Dataset501_CompletedCohort"
    folds = json.loads((dataset / "splits_final.json").read_text())
    patient = {c.case.case_id: c.case.patient_id for c in visits}
    assert len(folds) == 5
    for fold in folds:
        assert sorted(fold["train"] + fold["val"]) == sorted(patient)
        assert not {patient[name] for name in fold["train"]} & {patient[name] for name in fold["val"]}
    before = (dataset / "splits_final.json").read_bytes()
    write("nnunet", chosen=visits[::-1])
    assert (dataset / "splits_final.json").read_bytes() == before


@pytest.mark.parametrize("layout", TreeLayout)
@pytest.mark.parametrize(
    ("words", "lost"),
    [
        ({1: "cavity", 2: "oedema", 4: "enhancing"}, "label 1 (cavity), "),
        ({1: "enhancing", 2: "oedema", 4: "cavity"}, "label 4 (cavity), "),
        ({1: "cyst", 2: "oedema", 4: "enhancing"}, ""),
        ({1: "ignore", 2: "oedema", 4: "necrotic"}, "label 1 (ignore), "),
        ({1: "oedema", 2: "ignore", 4: "cavity"}, "label 2 (ignore), "),
    ],
)
def test_no_tree_holds_a_cavity_or_a_cyst_as_enhancing(
    write: Make, cases: list[CompleteCase], layout: str, words: dict[int, str], lost: str
) -> None:
    case = replace(cases[0].case, labels_said=LabelChoice(label_set_of(words, "mine"), "the test"))
    tree = write(layout, chosen=[CompleteCase(case, cases[0].synthetic)])
    form = tree_form(TreeLayout(layout))
    placed = replace(case, case_id=tree.cases[0])
    written = voxels(form.segmentation(CompleteCase(placed, cases[0].synthetic), tree.folder))
    original = voxels(cases[0].case.segmentation)
    values = {word: value for value, word in form.label_set.words.items()}
    for value, word in words.items():
        wanted = {"cavity": 0, "ignore": 0, "cyst": values["necrotic"]}.get(word, values.get(word))
        assert set(written[original == value].tolist()) == {wanted}
    assert bool(tree.warnings) == bool(lost)
    assert all(lost in str(warning) for warning in tree.warnings)
    said = json.loads((tree.folder / "label_set.json").read_text())
    assert said["label_set"] == form.label_set.name
    assert len(said.get("warnings", [])) == len(tree.warnings)


def test_a_tree_says_its_set_so_that_official_names_do_not_contradict(write: Make, cases: list[CompleteCase]) -> None:
    case = replace(cases[0].case, case_id="BraTS-PED-00001-000")
    tree = write("brats2020", chosen=[CompleteCase(case, cases[0].synthetic)])
    (read,) = find_cases(tree.folder)
    assert read.label_set is BRATS_2017_TO_2021_LABELS


def test_folder_that_is_no_tree_is_refused(write: Make, tmp_path: Path) -> None:
    (tmp_path / "out" / "msd").mkdir()
    (tmp_path / "out" / "msd" / "mine.txt").write_text("x")
    with pytest.raises(CohortError, match="was not written here"):
        write("msd")
    assert (tmp_path / "out" / "msd" / "mine.txt").exists()
