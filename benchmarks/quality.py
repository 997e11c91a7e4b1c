"""Time to quality on the phantom: the small preset against the literal recipe.

python -m benchmarks.quality --minutes 10 --seeds 3

The literal recipe is the published one (learning rate 1e-4, five critic steps, nothing added) with the preset's small
networks, on the whole frame of 240 x 240 mm at the preset's pixels. The preset is `bundles/teacher.json` with
`bundles/small.json`, whose frame is the phantom's brain box; what counts is the model that it keeps. Both are judged in
the tight box, which holds every brain. A seed decides the split, too, the same for both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from torch.optim import Adam
from torch.utils.data import DataLoader

from benchmarks.inference import centre
from benchmarks.literal import LiteralTraining, literal_layers
from benchmarks.paired import RivalProcess, serve, spread
from benchmarks.training_step import SIZES
from utad_monai.bundle.configs import bundles_dir
from utad_monai.data import EpochSampler, EvaluationCases, PreparedCohort, Preprocessing, UnpairedSlices, prepare_cohort
from utad_monai.engines.batch import TranslationBatch, prepare_translation_batch
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Split
from utad_monai.metrics.image_quality import PROTOCOL, image_quality
from utad_monai.models import load_stage
from utad_monai.models.stages import Stage
from utad_monai.networks import TumourAwareGenerator, critic_pair
from utad_monai.phantom.cohort import default_dataset_dir
from utad_monai.runtime.workers import keep_freed_memory

SIZE = SIZES["demo"]
FRAME = Preprocessing(frame_size_mm=(240.0, 240.0), image_size=SIZE.image_size)
SEED = 1234
"""The preset's own, the first of the seeds."""
PUBLISHED_CRITIC_STEPS = 5
STEPS_A_TURN = 10
SLICE_STEP = 2
COHORT = "phantom (no patients), 24 cases, test split, every 2nd slice, all pairs of modalities"
MEASURES = ("ssim", "mae", "tumour_ssim", "tumour_mae")
Quality = Mapping[str, float]


@dataclass(frozen=True)
class Course:
    """What a seed's two trainings came to.

    Attributes:
        seconds: of the preset.
        preset: quality of the model that it kept.
        recipe: quality of the literal recipe after each minute.
    """

    seconds: float
    preset: Quality
    recipe: Sequence[Quality]

    @property
    def ahead(self) -> Quality:
        """Quality of the preset minus that of the recipe at its end."""
        return {name: self.preset[name] - self.recipe[-1][name] for name in MEASURES}


