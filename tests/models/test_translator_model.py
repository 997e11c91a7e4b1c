"""Models on disk: what is saved comes back equal, and nothing damaged, foreign or dangerous is used."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import UNet
from safetensors import safe_open
from torch import nn

from tests.model_files import BOTH_NAMES, Content, rewrite
from utad_monai.data import Preprocessing
from utad_monai.data.intensity import IntensityProfile
from utad_monai.keys import Modality, SecondInput, StudentScheme
from utad_monai.models import (
    CheckpointError,
    Segmenter,
    TranslatorModel,
    common_preprocessing,
    critics_for_student,
    file_sha256,
    load_segmenter,
    load_stage,
    load_start_weights,
    load_translator,
    read_weights_only,
    save_segmenter,
    save_translator,
)
from utad_monai.models.stages import MissingStageError
from utad_monai.networks import TumourAwareGenerator, critic_pair
from utad_monai.transforms import IntensityWindow

PREPROCESSING = Preprocessing((48.0, 60.0), (32, 32), lower_percentile=1.0, upper_percentile=99.0)
UNET: dict[str, Any] = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}


def make_translator(seed: int = 0, width: int = 2, scheme: StudentScheme = StudentScheme.COMPLETE) -> TranslatorModel:
    torch.manual_seed(seed)
    return TranslatorModel(
        TumourAwareGenerator(width, scheme, second_input=SecondInput.WHOLE_IMAGE, keep_background=False).eval(),
        PREPROCESSING,
        target_windows={Modality.T1: IntensityWindow(1.5, 800.0)},
        source_errors={Modality.T1: {Modality.T2: 0.125, Modality.FLAIR: 0.3}},
        intensity_profiles={Modality.T1: IntensityProfile((-0.5, -0.2, 0.0, 0.2, 0.5), (0.1, 0.1, 0.2, 0.1, 0.1))},
        critics=critic_pair((32, 32), 2, 4),
        training={"epoch": 3, "validation_value": -0.2},
    )


@pytest.fixture(params=BOTH_NAMES)
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Give the file of a student: as it is written, or as earlier versions wrote it."""
    path = tmp_path / "student" / str(request.param)
    save_translator(path, make_translator())
    return rewrite(path)


@pytest.fixture(params=BOTH_NAMES)
def segmenter_file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "segmentation" / str(request.param)
    save_segmenter(path, Segmenter(UNet(**UNET), PREPROCESSING, arguments=UNET))
    return rewrite(path)


def spoil(network: nn.Module, value: float) -> None:
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = value


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("scheme", StudentScheme)
def test_translator_comes_back_equal(tmp_path: Path, scheme: StudentScheme) -> None:
    saved = make_translator(scheme=scheme)
    save_translator(tmp_path / "model.safetensors", saved)
    loaded = load_translator(tmp_path / "model.safetensors")
    assert loaded.generator.description() == saved.generator.description()
    assert loaded.preprocessing == saved.preprocessing
    assert loaded.target_windows == saved.target_windows
    assert loaded.source_errors == saved.source_errors
    assert loaded.intensity_profiles == saved.intensity_profiles
    assert loaded.training == saved.training
    assert loaded.sha256 == file_sha256(tmp_path / "model.safetensors")
    assert loaded.critics is not None
    assert saved.critics is not None
    assert all(map(same_weights, loaded.critics, saved.critics))
    image, target = torch.rand(2, 1, 32, 32), torch.tensor([0, 3])
    for ours, theirs in zip(loaded.generator(image, image, target), saved.generator(image, image, target), strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)
    assert not loaded.generator.training


def test_translator_without_critics_comes_back_without(tmp_path: Path) -> None:
    save_translator(tmp_path / "model.safetensors", replace(make_translator(), critics=None))
    assert load_translator(tmp_path / "model.safetensors").critics is None


def test_segmenter_comes_back_equal(tmp_path: Path) -> None:
    network = UNet(**UNET).eval()
    save_segmenter(tmp_path / "model.safetensors", Segmenter(network, PREPROCESSING, arguments=UNET))
    loaded = load_segmenter(tmp_path / "model.safetensors")
    image = torch.rand(1, 4, 32, 32)
    assert torch.equal(loaded.network(image), network(image))
    assert not loaded.network.training
    assert (loaded.preprocessing, loaded.arguments) == (PREPROCESSING, UNET)
    assert loaded.sha256 == file_sha256(tmp_path / "model.safetensors")


