"""Every bundle: its targets exist and accept what they are given, and MONAI finds the ids it asks for."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pydoc
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser
from monai.bundle.properties import InferProperties, TrainProperties
from monai.bundle.reference_resolver import ReferenceResolver
from monai.transforms import MapTransform
from monai.utils import BundleProperty, BundlePropertyConfig

from utad_monai import transforms
from utad_monai.bundle.configs import bundles_dir
from utad_monai.data import Preprocessing
from utad_monai.losses import LossWeights
from utad_monai.models.stages import Stage

FOLDER = bundles_dir()
TRAINING = ("teacher.json", "student.json", "segmentation.json")
TAUGHT = (*TRAINING, "teach.json")
"""Trainings, that by the phantom included, which has no cohort: MONAI's ids for a data set do not fit it."""
INFERENCE = ("inference.json", "evaluate.json")
OVERLAYS = {
    "demo.json": TRAINING,
    "published.json": ("teacher.json", "student.json"),
    "small.json": TRAINING,
    "multi_gpu.json": TRAINING,
    "paired.json": ("teacher.json",),
    "augmentation.json": ("segmentation.json",),
    "gap_tolerant.json": ("segmentation.json",),
}
"""Overlays and the bundles that they are laid over."""
FILES = sorted(path.name for path in FOLDER.glob("*.json") if path.name not in ("metadata.json", "study.json"))
SAVED_OTHERWISE = {"network_def", "loss", "train::trainer", "validate::evaluator", "validate::dataset"} | {
    "validate::key_metric::val_mean_dice"
}
"""Components with a state that is saved under another name, by the trainer's counters, or never changes."""
MONAI = ("engines", "handlers", "inferers", "losses", "networks.nets", "transforms")
"""Packages whose names bundles may use bare."""
Config = dict[str, Any]