class LiteralRecipe:
    """The published training, written down literally; it keeps its generator after every minute of training.

    Args:
        cohort: prepared in the whole frame.
        folder: receives `<minute>.pt`.
        seed: of weights and samples.
    """

    def __init__(self, cohort: PreparedCohort, folder: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.folder = folder
        self.generator = literal_layers(TumourAwareGenerator(SIZE.base_channels))
        first, second = critic_pair(SIZE.image_size, SIZE.critic_channels, SIZE.critic_layers)
        critics = literal_layers(first), literal_layers(second)
        weights = [weight for critic in critics for weight in critic.parameters()]
        optimizers = Adam(self.generator.parameters(), 1e-4), Adam(weights, 1e-4)
        self.training = LiteralTraining(self.generator, critics, optimizers, PUBLISHED_CRITIC_STEPS)
        self.batches = _endless(cohort, seed)
        self.seconds = 0.0

    def turn(self) -> None:
        """Take some critic steps, and the generator's between them."""
        minute, begin = int(self.seconds / 60), time.perf_counter()
        for _ in range(STEPS_A_TURN):
            self.training.step(next(self.batches))
        self.seconds += time.perf_counter() - begin
        if int(self.seconds / 60) > minute:
            torch.save(self.generator.state_dict(), self.folder / f"{minute + 1}.pt")


def _endless(cohort: PreparedCohort, seed: int) -> Iterator[TranslationBatch]:
    dataset = UnpairedSlices(cohort.store, cohort.cases(Split.TRAIN), seed=seed)
    loader = DataLoader(dataset, SIZE.batch_size, sampler=EpochSampler(dataset, 10**7))
    for batch in loader:
        yield prepare_translation_batch(batch, "cpu")


def whole_frame(folder: Path, seed: int) -> PreparedCohort:
    """Return the phantom in the whole frame, with the preset's split of this seed."""
    return prepare_cohort(default_dataset_dir(), folder, FRAME, seed=seed, progress=False)


def train_preset(folder: Path, seed: int, alongside: Callable[[float], None] | None = None, **overrides: Any) -> float:
    """Train the preset's teacher; return its seconds, with validation and saving.

    Args:
        folder: output folder.
        seed: of split and training.
        alongside: called after each iteration with the seconds so far; its own time does not count.
        overrides: of the bundle.
    """
    config = [str(bundles_dir() / name) for name in ("teacher.json", "published.json", "small.json")]
    options = {"output_dir": str(folder), "seed": seed, **overrides}
    workflow: Any = ConfigWorkflow(config, workflow_type="train", logging_file=False, **options)
    workflow.parser["initialize"] = ["$monai.utils.set_determinism(seed=@seed)"]
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train#trainer")
    begin, elsewhere = time.perf_counter(), 0.0

    def take_turns() -> None:
        nonlocal elsewhere
        if alongside is not None:
            paused = time.perf_counter()
            alongside(paused - begin - elsewhere)
            elsewhere += time.perf_counter() - paused

    trainer.add_event_handler(Events.ITERATION_COMPLETED, take_turns)
    workflow.run()
    return time.perf_counter() - begin - elsewhere


def quality(
    generator: TumourAwareGenerator, cohort: PreparedCohort, box: tuple[int, int] = SIZE.tight_box_size
) -> Quality:
    """Return the means over test cases and pairs of modalities; what lies outside the box is cut off.

    Args:
        generator: teacher.
        cohort: prepared as the generator wants it.
        box: height and width in pixels around the centre.
    """
    translate = SliceTranslator(generator.eval())
    found: list[dict[str, float]] = []
    for case in EvaluationCases(cohort.store, cohort.complete_cases(Split.TEST)):
        images = {modality: image[::SLICE_STEP] for modality, image in case[BatchKey.IMAGE].items()}
        mask = case[BatchKey.LABEL][0, ::SLICE_STEP]
        for source, target in ((a, b) for a in images for b in images if a != b):
            made = translate({source: images[source]}, target, mask)
            found.append(image_quality(*(centre(slices, box) for slices in (images[target], made, mask))))
    return {name: fmean(one[name] for one in found) for name in MEASURES}


def preset_quality(
    folder: Path, seed: int, dataset_dir: Path | None = None, box: tuple[int, int] = SIZE.tight_box_size
) -> Quality:
    """Return the quality of the model that a training of the preset kept.

    Args:
        folder: output folder of the training.
        seed: of the training, which also decides the split.
        dataset_dir: what it was trained on, by default the embedded phantom.
        box: height and width in pixels around the centre, in which it is judged.
    """
    model = load_stage(folder, Stage.TEACHER)
    cases = dataset_dir or default_dataset_dir()
    cohort = prepare_cohort(cases, folder, model.preprocessing, seed=seed, progress=False)
    return quality(model.generator, cohort, box)


def side_by_side(folder: Path, seed: int, minutes: int) -> Course:
    """Train both with a seed in turn, a step of the preset and then the recipe for some times as long."""
    frame, kept = folder / "frame", folder / "literal"
    kept.mkdir(parents=True)
    to_serve = "--serve", str(frame), "--keep", str(kept), "--seed", str(seed)
    rival = RivalProcess("-m", "benchmarks.quality", *to_serve)
    rival_seconds = 0.0

    def let_rival_reach(wanted: float) -> None:
        nonlocal rival_seconds
        while rival_seconds < wanted:
            begin = time.perf_counter()
            rival()
            rival_seconds += time.perf_counter() - begin

    rival()  # its start does not count
    preset = folder / "preset"
    seconds = train_preset(preset, seed, lambda ours: let_rival_reach(min(5 * ours, 60 * minutes)))
    while not (kept / f"{minutes}.pt").is_file():
        let_rival_reach(rival_seconds + 1)
    rival.peak_megabytes()
    cohort, of_recipe = whole_frame(frame, seed), []
    for minute in range(1, minutes + 1):
        generator = TumourAwareGenerator(SIZE.base_channels)
        generator.load_state_dict(torch.load(kept / f"{minute}.pt", weights_only=True))
        of_recipe.append(quality(generator, cohort))
    return Course(seconds, preset_quality(preset, seed), of_recipe)


def time_to_quality(courses: Sequence[Course]) -> dict[str, Any]:
    """Return what the seeds say together: medians, with the least and the greatest of them."""
    preset = _spreads([course.preset for course in courses])
    recipe = [_spreads(minute) for minute in zip(*(course.recipe for course in courses), strict=True)]
    return {
        "seeds": len(courses),
        "preset": {"seconds": list(spread([course.seconds for course in courses])), **preset},
        "literal recipe after minutes": {str(minute): found for minute, found in enumerate(recipe, start=1)},
        "preset minus recipe at the end": _spreads([course.ahead for course in courses]),
        "seeds whose preset reaches it": sum(_reaches(course.preset, course.recipe[-1]) for course in courses),
        "median preset reaches it": _reaches(_medians(preset), _medians(recipe[-1])),
    }


def _spreads(rows: Sequence[Quality]) -> dict[str, list[float]]:
    return {name: list(spread([row[name] for row in rows])) for name in MEASURES}


def _medians(spreads: Mapping[str, Sequence[float]]) -> Quality:
    return {name: median for name, (median, _, _) in spreads.items()}


def _reaches(ours: Quality, wanted: Quality) -> bool:
    return ours["ssim"] >= wanted["ssim"] and ours["tumour_mae"] <= wanted["tumour_mae"]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10, help="of the literal recipe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(LiteralRecipe(whole_frame(options.serve, options.seed), options.keep, options.seed).turn)
        return
    keep_freed_memory()  # as the bundles do
    # standard output is for the figures
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        courses = []
        for seed in range(SEED, SEED + options.seeds):
            courses.append(side_by_side(Path(name, str(seed)), seed, options.minutes))
            print(f"seed {seed}: {courses[-1]}")
        result = {"cohort": COHORT, "protocol": PROTOCOL, "time to quality": time_to_quality(courses)}
    print(json.dumps(result, indent=4))


if __name__ == "__main__":
    main()
