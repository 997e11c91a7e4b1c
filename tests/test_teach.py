"""Teaching by the phantom, as its users run it: a model from nothing, the same bits after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from utad_monai.bundle.configs import bundles_dir
from utad_monai.handlers.resume.state import ResumeError
from utad_monai.keys import Modality, SecondInput, SourceInput, StudentScheme
from utad_monai.models import load_translator
from utad_monai.models.weights_file import weights_sha256

TINY: dict[str, Any] = {
    "device": "cpu",
    "brains": 8,
    "validation_brains": 4,
    "slice_sizes": [[32, 32], [48, 32]],
    "size_shares": [0.5, 0.5],
    "base_channels": 2,
    "max_epochs": 3,
    "decay_epochs": 2,
    "batches_per_epoch": 3,
    "batch_size": 2,
    "val_interval": 1,
    "validation_batches": 2,
    "resume_minutes": 0.0,
}
LAST = 9


class Killed(BaseException):
    """What a kill does to a training: nothing is done any more."""


@dataclass
class Teaching:
    """The bundle at tiny size, in this process."""

    brains: Path
    output: Path
    changes: dict[str, Any]

    def __post_init__(self) -> None:
        set_determinism(seed=1234)
        self.config = ConfigParser()
        self.config.read_config(bundles_dir() / "teach.json")
        places = {"brains_dir": str(self.brains), "output_dir": str(self.output)}
        self.config.update(TINY | places | self.changes)
        self.trainer = self.config.get_parsed_content("train#trainer")

    def kill_after(self, iteration: int) -> None:
        def kill(_: Engine) -> None:
            raise Killed

        def register(engine: Engine) -> None:  # at the start, after the handler that saves
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=iteration), kill)

        self.trainer.add_event_handler(Events.STARTED, register)

    def run(self) -> list[str]:
        """Train; return hashes of the weights and of their average, the saved ones included, and the course."""
        self.config.get_parsed_content("resumable").run(self.trainer)
        networks = [self.trainer.generator, self.config.get_parsed_content("average").network]
        saved = load_translator(self.output / "starter" / "model.safetensors")
        course = pandas.read_csv(self.output / "starter" / "history.csv").filter(regex="^(?!seconds|minutes)")
        return [*map(weights_sha256, [*networks, saved.generator]), course.to_csv()]


@pytest.fixture(autouse=True)
def random_state_of_others_stays() -> Any:
    state, deterministic = torch.get_rng_state(), torch.backends.cudnn.deterministic
    yield
    set_determinism(seed=None)
    torch.set_rng_state(state)
    torch.backends.cudnn.deterministic = deterministic


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("brains")


@pytest.fixture(scope="module")
def uninterrupted(brains: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return Teaching(brains, tmp_path_factory.mktemp("uninterrupted"), {}).run()


@pytest.mark.parametrize("moments", [[1], [3], [5], [2, 8]])
def test_a_killed_teaching_ends_with_the_same_bits(
    brains: Path, tmp_path: Path, uninterrupted: list[str], moments: list[int]
) -> None:
    for moment in moments:
        killed = Teaching(brains, tmp_path, {})
        killed.kill_after(moment)
        with pytest.raises(Killed):
            killed.run()
    resumed = Teaching(brains, tmp_path, {})
    begun_at: list[int] = []
    resumed.trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: begun_at.append(engine.state.iteration))
    assert resumed.run() == uninterrupted
    assert begun_at[0] in (moments[-1] - 1, moments[-1])
    assert resumed.trainer.state.iteration == LAST


def test_another_seed_teaches_something_else(brains: Path, tmp_path: Path, uninterrupted: list[str]) -> None:
    assert Teaching(brains, tmp_path, {"seed": 5}).run()[0] != uninterrupted[0]


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"brains": 7}, {"learning_rate": 0.001}])
def test_the_state_of_another_teaching_is_refused(brains: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    Teaching(brains, tmp_path, {"max_epochs": 1, "decay_epochs": 1}).run()
    with pytest.raises(ResumeError):
        Teaching(brains, tmp_path, {"max_epochs": 1, "decay_epochs": 1} | change).run()


def test_a_teacher_is_taught_with_its_tumour_branch(brains: Path, tmp_path: Path) -> None:
    teacher = Teaching(
        brains, tmp_path, {"scheme": "complete", "second_input": "tumour_image", "max_epochs": 1, "decay_epochs": 1}
    )
    teacher.run()
    generator = load_translator(tmp_path / "starter" / "model.safetensors").generator
    assert generator.needs_mask
    assert generator.tumour_decoder is not None
    assert "generator/paired_local" in teacher.trainer.state.output


def test_a_teaching_begins_with_the_weights_that_it_is_given(brains: Path, tmp_path: Path) -> None:
    short = {"max_epochs": 1, "decay_epochs": 1}
    before = Teaching(brains, tmp_path / "before", short)
    before.run()
    model = tmp_path / "before" / "starter" / "model.safetensors"
    after = Teaching(brains, tmp_path / "after", short | {"seed": 5, "start_weights": str(model)})
    begun = [after.trainer.generator, after.config.get_parsed_content("average").network]
    assert [weights_sha256(network) for network in begun] == [weights_sha256(load_translator(model).generator)] * 2
    assert after.run()[0] != weights_sha256(load_translator(model).generator)


@pytest.mark.command_line
def test_the_command_leaves_a_model_that_can_be_used(tmp_path: Path, brains: Path) -> None:
    values = TINY | {"brains_dir": str(brains), "output_dir": "run"}
    options = [part for key, value in values.items() if key != "device" for part in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "utad_monai", "run", "teach", "--", *options]
    printed = []
    for _ in range(2):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        printed.append(done.stderr + done.stdout)
    assert "this training is finished" not in printed[0]
    assert "this training is finished" in printed[1]
    translator = load_translator(tmp_path / "run" / "starter" / "model.safetensors")
    generator = translator.generator
    assert (generator.scheme, generator.second_input) == (StudentScheme.GLOBAL_ONLY, SecondInput.WHOLE_IMAGE)
    assert generator.sources is SourceInput.SEVERAL
    assert translator.preprocessing.image_size == (192, 160)
    assert set(translator.reference_histograms) == set(Modality)
    assert translator.training["data"] == "randomised phantom, no patient"
    history = pandas.read_csv(tmp_path / "run" / "starter" / "history.csv")
    assert len(history) == 3
    assert history["phantom_score"].notna().all()
    assert list((tmp_path / "run").rglob(".partial-*")) == []
