"""Translations go back onto the patient's grid as `complete` writes them, and every table has its own measures."""

from __future__ import annotations

import math
from typing import Any

import pytest
from torch import Tensor

from utad_monai.data import EvaluationCases, PreparedCohort
from utad_monai.engines.measurements import Measurement, Measurements
from utad_monai.engines.method_on_case import BASELINES, EvaluatedCase, Method, MethodOnCase
from utad_monai.engines.whole_volumes import WholeVolumes, chosen_protocols, means_as_data, means_by_protocol
from utad_monai.handlers.saving import typical_windows
from utad_monai.keys import EvaluationProtocol, Modality
from utad_monai.metrics.measures import VOLUME_MEASURES

REAL, COPY, ZERO = BASELINES


@pytest.fixture
def cohort(prepared_tiny_cohort: PreparedCohort) -> PreparedCohort:
    return prepared_tiny_cohort


@pytest.fixture
def case(cohort: PreparedCohort) -> EvaluatedCase:
    return EvaluatedCase.of(EvaluationCases(cohort.store, cohort.cases("test"))[0])


@pytest.fixture
def volumes(cohort: PreparedCohort) -> Any:
    """Give `volumes(*protocols)`."""
    windows = typical_windows(cohort.cases("train"))
    return lambda *names: WholeVolumes(names, cohort=cohort, windows=windows)


def measure(whole: WholeVolumes, case: EvaluatedCase, method: Method) -> dict[tuple[str, str, str, str], float]:
    found = Measurements()
    whole(MethodOnCase(case, method), found)
    return {(row.source, row.target, row.measure, row.region): row.value for row in found.rows}


def true_target(case: EvaluatedCase) -> Any:
    return lambda _images, target, _mask: case.images[target].clone()


def test_the_true_target_put_back_onto_the_grid_is_nearly_the_patients_own(volumes: Any, case: EvaluatedCase) -> None:
    made = measure(volumes("utad128", "brasyn"), case, Method.of("student", true_target(case)))
    copied = measure(volumes("utad128"), case, COPY)
    assert min(value for (*_, name, _), value in made.items() if name != "brasyn_ssim_inside") > 0.95
    for key, value in copied.items():
        assert made[key] > value or key[0] == key[1], key


def test_a_copy_is_the_sources_own_volume(volumes: Any, case: EvaluatedCase) -> None:
    found = measure(volumes("utad128"), case, COPY)
    own = [value for (source, target, *_), value in found.items() if source == target]
    others = [value for (source, target, *_), value in found.items() if source != target]
    assert own == pytest.approx([1.0] * 4, abs=1e-6)
    assert len(others) == 12
    assert max(others) < 0.999


def test_only_utad128_counts_the_sources_own_modality(volumes: Any, case: EvaluatedCase) -> None:
    found = measure(volumes("utad128", "brasyn", "selfrdb"), case, COPY)
    assert {name for source, target, name, _ in found if source == target} == {"utad128_ssim"}
    assert not any(source == target for source, target, *_ in measure(volumes("brasyn"), case, COPY))


def test_what_takes_several_sources_keeps_its_own_modality(volumes: Any, case: EvaluatedCase) -> None:
    def refuse_its_own(images: Any, target: Modality, _mask: Any) -> Tensor:
        assert target not in images
        return next(iter(images.values())).clone()

    several = Method(
        "starter",
        lambda case, sources, target: refuse_its_own({s: case.images[s] for s in sources}, target, None),
        several=True,
    )
    found = measure(volumes("utad128"), case, several)
    assert found["t1", "t1", "utad128_ssim", "frame"] == pytest.approx(1)


def test_neither_the_truth_nor_nothing_is_measured_and_ours_looks_at_no_volume(
    volumes: Any, case: EvaluatedCase
) -> None:
    assert measure(volumes("selfrdb"), case, REAL) == {}
    assert measure(volumes("selfrdb"), case, ZERO) == {}
    assert measure(volumes("ours"), case, COPY) == {}
    assert volumes("ours").in_words == {}


def test_a_modality_that_nobody_trained_with_is_written_as_unit(cohort: PreparedCohort, case: EvaluatedCase) -> None:
    whole = WholeVolumes("brasyn", cohort=cohort, windows={})
    found = measure(whole, case, Method.of("student", true_target(case)))
    assert found["t1", "t2", "brasyn_ssim", "WT"] > 0.9


def test_protocols_are_chosen_by_one_name_or_several_and_each_once() -> None:
    assert chosen_protocols("brasyn") == (EvaluationProtocol.BRASYN,)
    assert chosen_protocols(["selfrdb", "ours", "selfrdb"]) == (EvaluationProtocol.SELFRDB, EvaluationProtocol.OURS)
    with pytest.raises(ValueError, match="challenge"):
        chosen_protocols("challenge")


def row(
    case: str, target: str, value: float, *, method: str = "student", source: str = "t1", **other: str
) -> Measurement:
    region, name = other.get("region", "frame"), other.get("measure", "utad128_ssim")
    return Measurement(case, source, target, method, region, name, value)


def test_means_count_every_case_the_same_and_have_intervals() -> None:
    rows = [row("a", "t2", 0.2), row("a", "flair", 0.4), row("b", "t2", 0.9), row("b", "t2", 0.1, method="real")]
    rows.append(row("b", "t2", 0.0, source="t1+flair"))
    means = means_by_protocol(rows, [EvaluationProtocol.UTAD128])
    assert list(means["utad128"]) == ["student"]
    found = means["utad128"]["student"]["utad128_ssim"]
    assert found.mean == pytest.approx(0.6)
    assert found.low < 0.6 < found.high
    assert found.cases == 2


def test_a_table_has_the_measures_of_its_protocol_alone() -> None:
    rows = [
        *(row("a", "t2", 0.5, region=region, measure="brasyn_ssim") for region in ("WT", "healthy")),
        *(row("a", "t2", 0.5, region=region, measure=name) for region in ("brain", "WT") for name in ("ssim", "mae")),
        row("a", "t2", math.nan, region="WT", measure="brasyn_ssim_inside"),
    ]
    means = means_by_protocol(rows, [EvaluationProtocol.OURS, EvaluationProtocol.BRASYN])
    assert list(means["ours"]["student"]) == ["ssim", "mae", "tumour_ssim", "tumour_mae"]
    assert list(means["brasyn"]["student"]) == [
        "tumour_brasyn_ssim",
        "healthy_brasyn_ssim",
        "tumour_brasyn_ssim_inside",
    ]
    assert means_as_data(means)["brasyn"]["student"]["tumour_brasyn_ssim_inside"]["mean"] is None


def test_every_protocol_but_ours_measures_volumes() -> None:
    assert [protocol for protocol in EvaluationProtocol if not VOLUME_MEASURES[protocol]] == [EvaluationProtocol.OURS]