def test_segmenter_keeps_its_modalities_and_an_older_file_has_all(tmp_path: Path) -> None:
    path, unet = tmp_path / "model.safetensors", {**UNET, "in_channels": 1}
    save_segmenter(path, Segmenter(UNet(**unet), PREPROCESSING, arguments=unet, modalities=(Modality.T1CE,)))
    assert load_segmenter(path).modalities == (Modality.T1CE,)
    rewrite(path, lambda content: content["description"].pop("modalities"))
    assert load_segmenter(path).modalities == tuple(Modality)


def test_loading_leaves_the_random_state_alone(model: Path, segmenter_file: Path) -> None:
    before = torch.get_rng_state()
    load_translator(model)
    load_segmenter(segmenter_file)
    assert torch.equal(torch.get_rng_state(), before)


def test_batch_statistics_travel_with_the_weights(tmp_path: Path) -> None:
    translator = make_translator()
    assert translator.generator.fusion is not None
    translator.generator.fusion.layers[0][1].running_mean.fill_(2.5)
    save_translator(tmp_path / "model.safetensors", translator)
    assert same_weights(load_translator(tmp_path / "model.safetensors").generator, translator.generator)


def test_header_of_the_file_says_all_but_the_weights_and_any_tool_reads_them(tmp_path: Path) -> None:
    translator = make_translator()
    save_translator(tmp_path / "model.safetensors", translator)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        (said,), keys = file.metadata().values(), list(file.keys())
        assert set(json.loads(said)) == {"format", "kind", "version", "description"}
        for name, weight in translator.generator.state_dict().items():
            assert torch.equal(file.get_tensor(name), weight)
        assert {key.split("/")[0] for key in keys if "/" in key} == {"critic_0", "critic_1"}


def test_name_of_the_file_does_not_say_its_form(tmp_path: Path) -> None:
    for path in (tmp_path / "model.pt", tmp_path / "model"):
        save_translator(path, make_translator())
        assert same_weights(load_translator(path).generator, make_translator().generator)


def test_value_of_a_validation_that_was_nan_comes_back(tmp_path: Path) -> None:
    save_translator(tmp_path / "m", replace(make_translator(), training={"a": math.nan, "b": math.inf}))
    training = load_translator(tmp_path / "m").training
    assert math.isnan(training["a"])
    assert training["b"] == math.inf


@pytest.mark.parametrize("absurd", [torch.zeros(1), Path("x"), [[[]] * 9] * 20_000])
def test_description_that_could_not_be_read_is_not_saved_and_the_old_file_survives(model: Path, absurd: object) -> None:
    old = model.read_bytes()
    with pytest.raises(CheckpointError, match=f"{model}.*description"):
        save_translator(model, replace(make_translator(), training={"a": absurd}))
    assert model.read_bytes() == old


def test_weights_of_any_memory_layout_are_saved(tmp_path: Path) -> None:
    translator = make_translator()
    expected = {name: weight.clone() for name, weight in translator.generator.state_dict().items()}
    translator.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_translator(tmp_path / "m", translator)
    loaded = load_translator(tmp_path / "m").generator.state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("part", ["generator", "critic"])
def test_weights_that_are_not_finite_are_not_saved_and_the_old_file_survives(
    model: Path, value: float, part: str
) -> None:
    old, bad = model.read_bytes(), make_translator(seed=1)
    assert bad.critics is not None
    spoil(bad.generator if part == "generator" else bad.critics[1], value)
    with pytest.raises(CheckpointError, match=f"{model}.*NaN or infinite"):
        save_translator(model, bad)
    assert model.read_bytes() == old
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_segmenter_with_nan_weights_is_not_saved(segmenter_file: Path) -> None:
    old, network = segmenter_file.read_bytes(), UNet(**UNET)
    spoil(network, float("nan"))
    with pytest.raises(CheckpointError, match="NaN"):
        save_segmenter(segmenter_file, Segmenter(network, PREPROCESSING, arguments=UNET))
    assert segmenter_file.read_bytes() == old


def test_interrupted_save_leaves_the_old_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    old = model.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(KeyboardInterrupt):
        save_translator(model, make_translator(seed=1))
    assert model.read_bytes() == old
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_the_same_model_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("model.safetensors", "again/other_name.pt"):
        save_translator(tmp_path / name, make_translator())
    assert (tmp_path / "again" / "other_name.pt").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize("part", ["generator", "critic_0", "critic_1"])
