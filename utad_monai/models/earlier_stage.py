"""What a later stage takes from an earlier one's model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.errors import CheckpointError
from utad_monai.keys import FOUR_MODALITIES, ModalitySet
from utad_monai.models.filling import fill
from utad_monai.models.segmenter import Segmenter
from utad_monai.models.stages import Stage, existing_model
from utad_monai.models.translator_model import TranslatorModel, load_translator
from utad_monai.networks import ModalityCritic, TumourAwareGenerator, critic_pair


def load_stage(output_dir: str | Path, stage: Stage | str, stage_dir: str | Path = "") -> TranslatorModel:
    """Read the translator that an earlier stage left.

    Args:
        output_dir: the output folder of the stages.
        stage: the earlier stage.
        stage_dir: where it kept its model, if not at its place in the output folder.

    Raises:
        MissingStageError: when that stage has not run, naming the command.
        CheckpointError: when its model is unusable.
    """
    return load_translator(existing_model(output_dir, stage, stage_dir))


def critics_for_student(teacher: TranslatorModel, warm_start: bool) -> tuple[ModalityCritic, ModalityCritic]:
    """Return the teacher's own critics, or fresh ones of the same architecture.

    Raises:
        CheckpointError: when the teacher was saved without critics.
    """
    if teacher.critics is None:
        raise CheckpointError("the teacher", "was saved without critics", "train it again")
    if warm_start:
        return teacher.critics
    return critic_pair(**teacher.critics[0].description())


def load_start(path: str | Path, modalities: ModalitySet) -> TranslatorModel:
    """Read the weights that a training starts from.

    Raises:
        CheckpointError: when the file is unusable, or the model knows other modalities than the training.
    """
    start = load_translator(path)
    if start.modalities != modalities:
        reason = f"knows {', '.join(start.modalities)}, the training is of {', '.join(modalities)}"
        raise CheckpointError(path, reason, "begin with random weights: leave start_weights empty")
    return start


def load_start_weights(
    path: str | Path,
    generator: TumourAwareGenerator,
    critics: Sequence[ModalityCritic] = (),
    modalities: ModalitySet = FOUR_MODALITIES,
    output_knots: Tensor | None = None,
) -> bool:
    """Let a training begin from an earlier model's weights; tell whether it does.

    A model without critics (starter weights) may have fewer branches: a tumour branch that it lacks begins as a copy of
    its image branch, the critics and a residual fusion begin as they are.

    Args:
        path: a translator of the same architecture; empty for none.
        generator: receives the weights.
        critics: receive the weights, where the model has critics; a training without critics gives none.
        modalities: of the training.
        output_knots: for the generator's `OutputMaps`; None leaves those of the earlier model.

    Raises:
        CheckpointError: when the file is unusable, of another architecture or of other modalities.
    """
    if not str(path):
        return False
    start = load_start(path, modalities)
    if start.critics is None:
        fill(path, generator, _grown(start.generator, generator))
    else:
        fill(path, generator, _with_maps(start.generator, generator))
    if critics and start.critics:
        for critic, source in zip(critics, start.critics, strict=True):
            fill(path, critic, source.state_dict())
    if generator.output_maps is not None and output_knots is not None:
        generator.output_maps.set(output_knots)
    for network in (generator, *critics):
        network.train()
    return True


def _with_maps(start: TumourAwareGenerator, generator: TumourAwareGenerator) -> dict[str, Tensor]:
    """Return the weights of a generator; output maps that only the other one has are the other's."""
    own = {} if generator.output_maps is None else generator.output_maps.state_dict(prefix="output_maps.")
    return own | start.state_dict()


def _grown(start: TumourAwareGenerator, generator: TumourAwareGenerator) -> dict[str, Tensor]:
    """Return the weights of a generator whose branches are those of another one, copied where it has fewer."""
    grown = generator.state_dict()
    given = start.state_dict()
    for name, weight in given.items():
        branch, _, rest = name.partition(".")
        twin = f"{branch.replace('image_', 'tumour_')}.{rest}"
        grown[name] = weight
        if twin in grown and twin not in given:
            grown[twin] = weight.clone()
    return grown


def common_preprocessing(models: Sequence[TranslatorModel | Segmenter | None]) -> Preprocessing:
    """Return the preprocessing that all models were trained with; None stands for one that is not there.

    Raises:
        CheckpointError: when they differ: their results cannot be compared.
    """
    first, *others = (model.preprocessing for model in models if model is not None)
    if any(other != first for other in others):
        raise CheckpointError("the models", "were trained with different preprocessing", "train all stages alike")
    return first
