"""The final measurement: perfect translations get perfect numbers, and the files hold what the schema says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from utad_monai.contrast import FlatBrain
from utad_monai.data import EvaluationCases, PreparedCohort, Preprocessing
from utad_monai.engines import TranslationEvaluator, gap_questions
from utad_monai.engines.evaluations import SUMMARY_FILE, TABLE_FILE
from utad_monai.engines.measurements import MEASUREMENTS_FILE
from utad_monai.engines.whole_volumes import WholeVolumes
from utad_monai.keys import BatchKey, ImageSource, Modality
from utad_monai.metrics import DownstreamSegmentation, image_quality
from utad_monai.metrics.downstream import replace
from utad_monai.models import Segmenter

Case = dict[str, Any]
Images = Mapping[Modality, Tensor]
Make = Callable[..., Any]
METRICS = ("ssim", "psnr", "nmse", "mae", "tumour_ssim", "tumour_psnr", "tumour_nmse", "tumour_mae")
TISSUES = ("tissue_order", "tissue_contrast")
METHODS = ("student", "teacher", "copy_source")
FILLS = ("real", "synthesized", "copy_source", "zero_fill")
REGIONS = ("WT", "TC", "ET")


class ByModality(nn.Module):
    """A segmentation that looks at one modality per region: WT in FLAIR, TC in T1ce, ET in T2."""

    def forward(self, image: Tensor) -> Tensor:
        chosen = [Modality.FLAIR.channel, Modality.T1CE.channel, Modality.T2.channel]
        thresholds = torch.tensor([-0.75, 0.15, 0.6])[None, :, None, None]
        return image[:, chosen] - thresholds


@pytest.fixture
def cases(evaluation_case: Make) -> list[Case]:
    return [evaluation_case("b", seed=1), evaluation_case("a", seed=2)]


@pytest.fixture
def evaluate(case_loader: Make, tmp_path: Path) -> Make:
    """Give `evaluate(cases, student, teacher)`, which runs an evaluator and returns it."""

    def _evaluate(cases: list[Case], student: Any, teacher: Any = None) -> TranslationEvaluator:
        translators = {"student": student, "teacher": teacher or student}
        segmentation = DownstreamSegmentation(ByModality())
        protocol = {"cohort": "tiny", "split": "test"}
        evaluator = TranslationEvaluator(
            "cpu",
            case_loader(cases),
            translators=translators,
            segmentation=segmentation,
            output_dir=tmp_path / "evaluation",
            protocol=protocol,
        )
        evaluator.run()
        return evaluator

    return _evaluate


def real_target(cases: list[Case]) -> Callable[..., Tensor]:
    """Return a translator that hands out the real target of the case that it recognises."""

    def translate(images: Images, target: Modality, _mask: Tensor | None = None) -> Tensor:
        (slices,) = images.values()
        (case,) = (c for c in cases if any(torch.equal(image, slices) for image in c[BatchKey.IMAGE].values()))
        real: Tensor = case[BatchKey.IMAGE][target]
        return real.clone()

    return translate


def darken(images: Images, _target: Modality, _mask: Tensor | None = None) -> Tensor:
    (slices,) = images.values()
    return torch.where(slices > -1, slices - 0.05, slices)


def table_of(evaluator: TranslationEvaluator) -> pandas.DataFrame:
    return pandas.read_csv(evaluator.output_dir / TABLE_FILE, keep_default_na=True)


def test_perfect_translator_has_ssim_1_error_0_and_capped_psnr(evaluate: Make, cases: list[Case]) -> None:
    table = table_of(evaluate(cases, real_target(cases)))
    for prefix in ("student_", "student_tumour_"):
        assert table[f"{prefix}ssim"].to_list() == pytest.approx([1] * 24, abs=1e-5)
        assert set(table[f"{prefix}mae"]) == set(table[f"{prefix}nmse"]) == {0}
        assert set(table[f"{prefix}psnr"]) == {100}


def test_perfect_translator_has_the_dice_of_the_real_images(evaluate: Make, cases: list[Case]) -> None:
    table = table_of(evaluate(cases, real_target(cases)))
    for region in REGIONS:
        assert table[f"dice_synthesized_{region}"].equals(table[f"dice_real_{region}"])
        assert not table[f"dice_synthesized_{region}"].equals(table[f"dice_zero_fill_{region}"])


def test_rows_are_every_case_source_and_other_target(evaluate: Make, cases: list[Case]) -> None:
    table = table_of(evaluate(cases, darken))
    rows = list(table[["case", "source", "target"]].itertuples(index=False, name=None))
    assert rows == [(c, str(s), str(t)) for c in ("b", "a") for s in Modality for t in Modality if s != t]


def test_columns_are_those_of_the_contract(evaluate: Make, cases: list[Case]) -> None:
    expected = ["case", "source", "target", *(f"{m}_{metric}" for m in METHODS for metric in (*METRICS, *TISSUES))]
    assert set(table_of(evaluate(cases, darken)).columns) == {
        *expected,
        *(f"dice_{f}_{r}" for f in FILLS for r in REGIONS),
    }


def test_copy_source_columns_equal_direct_computation(evaluate: Make, cases: list[Case]) -> None:
    segmentation = DownstreamSegmentation(ByModality())
    by_name = {case[BatchKey.CASE_ID]: case for case in cases}
    for row in table_of(evaluate(cases, darken)).to_dict("records"):
        images, truth = by_name[row["case"]][BatchKey.IMAGE], by_name[row["case"]][BatchKey.LABEL]
        source, target = Modality(row["source"]), Modality(row["target"])
        quality = image_quality(images[target], images[source], truth[0])
        assert {m: row[f"copy_source_{m}"] for m in METRICS} == pytest.approx(quality, nan_ok=True)
        dice = segmentation.dice(replace(images, target, images[source]), truth)
        assert {r: row[f"dice_copy_source_{r}"] for r in REGIONS} == pytest.approx({str(k): v for k, v in dice.items()})


def test_synthesized_dice_is_that_of_the_students_image_and_not_of_the_teachers(
    evaluate: Make, cases: list[Case]
) -> None:
    table = table_of(evaluate(cases, darken, teacher=real_target(cases)))
    images, truth = cases[0][BatchKey.IMAGE], cases[0][BatchKey.LABEL]
    made = darken({Modality.T1: images[Modality.T1]}, Modality.FLAIR)
    expected = DownstreamSegmentation(ByModality()).dice(replace(images, Modality.FLAIR, made), truth)
    row = table[(table.case == "b") & (table.source == "t1") & (table.target == "flair")].iloc[0]
    assert {r: row[f"dice_synthesized_{r}"] for r in REGIONS} == pytest.approx({str(k): v for k, v in expected.items()})
    assert row["teacher_mae"] == 0
    assert row["student_mae"] > 0


def test_zero_fill_replaces_the_target_by_background(evaluate: Make, cases: list[Case]) -> None:
    table = table_of(evaluate(cases, darken))
    filled_flair, filled_t1 = (table[table.target == name] for name in ("flair", "t1"))
    assert set(filled_flair.dice_zero_fill_WT) == {0}
    assert filled_t1.dice_zero_fill_WT.to_list() == filled_t1.dice_real_WT.to_list()


def test_translator_is_given_the_whole_tumour_mask(evaluate: Make, cases: list[Case]) -> None:
    def watch(images: Images, _target: Modality, mask: Tensor | None = None) -> Tensor:
        (slices,) = images.values()
        assert mask is not None
        masks.append(mask)
        return slices.clone()

    masks: list[Tensor] = []
    evaluate(cases[:1], watch)
    assert all(torch.equal(mask, cases[0][BatchKey.LABEL][0]) for mask in masks)
    assert len(masks) == 2 * 12


def test_incomplete_case_gives_nan_dice_and_rows_for_what_it_has(evaluate: Make, evaluation_case: Make) -> None:
    case = evaluation_case("two", [Modality.T1, Modality.T2])
    evaluator = evaluate([case], real_target([case]))
    table = table_of(evaluator)
    assert table[["source", "target"]].to_numpy().tolist() == [["t1", "t2"], ["t2", "t1"]]
    assert all(table[f"dice_{fill}_{region}"].isna().all() for fill in FILLS for region in REGIONS)
    assert not table["student_ssim"].isna().any()
    dice = evaluator.summary()["dice"]
    assert {value for fill in dice.values() for value in fill.values()} == {None}


def test_incomplete_case_does_not_change_the_means_of_the_dice(evaluate: Make, evaluation_case: Make) -> None:
    full, half = evaluation_case("full"), evaluation_case("half", [Modality.T1, Modality.T2], seed=5)
    alone = evaluate([full], darken).summary()
    both = evaluate([full, half], darken).summary()
    assert alone["dice"] == both["dice"]
    assert (alone["cases"], both["cases"]) == (1, 2)


def test_summary_has_exactly_its_schema(evaluate: Make, cases: list[Case]) -> None:
    evaluator = evaluate(cases, darken)
    summary = json.loads((evaluator.output_dir / SUMMARY_FILE).read_text())
    assert list(summary) == [
        *("protocol", "image_quality", "image_quality_by_pair", "image_quality_by_sources", "below_contrast_map"),
        *("dice", "cases"),
    ]
    assert summary["image_quality_by_sources"] == {}  # no method takes several
    assert {method: set(metrics) for method, metrics in summary["image_quality"].items()} == {
        method: {*METRICS, *TISSUES} for method in METHODS
    }
    assert {fill: set(regions) for fill, regions in summary["dice"].items()} == {fill: set(REGIONS) for fill in FILLS}
    assert summary["protocol"] == {"cohort": "tiny", "split": "test"}
    assert summary["cases"] == 2
    numbers = [n for part in ("image_quality", "dice") for row in summary[part].values() for n in row.values()]
    assert all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)


def test_summary_is_the_mean_of_the_table(evaluate: Make, cases: list[Case]) -> None:
    evaluator = evaluate(cases, darken)
    table, summary = table_of(evaluator), evaluator.summary()
    for method in METHODS:
        for metric in METRICS:
            assert summary["image_quality"][method][metric] == pytest.approx(
                table[f"{method}_{metric}"].mean(), abs=1e-5
            )
    for fill in FILLS:
        for region in REGIONS:
            assert summary["dice"][fill][region] == pytest.approx(table[f"dice_{fill}_{region}"].mean(), abs=1e-5)


def test_case_without_tumour_is_left_out_of_tumour_means(evaluate: Make, evaluation_case: Make) -> None:
    with_tumour, without = evaluation_case("with"), evaluation_case("without", seed=3)
    without[BatchKey.LABEL].zero_()
    summary = evaluate([with_tumour, without], darken).summary()
    alone = evaluate([with_tumour], darken).summary()
    assert summary["image_quality"]["student"]["tumour_mae"] == alone["image_quality"]["student"]["tumour_mae"]


def test_long_table_has_every_number_of_both_views(evaluate_several: Make, cases: list[Case]) -> None:
    evaluator = evaluate_several(cases, Several(cases), source_slices=2)
    long, table = pandas.read_csv(evaluator.output_dir / MEASUREMENTS_FILE), table_of(evaluator)
    assert list(long.columns) == ["case", "source", "target", "method", "region", "measure", "value"]
    assert not long.duplicated(list(long.columns[:-1])).any()
    named = long.set_index(["case", "source", "target", "method", "region", "measure"])["value"]
    for row in table.to_dict("records"):
        pair = row["case"], row["source"], row["target"]
        assert named[(*pair, "starter", "brain", "ssim")] == row["starter_ssim"]
        assert named[(*pair, "student", "WT", "mae")] == row["student_tumour_mae"]
        assert named[(*pair, "student", "tissue", "tissue_contrast")] == row["student_tissue_contrast"]
        assert named[(*pair, "student", "TC", "dice")] == row["dice_synthesized_TC"]
        assert named[(*pair, "zero_fill", "ET", "dice")] == row["dice_zero_fill_ET"]
    of_two = long[
        (long["region"] == "brain of 2 slices")
        & (long["measure"] == "mae")
        & long["source"].str.contains("+", regex=False)
    ]
    of_three = of_two[of_two["source"].str.count(r"\+") == 2]
    by_sources = evaluator.summary()["image_quality_by_sources"]
    assert by_sources["3"]["starter"]["mae"] == pytest.approx(of_three["value"].mean(), abs=1e-6)


def test_slices_that_were_chosen_have_no_neighbours_to_be_consistent_with(
    evaluate_several: Make, cases: list[Case]
) -> None:
    rows = evaluate_several(cases, Several(cases), source_slices=2).measurements.rows
    consistent = {row.region for row in rows if row.measure == "slice_consistency"}
    assert consistent == {"brain"}


def test_second_run_starts_anew(evaluate: Make, cases: list[Case]) -> None:
    evaluator = evaluate(cases, darken)
    first = table_of(evaluator)
    evaluator.run()
    pandas.testing.assert_frame_equal(table_of(evaluator), first)


def test_evaluation_of_no_case_is_refused(evaluate: Make) -> None:
    with pytest.raises(ValueError, match="no test case"):
        evaluate([], darken)


def test_evaluation_without_a_student_is_refused(case_loader: Make, cases: list[Case], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a student"):
        TranslationEvaluator(
            "cpu",
            case_loader(cases),
            translators={"teacher": darken},
            segmentation=DownstreamSegmentation(ByModality()),
            output_dir=tmp_path,
            protocol={},
        )  # type: ignore[dict-item]


@pytest.fixture
def evaluate_with_yardsticks(case_loader: Make, tmp_path: Path) -> Make:
    """Give `evaluate_with_yardsticks(cases, student)`: a flat brain and a contrast map that is 0.1 too dark."""

    def _evaluate(cases: list[Case], student: Any) -> TranslationEvaluator:
        exact = real_target(cases)

        def dark(images: Images, target: Modality, mask: Tensor | None = None) -> Tensor:
            image = exact(images, target, mask)
            return torch.where(image > -1, image - 0.1, image)

        evaluator = TranslationEvaluator(
            "cpu",
            case_loader(cases),
            translators={"student": student},
            segmentation=DownstreamSegmentation(ByModality()),
            output_dir=tmp_path / "evaluation",
            protocol={},
            yardsticks={"flat_brain": FlatBrain(dict.fromkeys(Modality, 0.2)), ImageSource.CONTRAST_MAP: dark},
        )
        evaluator.run()
        return evaluator

    return _evaluate


def test_yardsticks_are_measured_beside_the_methods(evaluate_with_yardsticks: Make, cases: list[Case]) -> None:
    evaluator = evaluate_with_yardsticks(cases, real_target(cases))
    table, quality = table_of(evaluator), evaluator.summary()["image_quality"]
    assert list(quality) == ["student", "copy_source", "flat_brain", "contrast_map"]
    assert quality["contrast_map"]["mae"] == pytest.approx(0.05, abs=1e-6)
    assert quality["flat_brain"]["tissue_order"] == 0
    assert quality["flat_brain"]["tissue_contrast"] == pytest.approx(0, abs=1e-6)
    assert quality["student"]["tissue_order"] == quality["contrast_map"]["tissue_order"] == 1
    assert table["contrast_map_tissue_contrast"].to_list() == pytest.approx([1] * 24, abs=1e-4)


def test_every_pair_has_its_own_means(evaluate_with_yardsticks: Make, cases: list[Case]) -> None:
    evaluator = evaluate_with_yardsticks(cases, darken)
    table, by_pair = table_of(evaluator), evaluator.summary()["image_quality_by_pair"]
    assert set(by_pair) == {f"{s}->{t}" for s in Modality for t in Modality if s != t}
    rows = table[(table.source == "t1") & (table.target == "t2")]
    for method in ("student", "flat_brain"):
        for metric in METRICS:
            assert by_pair["t1->t2"][method][metric] == pytest.approx(rows[f"{method}_{metric}"].mean(), abs=1e-5)


def test_a_method_that_does_not_beat_the_contrast_map_is_named(
    evaluate_with_yardsticks: Make, cases: list[Case]
) -> None:
    worse = evaluate_with_yardsticks(cases, darken).summary()
    assert worse["below_contrast_map"] == {"student": ["ssim", "tumour_ssim", "tumour_mae"]}
    better = evaluate_with_yardsticks(cases, real_target(cases)).summary()
    assert better["below_contrast_map"] == {}


class Several:
    """Hands out the real target, darker the fewer sources it is given."""

    several = True

    def __init__(self, cases: list[Case]) -> None:
        self.real = {
            (row.numpy().tobytes(), source, target): case[BatchKey.IMAGE][target][place]
            for case in cases
            for source, image in case[BatchKey.IMAGE].items()
            for place, row in enumerate(image)
            for target in case[BatchKey.IMAGE]
        }
        self.calls: list[tuple[int, int]] = []

    def __call__(self, images: Images, target: Modality, mask: Tensor | None = None) -> Tensor:
        assert target not in images
        source, slices = next(iter(images.items()))
        assert mask is not None
        assert mask.shape == slices.shape
        self.calls.append((len(images), len(slices)))
        real = torch.stack([self.real[row.numpy().tobytes(), source, target] for row in slices])
        return torch.where(real > -1, (real - 0.2 / len(images)).clamp_min(-0.999), -1.0)


@pytest.fixture
def evaluate_several(case_loader: Make, tmp_path: Path) -> Make:
    """Give `evaluate_several(cases, starter, **arguments)`: a student of one source beside it."""

    def _evaluate(cases: list[Case], starter: Any, **arguments: Any) -> TranslationEvaluator:
        translators = {"student": darken, "starter": starter}
        segmentation = DownstreamSegmentation(ByModality())
        folder = tmp_path / "evaluation"
        evaluator = TranslationEvaluator(
            "cpu",
            case_loader(cases),
            translators=translators,
            segmentation=segmentation,
            output_dir=folder,
            protocol={},
            **arguments,
        )
        evaluator.run()
        return evaluator

    return _evaluate


def test_methods_of_several_sources_are_measured_by_their_number(evaluate_several: Make, cases: list[Case]) -> None:
    starter = Several(cases)
    evaluator = evaluate_several(cases, starter)
    table, summary = table_of(evaluator), evaluator.summary()
    by_sources = summary["image_quality_by_sources"]
    assert list(by_sources) == ["1", "2", "3"]
    assert all(list(quality) == ["starter"] for quality in by_sources.values())
    assert by_sources["1"]["starter"] == summary["image_quality"]["starter"]
    errors = [by_sources[str(count)]["starter"]["mae"] for count in (1, 2, 3)]
    assert errors == pytest.approx([0.1, 0.05, 0.1 / 3], rel=0.1)
    counts = [count for count, _ in starter.calls]
    assert [counts.count(count) for count in (1, 2, 3)] == [2 * 12, 2 * 12, 2 * 4]
    assert len(table) == 24


def test_quality_by_sources_may_be_of_some_slices_alone(evaluate_several: Make, cases: list[Case]) -> None:
    starter = Several(cases)
    evaluator = evaluate_several(cases, starter, source_slices=2)
    summary = evaluator.summary()
    assert list(summary["image_quality_by_sources"]) == ["1", "2", "3"]
    assert {slices for count, slices in starter.calls if count > 1} == {2}
    of_all, of_some = summary["image_quality"]["starter"], summary["image_quality_by_sources"]["1"]["starter"]
    assert of_all != of_some
    assert of_all["mae"] == pytest.approx(of_some["mae"], rel=0.1)


def first_source(target: Modality, available: tuple[Modality, ...]) -> Modality:
    return next(modality for modality in available if modality != target)


def gaps() -> list[Any]:
    """Give what is asked where an untrained network stands for the one that tolerates gaps."""
    torch.manual_seed(0)
    segmenter = Segmenter(UNet(2, 4, 3, (4, 8), (2,)), Preprocessing(), arguments={})
    return gap_questions(DownstreamSegmentation(ByModality()), segmenter, best_source=first_source)


def test_every_route_is_measured_with_every_set_of_missing_modalities(
    evaluate_several: Make, cases: list[Case]
) -> None:
    evaluator = evaluate_several(cases, Several(cases), gaps=gaps())
    found = json.loads((evaluator.output_dir / SUMMARY_FILE).read_text())["missing_modalities"]
    methods = ("zero_fill", "student", "starter")
    assert len(found["subsets"]) == len(found["best"]) == 14
    for routes in (*found["subsets"].values(), *found["by_missing"].values()):
        assert set(routes) == {*methods, *(f"{name}+tolerant" for name in methods)}
    assert list(found["by_missing"]) == ["1", "2", "3", "all"]
    table = pandas.read_csv(evaluator.output_dir / MEASUREMENTS_FILE, keep_default_na=False)
    chosen = table[(table["source"] == "flair+t1") & (table["measure"] == "dice") & (table["region"] == "WT")]
    rows = chosen[chosen["method"] == "starter+tolerant"]
    assert rows["target"].to_list() == ["t1ce+t2"] * 2
    assert found["subsets"]["flair+t1"]["starter+tolerant"]["WT"]["mean"] == pytest.approx(
        rows["value"].astype(float).mean(), abs=1e-6
    )


def test_without_a_tolerant_network_an_evaluation_is_what_it_was(evaluate_several: Make, cases: list[Case]) -> None:
    assert gap_questions(DownstreamSegmentation(ByModality()), None, best_source=first_source) == []
    plain = evaluate_several(cases, Several(cases))
    files = {name: (plain.output_dir / name).read_bytes() for name in (TABLE_FILE, MEASUREMENTS_FILE)}
    before = plain.summary()
    beside = evaluate_several(cases, Several(cases), gaps=gaps())
    assert "missing_modalities" not in before
    assert (beside.output_dir / TABLE_FILE).read_bytes() == files[TABLE_FILE]
    assert {**beside.summary(), "missing_modalities": None} == {**before, "missing_modalities": None}
    more = (beside.output_dir / MEASUREMENTS_FILE).read_text().splitlines()
    assert set(files[MEASUREMENTS_FILE].decode().splitlines()) < set(more)


def test_a_case_that_lacks_a_modality_has_no_routes(evaluate_several: Make, evaluation_case: Make) -> None:
    case = evaluation_case("two", [Modality.T1, Modality.T2])
    assert "missing_modalities" not in evaluate_several([case], Several([case]), gaps=gaps()).summary()


def test_case_of_two_modalities_has_no_subset_of_two(evaluate_several: Make, evaluation_case: Make) -> None:
    case = evaluation_case("two", [Modality.T1, Modality.T2])
    assert list(evaluate_several([case], Several([case])).summary()["image_quality_by_sources"]) == ["1"]


def test_method_that_is_not_there_is_left_out(evaluate_several: Make, cases: list[Case]) -> None:
    evaluator = evaluate_several(cases, None)
    assert list(evaluator.summary()["image_quality"]) == ["student", "copy_source"]
    assert not any(column.startswith("starter") for column in table_of(evaluator))


def test_protocols_of_others_are_in_the_long_table_and_the_summary_and_change_no_other_file(
    prepared_tiny_cohort: PreparedCohort, case_loader: Make, tmp_path: Path
) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("test")
    found = {}
    for name in ("ours", "utad128"):
        evaluator = TranslationEvaluator(
            "cpu",
            case_loader([EvaluationCases(store, cases)[0]]),
            translators={"student": darken},
            segmentation=DownstreamSegmentation(ByModality()),
            output_dir=tmp_path / name,
            protocol={},
            whole_volumes=WholeVolumes(name, cohort=prepared_tiny_cohort, windows={}),
        )
        evaluator.run()
        found[name] = evaluator
    ours, others = (table_of(found[name]) for name in found)
    pandas.testing.assert_frame_equal(ours, others)
    assert "other_protocols" not in found["ours"].summary()
    rows = [row for row in found["utad128"].measurements.rows if row.measure == "utad128_ssim"]
    assert {row.method for row in rows} == {"student", "copy_source"}
    summary = json.loads((tmp_path / "utad128" / SUMMARY_FILE).read_text())
    values = [row.value for row in rows if row.method == "student"]
    mean = summary["other_protocols"]["utad128"]["student"]["utad128_ssim"]["mean"]
    assert mean == pytest.approx(sum(values) / len(values))