def test_weights_that_are_not_finite_are_not_loaded(model: Path, part: str) -> None:
    def spoiled(content: Any) -> None:
        # a safetensors file has no order: its first weight may be a whole number
        next(weight for weight in content["weights"][part].values() if weight.is_floating_point()).view(-1)[0] = (
            torch.nan
        )

    rewrite(model, spoiled)
    with pytest.raises(CheckpointError, match=f"{model}.*NaN or infinite"):
        load_translator(model)


def test_segmenter_with_nan_weights_is_not_loaded(segmenter_file: Path) -> None:
    rewrite(segmenter_file, lambda content: next(iter(content["weights"]["network"].values())).fill_(torch.nan))
    with pytest.raises(CheckpointError, match=f"{segmenter_file}.*NaN or infinite"):
        load_segmenter(segmenter_file)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(model: Path, share: float) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=str(model)):
        load_translator(model)


@pytest.mark.parametrize("length", [0, 1, 4, 20, 100, 300, 600])
def test_truncated_file_of_the_old_torch_format_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "old.pt"
    torch.save({"weights": {"a": torch.rand(200)}}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=str(path)):
        read_weights_only(path)


@pytest.mark.parametrize("content", [b"\x80", b"0", b"\x80\x02.", b"no model", b"PK\x03\x04", bytes(300), b"]a."])
def test_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path)):
        read_weights_only(path)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pt: checkpoint is missing"):
        load_translator(tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_translator(tmp_path)


class Touch:
    """Runs a shell command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


def write_payload(path: Path, marker: Path, container: str) -> None:
    content = {"kind": "translator", "format": 1, "weights": Touch(marker), "description": {}}
    if container == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")


@pytest.mark.parametrize("container", ["pickle", "legacy", "zip"])
def test_code_in_a_model_file_is_refused_and_never_run(tmp_path: Path, container: str) -> None:
    path, marker = tmp_path / "evil.pt", tmp_path / "marker"
    write_payload(path, marker, container)
    for load in (load_translator, load_segmenter, read_weights_only):
        with pytest.raises(CheckpointError, match=f"{path}.*unsafe"):
            load(path)
    assert not marker.exists()


@pytest.mark.parametrize("container", ["pickle", "legacy", "zip"])
def test_code_in_a_file_that_is_called_safetensors_is_refused_and_never_run(tmp_path: Path, container: str) -> None:
    path, marker = tmp_path / "evil.safetensors", tmp_path / "marker"
    write_payload(path, marker, container)
    for load in (load_translator, load_segmenter):
        with pytest.raises(CheckpointError, match=f"{path}.*truncated or corrupt"):
            load(path)
    assert not marker.exists()


def test_payload_of_the_test_above_is_live(tmp_path: Path) -> None:
    write_payload(tmp_path / "evil.pt", tmp_path / "marker", "pickle")
    pickle.loads((tmp_path / "evil.pt").read_bytes())
    assert (tmp_path / "marker").exists()


def test_other_kind_is_refused_with_both_names(model: Path, segmenter_file: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{segmenter_file}.*segmentation network, not a translation model"):
        load_translator(segmenter_file)
    with pytest.raises(CheckpointError, match=f"{model}.*translation model.*not a segmentation network"):
        load_segmenter(model)


def test_other_format_is_refused(model: Path) -> None:
    rewrite(model, lambda content: content.update(format=99))
    with pytest.raises(CheckpointError, match=r"newer or unknown form \(99;"):
        load_translator(model)


@pytest.mark.parametrize("content", [{"a": torch.zeros(1)}, [1, 2], torch.zeros(3), {"kind": "translator"}, None])
def test_file_without_description_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model\.pt.*no description"):
        load_translator(tmp_path / "model.pt")


CHANGES: dict[str, Callable[[Content], object]] = {
    "wider generator": lambda c: c["description"]["generator"].update(base_channels=3),
    "other scheme": lambda c: c["description"]["generator"].update(scheme="global_only"),
    "unknown scheme": lambda c: c["description"]["generator"].update(scheme="half"),
    "unknown argument": lambda c: c["description"]["generator"].update(depth=5),
    "generator is no mapping": lambda c: c["description"].update(generator=7),
    "no preprocessing": lambda c: c["description"].pop("preprocessing"),
    "impossible preprocessing": lambda c: c["description"]["preprocessing"].update(image_size=[30, 30]),
    "bad histogram": lambda c: c["description"].update(reference_histograms={"t1": [1.0]}),
    "unknown modality": lambda c: c["description"]["target_windows"].update(pet=[0, 1]),
    "empty window": lambda c: c["description"]["target_windows"].update(t1=[5, 5]),
    "windows are a list": lambda c: c["description"].update(target_windows=[1]),
    "other critic": lambda c: c["description"]["critic"].update(base_channels=3),
    "missing critic weights": lambda c: c["weights"].pop("critic_1"),
    "missing generator weights": lambda c: c["weights"].pop("generator"),
    "missing weight": lambda c: c["weights"]["generator"].pop("image_decoder.head.bias"),
    "unexpected weight": lambda c: c["weights"]["generator"].update(extra=torch.zeros(1)),
    "weight of another size": lambda c: c["weights"]["generator"].update({"image_decoder.head.bias": torch.zeros(9)}),
    "weight in double precision": lambda c: c["weights"]["generator"].update(
        {"image_decoder.head.bias": c["weights"]["generator"]["image_decoder.head.bias"].double()}
    ),
    "description is a list": lambda c: c.update(description=[1]),
}
NO_TENSORS: dict[str, Callable[[Content], object]] = {
    "weight is a text": lambda c: c["weights"]["generator"].update({"image_decoder.head.bias": "0"}),
    "weights are a list": lambda c: c.update(weights=[1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_model_that_does_not_fit_its_description_is_refused(model: Path, change: Callable[[Content], object]) -> None:
    refuses(rewrite(model, change))


@pytest.mark.parametrize("change", NO_TENSORS.values(), ids=NO_TENSORS)
@pytest.mark.parametrize("model", ["model.pt"], indirect=True)
def test_torch_file_whose_weights_are_no_tensors_is_refused(model: Path, change: Callable[[Content], object]) -> None:
    refuses(rewrite(model, change))


def refuses(model: Path) -> None:
    with pytest.raises(CheckpointError) as refusal:
        load_translator(model)
    assert str(refusal.value).count(str(model)) == 1
    assert refusal.value.path == model


@pytest.mark.parametrize("change", ["other width", "no unet", "no weights"])
def test_segmenter_that_does_not_fit_its_description_is_refused(segmenter_file: Path, change: str) -> None:
    changes: dict[str, Callable[[Content], object]] = {
        "other width": lambda c: c["description"]["unet"].update(channels=[4, 16]),
        "no unet": lambda c: c["description"].pop("unet"),
        "no weights": lambda c: c["weights"].clear(),
    }
    rewrite(segmenter_file, changes[change])
    with pytest.raises(CheckpointError, match=str(segmenter_file)):
        load_segmenter(segmenter_file)


def test_best_source_follows_the_ranking_and_then_the_usual_order() -> None:
    translator = make_translator()
    assert translator.best_source(Modality.T1, (Modality.FLAIR, Modality.T2)) is Modality.T2
    assert translator.best_source(Modality.T1, (Modality.T1CE,)) is Modality.T1CE
    assert translator.best_source(Modality.T2, tuple(Modality)) is Modality.T1
    with pytest.raises(ValueError, match="no source image to make t1"):
        translator.best_source(Modality.T1, (Modality.T1,))


def test_model_that_has_its_other_name_is_loaded_with_one_line_in_the_log(
    model: Path, segmenter_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path, load in ((model, load_translator), (segmenter_file, load_segmenter)):
        (asked,) = (path.with_name(name) for name in BOTH_NAMES if name != path.name)
        with caplog.at_level(logging.INFO, logger="utad_monai"):
            caplog.clear()
            assert load(asked).sha256 == file_sha256(path)
        assert len(caplog.messages) == 1


def test_stage_is_loaded_from_its_folder(tmp_path: Path, model: Path) -> None:
    assert load_stage(tmp_path, "student").sha256 == file_sha256(model)
    assert load_stage(tmp_path, "teacher", tmp_path / "student").sha256 == file_sha256(model)
    with pytest.raises(MissingStageError, match="teacher"):
        load_stage(tmp_path, "teacher")
    with pytest.raises(MissingStageError, match="elsewhere"):
        load_stage(tmp_path, "teacher", tmp_path / "elsewhere")


def test_student_starts_with_the_teachers_critics_or_fresh_ones() -> None:
    teacher = make_translator()
    assert teacher.critics is not None
    assert critics_for_student(teacher, warm_start=True) is teacher.critics
    fresh = critics_for_student(teacher, warm_start=False)
    assert [critic.description() for critic in fresh] == [critic.description() for critic in teacher.critics]
    assert not any(map(same_weights, fresh, teacher.critics))


@pytest.mark.parametrize("warm_start", [True, False])
def test_teacher_without_critics_is_refused(warm_start: bool) -> None:
    with pytest.raises(CheckpointError, match="without critics"):
        critics_for_student(replace(make_translator(), critics=None), warm_start)


def test_training_starts_from_an_earlier_models_weights(model: Path) -> None:
    start, new = make_translator(), make_translator(seed=5)
    assert start.critics is not None
    assert new.critics is not None
    assert not same_weights(new.generator, start.generator)
    assert load_start_weights(model, new.generator, new.critics)
    assert same_weights(new.generator, start.generator)
    assert all(map(same_weights, new.critics, start.critics))
    assert new.generator.training


def test_without_a_file_training_starts_fresh() -> None:
    new, before = make_translator(seed=5), make_translator(seed=5)
    assert new.critics is not None
    assert not load_start_weights("", new.generator, new.critics)
    assert same_weights(new.generator, before.generator)


def test_start_weights_of_another_architecture_are_refused(model: Path) -> None:
    wider = make_translator(width=3)
    assert wider.critics is not None
    with pytest.raises(CheckpointError, match=f"{model}.*does not fit"):
        load_start_weights(model, wider.generator, wider.critics)


def test_a_teacher_that_grows_from_a_student_without_tumour_branch_paints_what_it_paints(tmp_path: Path) -> None:
    switches = {"sources": "several", "conditional_norms": True, "gain_head": True}
    torch.manual_seed(3)
    starter = TumourAwareGenerator(2, "global_only", second_input="whole_image", **switches).eval()
    for weight in starter.parameters():
        weight.data.add_(0.1 * torch.randn_like(weight))
    path = tmp_path / "starter.pt"
    save_translator(path, replace(make_translator(), generator=starter, critics=None))
    teacher = TumourAwareGenerator(2, "complete", residual_fusion=True, **switches)
    critics = make_translator(seed=5).critics
    assert critics is not None
    assert load_start_weights(path, teacher, critics)
    image = torch.full((1, 4, 32, 32), -1.0)
    image[:, 1, 4:28, 4:28] = torch.rand(24, 24) - 0.5
    target = torch.tensor([3])
    with torch.no_grad():
        expected = starter(image, image, target).image
        painted = teacher.eval()(image, image, target)
    torch.testing.assert_close(painted.image, expected)
    assert painted.tumour_image is not None
    torch.testing.assert_close(painted.tumour_image, expected)


@pytest.mark.parametrize("with_critics", [True, False])
def test_training_begins_with_the_maps_that_it_is_given(tmp_path: Path, with_critics: bool) -> None:
    start = make_translator()
    path = tmp_path / "start.pt"
    save_translator(path, start if with_critics else replace(start, critics=None))
    critics = make_translator(seed=5).critics
    assert critics is not None
    generator = TumourAwareGenerator(**start.generator.description() | {"output_maps": True})  # type: ignore[arg-type]
    assert generator.output_maps is not None
    knots = generator.output_maps.knots**2
    load_start_weights(path, generator, critics, output_knots=knots)
    assert torch.equal(generator.output_maps.knots, knots)
    # a later training goes on with them
    save_translator(path, replace(start, generator=generator))
    later = TumourAwareGenerator(**generator.description())  # type: ignore[arg-type]
    load_start_weights(path, later, critics)
    assert later.output_maps is not None
    assert torch.equal(later.output_maps.knots, knots)


def test_models_of_one_preprocessing_are_compared_and_others_refused() -> None:
    first = make_translator()
    segmenter = Segmenter(nn.Identity(), PREPROCESSING, arguments=UNET)
    assert common_preprocessing([first, segmenter, first]) == PREPROCESSING
    other = replace(segmenter, preprocessing=replace(PREPROCESSING, upper_percentile=98.0))
    with pytest.raises(CheckpointError, match="different preprocessing"):
        common_preprocessing([first, first, other])
