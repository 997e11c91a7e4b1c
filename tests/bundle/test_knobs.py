"""Every knob of the bundles has a kind; what the bundles say fits it, and what is out of its range does not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from monai.bundle import ConfigParser

from utad_monai.bundle.configs import bundles_dir
from utad_monai.bundle.knobs import KNOBS, RELATIONS, SOURCES_OF_INFERENCE

BUNDLES = ("teacher", "student", "segmentation", "teach", "inference", "evaluate")
OVERLAYS = ("demo", "small", "published", "paired", "augmentation", "multi_gpu")
WIRING = {"imports", "bundle_root", "initialize", "finalize", "training", "run", "parts", "_desc_"}
"""Keys of the first level that are no knobs."""


def content(name: str) -> dict[str, Any]:
    return json.loads((bundles_dir() / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def plain(name: str) -> dict[str, Any]:
    """Return the values of a file that are data: no component, no expression."""
    given = {key: value for key, value in content(name).items() if "::" not in key and key not in WIRING}
    return {key: value for key, value in given.items() if not isinstance(value, dict) and "$" not in str(value)}


@pytest.mark.parametrize("name", [*BUNDLES, *OVERLAYS])
def test_every_knob_has_a_kind_that_its_value_fits(name: str) -> None:
    for knob, value in plain(name).items():
        assert knob in KNOBS, knob
        kind = SOURCES_OF_INFERENCE if (name, knob) == ("inference", "sources") else KNOBS[knob]
        assert kind.fits(value), (knob, value, kind.expected)


@pytest.mark.parametrize("name", ["teacher", "student", "segmentation", "teach", "inference", "evaluate"])
def test_described_knobs_have_a_kind(name: str) -> None:
    described = {knob for names in content(name)["_desc_"] for knob in names.split(", ")} - {"", *WIRING}
    assert described - set(KNOBS) == set()


def test_no_kind_is_of_a_knob_that_is_gone() -> None:
    assert set(KNOBS) <= {key for name in (*BUNDLES, *OVERLAYS) for key in content(name)}


@pytest.mark.parametrize("knob", KNOBS)
def test_no_knob_takes_everything(knob: str) -> None:
    """Each refuses what no knob can be, and something that looks a little like it."""
    assert not KNOBS[knob].fits(object())
    assert not KNOBS[knob].fits({"a": 1})
    assert KNOBS[knob].expected


@pytest.mark.parametrize(
    ("knob", "good", "bad"),
    [
        ("max_epochs", [1, 100], [0, -1, 1.5, 5.0, "abc", True, None, [3]]),
        ("batch_size", [1, 8], [0, -8, 2.5, "8"]),
        ("samples_per_epoch", [0, 240], [-1, 0.5, "all"]),
        ("seed", [0, 7], [-1, 1.5, "x"]),
        ("learning_rate", [1e-4, 1], [0, -1e-4, math.nan, math.inf, "fast", True]),
        ("average_decay", [0.0, 0.99], [1, -0.1, 1.5, "0.9"]),
        ("betas", [[0.5, 0.9], (0, 0.999)], [[0.5], [0.5, 1.0], [0.5, 0.9, 0.9], 0.5, ["a", "b"]]),
        ("validation_fraction", [0, 0.1, 1], [-0.1, 1.1, "some"]),
        ("lower_percentile", [0, 0.5, 100], [-1, 101, "low"]),
        ("image_size", [[192, 160], (32, 32)], [[100, 100], [16, 16], [192], [192, 160, 16], 192, [192.0, 160]]),
        ("frame_size_mm", [[240, 200.5]], [[0, 200], [240], [-240, 200], 240, ["a", "b"]]),
        ("modalities", [["t1"], ["t1", "pd"]], [["T1"], ["seg"], "t1", [], [1], ["a b"], list("abcdefghi")]),
        ("targets", [[], ["t1ce"], ("t1", "t2")], ["t1ce", ["t1 ce"], [3], None]),
        ("cases", [[], ["A", "B"]], ["A", [1], None]),
        ("scheme", ["complete"], ["complet", "COMPLETE", 1, ""]),
        ("adversarial_game", ["hinge"], ["vanilla", "", None]),
        ("sources", ["one", "several"], ["two", 2, []]),
        ("amp", ["", "bfloat16"], ["fp16", True, None]),
        ("split", ["", "test"], ["tests", 1]),
        ("resume", ["auto", "never"], ["yes", True]),
        ("flip", [True, False, 0, 1], ["false", "True", 2, None, 0.0]),
        ("workers", [None, 0, 4], [-1, 1.5, "all"]),
        ("unet_channels", [[16, 32]], [[], [0], 16, [16.5], "a"]),
        ("size_shares", [[0.6, 0.4]], [[], [-0.1], 1, ["x"]]),
        ("slice_sizes", [[[96, 80]]], [[96, 80], [[90, 80]], []]),
        ("cycle_weight", [0, 1.5], [-0.1, "x", None]),
        ("dataset_dir", ["2024", "", "a,b"], [2024, None, ("a", "b"), 1e3, ["x"]]),
        ("device", ["cpu"], ["cuda:99", "gpu", "", "meta", -1, None, "cpu:x"]),
        ("val_metric", ["paired_ssim"], ["ssim", None]),
        ("smooth_mm", [0, 1.5], [-1, "1mm"]),
        ("pairs", ["never", "auto"], ["always", True, None]),
        ("pair_patients", [0, 4], [-1, 0.5, "all"]),
        ("protocol", ["ours", ["utad128", "brasyn"]], ["theirs", [], ["ours", "theirs"], None]),
    ],
)
def test_kinds_hold_their_ranges(knob: str, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not KNOBS[knob].fits(value)] == []
    assert [value for value in bad if KNOBS[knob].fits(value)] == []


WRONG = {
    ("decay_epochs", "max_epochs"): (10, 5),
    ("validation_fraction", "test_fraction"): (0.5, 0.5),
    ("lower_percentile", "upper_percentile"): (99, 1),
    ("modalities", "second_input"): (["t1"], "tumour_image"),
    ("critic_layers", "image_size"): (6, [32, 32]),
    ("unet_channels", "unet_strides"): ([16, 32], [2, 2]),
    ("slice_sizes", "size_shares"): ([[32, 32]], [0.5, 0.5]),
}


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda one: one.names[0])
def test_relations_hold_in_the_bundles_and_are_broken_by_values_that_do_not_fit_together(relation: Any) -> None:
    for name in BUNDLES:
        assert relation.fault(plain(name)) == ""
    wrong = dict(zip(relation.names, WRONG[tuple(relation.names)], strict=True))
    assert relation.fault(wrong)
    assert relation.fault({relation.names[0]: wrong[relation.names[0]]}) == ""


def test_relations_hold_under_every_overlay() -> None:
    for base, overlay in (
        ("teacher", "demo"),
        ("teacher", "published"),
        ("student", "demo"),
        ("segmentation", "small"),
    ):
        files = [bundles_dir() / f"{name}.json" for name in (base, overlay)]
        merged = ConfigParser.load_config_files(files)
        assert [fault for relation in RELATIONS if (fault := relation.fault(merged))] == []
