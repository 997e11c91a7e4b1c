"""The configs of a package are the project's own, filled in for one model."""

from __future__ import annotations

import json
import math
from typing import Any

import monai
import pytest
import torch

from utad_monai import __version__
from utad_monai.apps.package.configs import Label, inference_config, logging_config, metadata_config
from utad_monai.bundle.configs import bundles_dir
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator

GENERATOR = TumourAwareGenerator(2).description()


def test_inference_keeps_every_key_of_the_projects_bundle() -> None:
    ours = json.loads((bundles_dir() / "inference.json").read_text(encoding="utf-8"))
    packaged = inference_config(GENERATOR)
    assert set(ours) <= set(packaged)
    same = set(ours) - {"network_def", "student", "evaluator"}
    assert {key: packaged[key] for key in same} == {key: ours[key] for key in same}
    assert packaged["evaluator"] == {**ours["evaluator"], "val_handlers": "@handlers"}


def test_network_is_written_out_and_reads_no_file() -> None:
    network = inference_config(GENERATOR)["network_def"]
    assert network["generator"] == {"_target_": "utad_monai.networks.TumourAwareGenerator", **GENERATOR}
    assert "@" not in json.dumps(network)
    assert "$" not in json.dumps(network)


def test_student_comes_from_the_package() -> None:
    assert inference_config(GENERATOR)["student"]["package"] == "@bundle_root"


def test_metadata_says_name_release_and_data() -> None:
    config = metadata_config(Label("some_name", "2.1.0", change="wider", data_source="cohort X"), {})
    assert (config["name"], config["version"], config["data_source"]) == ("some_name", "2.1.0", "cohort X")
    assert config["changelog"] == {"2.1.0": "wider"}


def test_metadata_has_the_installed_versions_without_their_build() -> None:
    config = metadata_config(Label(), {})
    assert config["pytorch_version"] == torch.__version__.partition("+")[0]
    assert config["monai_version"] == monai.__version__.partition("+")[0]
    assert config["required_packages_version"]["utad-monai"] == __version__
    assert config["required_packages_version"]["nibabel"]


def test_channels_follow_the_order_of_the_modalities() -> None:
    image = metadata_config(Label(), {})["network_data_format"]["inputs"]["image"]
    assert image["num_channels"] == len(image["channel_def"]) == 5
    for modality in Modality:
        assert f"the target is {modality.value}," in image["channel_def"][str(1 + modality.channel)]


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"validation_metric": "unpaired_score", "validation_value": -0.5}, {"validation_unpaired_score": -0.5}),
        ({"validation_metric": "unpaired_score", "validation_value": math.nan}, {}),
        ({"validation_metric": "unpaired_score"}, {}),
        ({"validation_value": 1.0}, {}),
        ({}, {}),
    ],
)
def test_validation_value_is_passed_on_where_there_is_one(training: dict[str, Any], expected: dict[str, float]) -> None:
    assert metadata_config(Label(), training)["eval_metrics"] == expected


def test_logging_is_the_projects() -> None:
    assert "[loggers]" in logging_config()