@cache
def load(*names: str) -> Config:
    """Return a bundle with its overlays, as MONAI merges them."""
    return ConfigParser.load_config_files([FOLDER / name for name in names])


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every node of a config with its id."""
    yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from nodes(child, f"{path}::{key}" if path else str(key))


def components(name: str) -> list[tuple[str, Config]]:
    content = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return [(path, node) for path, node in nodes(content) if isinstance(node, dict) and "_target_" in node]


def locate(target: str) -> Callable[..., Any] | None:
    if "." in target:
        return pydoc.locate(target)  # type: ignore[return-value]
    packages = [importlib.import_module(f"monai.{package}") for package in MONAI]
    return next((getattr(package, target) for package in packages if hasattr(package, target)), None)


ALL_COMPONENTS = [(name, path, node) for name in FILES for path, node in components(name)]


def test_the_bundles_are_there() -> None:
    assert {*TAUGHT, *INFERENCE, *OVERLAYS} <= set(FILES)
    assert len(ALL_COMPONENTS) > 80


@pytest.mark.parametrize(("name", "path", "node"), ALL_COMPONENTS, ids=[f"{n}-{p}" for n, p, _ in ALL_COMPONENTS])
def test_target_exists_and_its_arguments_fit(name: str, path: str, node: Config) -> None:
    target = locate(node["_target_"])
    assert callable(target), f"{name}: {path}: {node['_target_']}"
    arguments = {key: object() for key in node if not re.fullmatch(r"_\w+_", key)}
    signature = inspect.signature(target)
    if node.get("_mode_") == "callable":
        signature.bind_partial(**arguments)
    else:
        signature.bind(**arguments)


@pytest.mark.parametrize("name", TAUGHT)
def test_training_and_run_are_the_same(name: str) -> None:
    assert load(name)["training"] == load(name)["run"] != []


@pytest.mark.parametrize(
    ("name", "properties"),
    [*((name, TrainProperties) for name in TRAINING), *((name, InferProperties) for name in INFERENCE)],
)
def test_ids_that_monai_requires_exist(name: str, properties: dict[str, Any]) -> None:
    present = {path for path, _ in nodes(load(name))}
    required = {entry[BundlePropertyConfig.ID] for entry in properties.values() if entry[BundleProperty.REQUIRED]}
    assert len(required) >= 6
    assert required - present == set()


@pytest.mark.parametrize("name", TAUGHT)
def test_ids_that_monai_knows_are_used_where_there_is_such_a_thing(name: str) -> None:
    present = {path for path, _ in nodes(load(name))}
    assert {"network_def", "val_interval", "train::handlers", "validate::evaluator", "validate::dataset"} <= present


@pytest.mark.parametrize("name", FILES)
def test_no_lambda_and_no_broken_expression(name: str) -> None:
    for path, node in nodes(json.loads((FOLDER / name).read_text(encoding="utf-8"))):
        if isinstance(node, str):
            assert "lambda" not in node, path
            if node.startswith("$") and not node.startswith("$import"):
                ast.parse(re.sub(r"@[\w#:]+", "reference", node[1:]), mode="eval")


@pytest.mark.parametrize("name", FILES)
def test_file_is_short_and_is_indented_json(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (160 if name in TAUGHT else 200)
    assert next(iter(json.loads(text))) == "_desc_"


@pytest.mark.parametrize(
    "names",
    [(name,) for name in FILES if name not in OVERLAYS] + [(b, o) for o, bases in OVERLAYS.items() for b in bases],
)
def test_every_reference_has_its_id(names: tuple[str, ...]) -> None:
    present = {path for path, _ in nodes(load(*names))}
    for path, node in nodes(load(*names)):
        if isinstance(node, str):
            for reference in ReferenceResolver.match_refs_pattern(node):
                assert reference.replace("#", "::") in present, f"{path}: @{reference}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_changes_only_what_there_is(overlay: str) -> None:
    bases = [{path for path, _ in nodes(load(name))} for name in OVERLAYS[overlay]]
    keys = [
        key for key in json.loads((FOLDER / overlay).read_text(encoding="utf-8")) if key not in ("_desc_", "finalize")
    ]
    assert [key for key in keys if not any(key.lstrip("+").replace("#", "::") in base for base in bases)] == []


@pytest.mark.parametrize("name", TAUGHT)
def test_everything_that_changes_is_part_of_the_resumable_state(name: str) -> None:
    config = load(name)
    stateful = config["resumable"]["stateful"]
    if "_target_" in stateful:  # `stateful_parts` takes what changes out of the handlers, and names it
        assert stateful["handlers"] == ["@train#handlers", "@validate#handlers"]
        return
    saved = {str(reference).removeprefix("@") for reference in stateful.values()}
    for path, node in nodes(config):
        target = locate(node["_target_"]) if isinstance(node, dict) and "_target_" in node else None
        if hasattr(target, "load_state_dict") and path not in SAVED_OTHERWISE:
            assert path.replace("::", "#") in saved, path
    assert len(saved) == len(stateful)


@pytest.mark.parametrize("name", [*TAUGHT, *INFERENCE])
def test_every_knob_is_described(name: str) -> None:
    config = load(name)
    described = {knob for names in config["_desc_"] for knob in names.split(", ")} - {""}
    wiring = {"imports", "bundle_root", "training", "run", "initialize"}
    plain = {key for key, value in config.items() if not isinstance(value, dict) and not str(value).startswith("$")}
    assert plain - wiring <= described
    assert described <= set(config)
    assert config["_desc_"][""]


@pytest.mark.parametrize("name", ["teacher.json", "segmentation.json"])
def test_preprocessing_is_written_as_the_transforms_that_models_repeat(name: str) -> None:
    parser = ConfigParser(load(name))
    transforms = parser.get_parsed_content("preprocessing::preprocessing")
    made = Preprocessing.of(transforms)
    assert made == Preprocessing(tuple(load(name)["frame_size_mm"]), tuple(load(name)["image_size"]))
    assert [type(one) for one in transforms.transforms] == [type(one) for one in made.transforms.transforms]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, ["RandFlipd"]),
        ({"modality_dropout": 0.3}, ["RandFlipd", "RandDropModalitiesd"]),
        ({"modality_dropout": load("gap_tolerant.json")["modality_dropout"]}, ["RandFlipd", "RandDropModalitiesd"]),
    ],
)
def test_a_segmentation_drops_modalities_where_it_is_asked_to(settings: Config, steps: list[str]) -> None:
    parser = ConfigParser(ConfigParser.load_config_files([FOLDER / "segmentation.json"]) | settings)
    found = parser.get_parsed_content("train::preprocessing").transforms
    assert [type(one).__name__ for one in found] == steps
    assert [one.prob for one in found[1:]] == [settings.get("modality_dropout")] * (len(steps) - 1)


def test_the_tolerant_network_does_not_take_the_place_of_the_plain_one() -> None:
    folders = {
        names[-1]: ConfigParser(load(*names) | {"output_dir": "run"}).get_parsed_content("stage_dir")
        for names in (("segmentation.json",), ("segmentation.json", "gap_tolerant.json"))
    }
    assert list(folders.values()) == ["run/segmentation", f"run/{Stage.TOLERANT}"]


@pytest.mark.parametrize("name", ["teacher.json", "student.json"])
@pytest.mark.parametrize("flip", [True, False])
def test_a_user_adds_a_random_transform_without_python(name: str, flip: bool, tmp_path: Path) -> None:
    gamma = {"_target_": "RandAdjustContrastd", "keys": "image", "prob": 0.3}
    overlay = tmp_path / "gamma.json"
    overlay.write_text(json.dumps({"flip": flip, "+train::augmentation::transforms": [gamma]}), encoding="utf-8")
    parser = ConfigParser(ConfigParser.load_config_files([FOLDER / name, overlay]))
    steps = parser.get_parsed_content("train::dataset::transform").flatten().transforms
    names = [type(one).__name__ for one in steps]
    assert names == [*(["RandFlipd"] if flip else []), "RandAdjustContrastd", "KeepBackgroundd", "MaskTumourd"]


def test_every_dictionary_transform_is_named_in_a_bundle() -> None:
    named = {node["_target_"].rpartition(".")[2] for _, _, node in ALL_COMPONENTS}
    kinds = [one for one in vars(transforms).values() if isinstance(one, type)]
    own = {kind.__name__ for kind in kinds if issubclass(kind, MapTransform)}
    assert len(own) >= 12
    assert own - named == set()


@pytest.mark.parametrize("name", ["teacher.json", "student.json"])
def test_published_overlay_has_the_published_values(name: str) -> None:
    config = load(name, "published.json")
    published = {
        "seed": 1234,
        "max_epochs": 100,
        "decay_epochs": 50,
        "batch_size": 8,
        "learning_rate": 1e-4,
        "final_learning_rate": 1e-6,
        "betas": [0.9, 0.999],
        "critic_steps": 5,
        "adversarial_weight": 1.0,
        "average_decay": 0.0,
        "tumour_fraction": 0.0,
        "flip": False,
    }
    assert {key: config[key] for key in published} == published
    weights = {key: value for key, value in config["loss_weights"].items() if not isinstance(value, str)}
    assert weights.items() <= asdict(LossWeights()).items()
    switches = {
        key: config[value.removeprefix("@")] for key, value in config["loss_weights"].items() if "@" in str(value)
    }
    assert switches.items() <= asdict(LossWeights()).items()
    assert len(weights | switches) >= 12


def test_published_overlay_has_the_published_networks() -> None:
    config = load("teacher.json", "published.json")
    published = {"image_size": [128, 128], "base_channels": 64, "critic_channels": 64, "critic_layers": 6}
    published["adversarial_game"] = "wasserstein"
    assert {key: config[key] for key in published} == published


@pytest.mark.parametrize("name", [*TAUGHT, *INFERENCE])
def test_folder_that_is_written_is_held_before_any_work(name: str) -> None:
    folder = {"inference.json": "$@output_dir + '/synthetic'", "evaluate.json": "$@output_dir + '/evaluation'"}
    for names in [(name,), *((name, overlay) for overlay, bases in OVERLAYS.items() if name in bases)]:
        first, step = load(*names)["initialize"]
        assert first == {"_target_": "utad_monai.bundle.run.check"}
        assert step["_target_"] == "utad_monai.bundle.run.begin"
        assert step["folder"] == folder.get(name, "@stage_dir")
        assert step.get("seed") == ("@seed" if name in TAUGHT else None)
        assert step.get("processes", False) is ("multi_gpu.json" in names)


@pytest.mark.parametrize("name", FILES)
def test_paths_are_relative_to_where_the_user_is(name: str) -> None:
    content = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    strings = [node for _, node in nodes(content) if isinstance(node, str)]
    assert not [text for text in strings if Path(text).is_absolute() or "/home/" in text or "/work" in text]


def test_a_starter_is_taught_on_other_patients_than_it_is_validated_on() -> None:
    config = load("teach.json")
    assert config["phantom"]["seed"] == config["train"]["dataset"]["seed"] == "@seed"
    assert config["validation_phantom"]["seed"] == config["validate"]["dataset"]["seed"] == "$@seed + 1"
    assert config["train"]["dataset"]["brains"] == "@phantom"
    assert config["validate"]["dataset"]["brains"] == "@validation_phantom"


def test_a_starter_takes_several_sources_and_needs_no_mask() -> None:
    config = load("teach.json")
    switches = {"sources": "several", "conditional_norms": True, "gain_head": True}
    assert switches.items() <= config["network_def"].items()
    assert (config["scheme"], config["second_input"]) == ("global_only", "whole_image")


@pytest.mark.parametrize("name", ["teacher", "student", "segmentation", "evaluate", "inference"])
def test_bad_cases_stop_a_bundle_unless_they_are_to_be_skipped(name: str) -> None:
    config = ConfigParser.load_config_file(bundles_dir() / f"{name}.json")
    assert config["on_bad_case"] == "refuse"
    part = config["dataset"] if name == "inference" else config["cohort"]
    assert part["on_bad_case"] == "@on_bad_case"
