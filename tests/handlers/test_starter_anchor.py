"""The anchor ties a training to what its start weights paint, in the cohort's intensities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD

from utad_monai.data import PreparedCohort, Preprocessing
from utad_monai.engines import TranslationTrainer
from utad_monai.engines.batch import prepare_translation_batch
from utad_monai.handlers import StarterAnchor
from utad_monai.keys import BatchKey, LossTerm, Modality, TumourLabel
from utad_monai.losses import LossWeights
from utad_monai.models import TranslatorModel, load_translator, save_translator
from utad_monai.networks import TumourAwareGenerator, critic_pair, generator_input
from utad_monai.transforms import IntensityWindow

SWITCHES: dict[str, Any] = {"sources": "several", "conditional_norms": True, "gain_head": True}
FLAT = [1 / 256] * 256


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    generator = TumourAwareGenerator(2, "global_only", second_input="whole_image", **SWITCHES)
    for weight in generator.parameters():
        weight.data.add_(0.1 * torch.randn_like(weight))
    translator = TranslatorModel(
        generator, Preprocessing(image_size=(32, 32)), reference_histograms=dict.fromkeys(Modality, FLAT)
    )
    save_translator(tmp_path / "starter.pt", translator)
    return tmp_path / "starter.pt"


@pytest.fixture
def batch() -> dict[str, Any]:
    torch.manual_seed(1)
    image, mask = torch.full((2, 1, 32, 32), -1.0), torch.zeros(2, 1, 32, 32)
    image[:, :, 4:28, 6:26] = torch.rand(2, 1, 24, 20) * 1.6 - 0.8
    mask[:, :, 10:16, 12:20] = 1
    return {
        BatchKey.IMAGE: image,
        BatchKey.TUMOUR_MASK: mask,
        BatchKey.SOURCE_MODALITY: torch.tensor([0, 2]),
        BatchKey.TARGET_MODALITY: torch.tensor([3, 2]),
        BatchKey.CASE_ID: ["a", "b"],
    }


def make_trainer(
    anchor: StarterAnchor, batch: dict[str, Any], weight: float = 10.0, **more: float
) -> TranslationTrainer:
    torch.manual_seed(2)
    generator = TumourAwareGenerator(2, "complete", residual_fusion=True, **SWITCHES)
    critics = critic_pair((32, 32), 2, 4)
    players = (generator, *critics)
    optimizers = [SGD(generator.parameters(), 0.0), SGD([w for critic in critics for w in critic.parameters()], 0.0)]
    trainer = TranslationTrainer(
        "cpu",
        1,
        train_data_loader=[batch],
        generator=players[0],
        whole_critic=players[1],
        tumour_critic=players[2],
        generator_optimizer=optimizers[0],
        critic_optimizer=optimizers[1],
        loss_weights=LossWeights(anchor=weight, **more),
        critic_steps=1,
        epoch_length=None,
        train_handlers=None,
    )
    anchor.attach(trainer)
    return trainer


def test_term_is_the_distance_to_the_calibrated_start_weights(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort
) -> None:
    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    trainer = make_trainer(anchor, batch)
    trainer.run()
    assert anchor.starter is not None
    assert trainer.translation is not None
    image, source, target = batch[BatchKey.IMAGE], batch[BatchKey.SOURCE_MODALITY], batch[BatchKey.TARGET_MODALITY]
    with torch.no_grad():
        given = generator_input(anchor.starter, image, source)
        painted = anchor.starter(given, given, target).image[:1]
    assert Modality.T2 in anchor.calibration.maps
    calibrated = anchor.calibration(painted[0], Modality.T2)
    assert not torch.allclose(calibrated, painted[0])
    # the second sample's target is its own modality: it does not count
    expected = (trainer.translation.image[0] - calibrated).abs().mean()
    assert trainer.state.output[str(LossTerm.ANCHOR)] == pytest.approx(float(expected), rel=1e-5)


def test_mirror_images_are_painted_too_where_it_is_asked_for(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort
) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    batch[BatchKey.TARGET_MODALITY] = torch.tensor([3, 1])
    mirrored = dict(batch) | {key: batch[key].flip(-1) for key in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK)}
    for flips in (False, True):
        painted = []
        for given in (batch, mirrored):
            anchor = StarterAnchor(starter, store, cases=cases, flips=flips)
            make_trainer(anchor, given)
            painted.append(anchor.painted(prepare_translation_batch(given, "cpu")))
        assert torch.allclose(painted[0], painted[1].flip(-1), atol=1e-5) is flips


def test_tumours_get_the_intensities_of_the_cohorts_tumours(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort
) -> None:
    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    make_trainer(anchor, batch)
    plain = anchor.painted(prepare_translation_batch(batch, "cpu"))
    labels = batch[BatchKey.TUMOUR_MASK].long() * TumourLabel.OEDEMA
    moved = anchor.painted(prepare_translation_batch(batch | {BatchKey.TUMOUR_LABELS: labels}, "cpu"))
    assert torch.equal(moved[labels == 0], plain[labels == 0])
    wanted = anchor.regions[Modality.T2.channel, TumourLabel.OEDEMA]  # type: ignore[index]
    assert float(moved[0][labels[0] > 0].mean()) == pytest.approx(float(wanted), abs=1e-3)
    assert abs(float(plain[0][labels[0] > 0].mean()) - float(wanted)) > 0.05


def test_tumour_and_structure_count_where_they_have_a_weight(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort
) -> None:
    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    trainer = make_trainer(anchor, batch, anchor_tumour=2.0, anchor_structure=3.0)
    trainer.run()
    assert trainer.translation is not None
    with torch.no_grad():
        painted = anchor.painted(prepare_translation_batch(batch, "cpu"))
        apart = (trainer.translation.image - painted).abs()[:1]
    in_tumour = float(apart[batch[BatchKey.TUMOUR_MASK][:1] > 0].mean())
    assert trainer.state.output[str(LossTerm.ANCHOR_TUMOUR)] == pytest.approx(in_tumour, rel=1e-4)
    assert 0 < trainer.state.output[str(LossTerm.ANCHOR_STRUCTURE)] < 1


def test_a_batch_without_translations_adds_nothing(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort
) -> None:
    batch[BatchKey.TARGET_MODALITY] = batch[BatchKey.SOURCE_MODALITY]
    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    trainer = make_trainer(anchor, batch)
    trainer.run()
    assert str(LossTerm.ANCHOR) not in trainer.state.output


def test_start_weights_stay_as_they_are(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort
) -> None:
    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    before = anchor.state_dict()
    make_trainer(anchor, batch).run()
    assert anchor.state_dict() == before


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_without_start_weights_or_weight_nothing_is_added(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort, weight: float
) -> None:
    path = starter if weight == 0 else ""
    anchor = StarterAnchor(path, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    trainer = make_trainer(anchor, batch, weight)
    trainer.run()
    assert str(LossTerm.ANCHOR) not in trainer.state.output


def test_other_start_weights_end_a_resumed_training(starter: Path, prepared_tiny_cohort: PreparedCohort) -> None:
    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    anchor.load_state_dict(anchor.state_dict())
    with pytest.raises(ValueError, match="start weights are others"):
        anchor.load_state_dict({"starter": ""})
    with pytest.raises(ValueError, match="anchor_flips"):
        anchor.load_state_dict(anchor.state_dict() | {"flips": True})


def test_outside_a_training_step_it_is_refused(starter: Path, prepared_tiny_cohort: PreparedCohort) -> None:
    from ignite.engine import Engine

    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"))
    with pytest.raises(RuntimeError, match="inside the training step"):
        anchor(Engine(lambda _engine, _batch: None))


def with_truth(batch: dict[str, Any], paired: list[bool]) -> dict[str, Any]:
    return batch | {
        BatchKey.TARGET_IMAGE: torch.full_like(batch[BatchKey.IMAGE], 0.25),
        BatchKey.PAIRED: torch.tensor(paired),
    }


@pytest.mark.parametrize("path", ["starter", ""])
def test_a_paired_sample_is_held_at_its_true_target(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort, path: str
) -> None:
    cases = prepared_tiny_cohort.cases("train")
    anchor = StarterAnchor(starter if path else "", prepared_tiny_cohort.store, cases=cases, pairs="auto")
    trainer = make_trainer(anchor, with_truth(batch, [True, False]))
    trainer.run()
    assert trainer.translation is not None
    expected = (trainer.translation.image[0] - 0.25).abs().mean()
    assert trainer.state.output[str(LossTerm.ANCHOR)] == pytest.approx(float(expected), rel=1e-5)


def test_nothing_is_painted_where_every_sample_has_its_target(
    starter: Path, batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = prepared_tiny_cohort.cases("train")
    anchor = StarterAnchor(starter, prepared_tiny_cohort.store, cases=cases, pairs="auto")
    monkeypatch.setattr(anchor, "painted", None)
    trainer = make_trainer(anchor, with_truth(batch, [True, True]))
    trainer.run()
    assert trainer.translation is not None
    expected = (trainer.translation.image - 0.25).abs().mean()
    assert trainer.state.output[str(LossTerm.ANCHOR)] == pytest.approx(float(expected), rel=1e-5)


def test_without_start_weights_and_pairs_nothing_is_added(
    batch: dict[str, Any], prepared_tiny_cohort: PreparedCohort
) -> None:
    anchor = StarterAnchor("", prepared_tiny_cohort.store, cases=prepared_tiny_cohort.cases("train"), pairs="auto")
    trainer = make_trainer(anchor, batch)
    trainer.run()
    assert str(LossTerm.ANCHOR) not in trainer.state.output


def test_training_paints_through_the_anchors_calibration(starter: Path, prepared_tiny_cohort: PreparedCohort) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    knots = StarterAnchor(starter, store, cases=cases).output_knots
    assert knots is not None
    assert knots.shape == (4, 257)
    assert knots[1].tolist() == pytest.approx(
        StarterAnchor(starter, store, cases=cases).calibration.maps[Modality.T1].knots
    )
    assert StarterAnchor("", store, cases=cases).output_knots is None


def test_a_trained_model_to_begin_with_keeps_its_own_maps(starter: Path, prepared_tiny_cohort: PreparedCohort) -> None:
    store, cases = prepared_tiny_cohort.store, prepared_tiny_cohort.cases("train")
    windows = dict.fromkeys(Modality, IntensityWindow(0.0, 1.0))
    save_translator(starter, replace(load_translator(starter), target_windows=windows))
    assert StarterAnchor(starter, store, cases=cases).output_knots is None
