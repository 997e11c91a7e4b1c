"""What a GPU makes of a training: steps a second, memory, half precision beside float32, and the processor's numbers.

python -m benchmarks.gpu --output OUT [--device cuda] [--steps 50] [--minutes 10]

Two recipes train teachers on slices of a phantom: the published one (`bundles/published.json`) and today's
(`bundles/teacher.json`), with critics and anchor, from random weights. Prints one JSON object a line and, at the end,
the table of `docs/performance.md`; writes `gpu.jsonl` and a picture for each recipe into OUT. Ten minutes on one GPU;
without one it ends with exit code 2. `--device cpu --steps 2 --small` runs it on tiny networks, to see that it runs.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from PIL import Image
from torch import Tensor
from torch.optim import Adam
from torch.utils.data import default_collate

from benchmarks.paired import count_flops, peak_megabytes
from utad_monai.bundle.configs import bundles_dir
from utad_monai.data import Preprocessing, SliceStore, UnpairedSlices, prepare_cohort
from utad_monai.engines import TranslationTrainer
from utad_monai.handlers import StarterAnchor
from utad_monai.keys import AutocastType, BatchKey
from utad_monai.models.starter import load_starter
from utad_monai.networks import critic_pair, generator_input
from utad_monai.phantom.cohort import write_phantom_cohort

RECIPES: Mapping[str, Sequence[str]] = {"published": ("teacher", "published"), "today": ("teacher",)}
"""The bundles of each recipe, later ones win."""
PRECISIONS = {"float32": "", "tf32": "", "bfloat16": "bfloat16", "float16": "float16"}
"""What `amp` is of each; `tf32` is what torch does with float32 convolutions on GPUs unless it is told not to."""
IMAGE_TOLERANCE = 1e-3
"""Largest difference of a pixel in [-1, 1] between processor and GPU, float32 on both."""
LOSS_TOLERANCE = 1e-3
"""Largest relative difference of a loss of the first cycle between processor and GPU."""
WARM_UP = 5
"""Steps that are not timed."""
SMALL = {
    **{"base_channels": 2, "critic_channels": 2, "critic_layers": 2, "critic_steps": 1},
    **{"image_size": [48, 48], "batch_size": 2, "min_brain_fraction": 0.0},
}
"""In place of a recipe's sizes, to see that the script runs."""
_SEED = 1234
Batch = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A training as its bundles describe it.

    Attributes:
        name: what it is called.
        config: the keys of its bundles.
    """

    name: str
    config: ConfigParser

    @classmethod
    def of(cls, name: str, small: bool = False) -> Recipe:
        """Read a recipe; with tiny networks and slices when asked."""
        parser = ConfigParser()
        parser.read_config([str(bundles_dir() / f"{bundle}.json") for bundle in RECIPES[name]])
        for key, value in SMALL.items() if small else ():
            parser[key] = value
        return cls(name, parser)

    def __getitem__(self, key: str) -> Any:
        """Return a key's value, or what it builds."""
        return self.config.get_parsed_content(key)

    @property
    def preprocessing(self) -> Preprocessing:
        """Frame and pixels of its slices; boxes are of a cohort, and left out."""
        return Preprocessing(frame_size_mm=tuple(self["frame_size_mm"]), image_size=tuple(self["image_size"]))

    def batches(self, store: SliceStore, count: int) -> list[Batch]:
        """Return the first batches that it draws."""
        fractions = {name: self[name] for name in ("tumour_fraction", "min_brain_fraction")}
        samples = UnpairedSlices(store, list(store.cases.values()), seed=_SEED, **fractions)
        size = self["batch_size"]
        return [default_collate([samples[size * place + i] for i in range(size)]) for place in range(count)]

    def trainer(self, device: str, amp: str = "") -> TranslationTrainer:
        """Return its engine from random weights, the same everywhere; critics play from the start."""
        torch.manual_seed(_SEED)
        generator = self.config.get_parsed_content("network_def", lazy=False, instantiate=True)
        sizes = self["image_size"], self["critic_channels"], self["critic_layers"], self["adversarial_game"]
        critics = critic_pair(*sizes)
        generator, critics = copy.deepcopy(generator).to(device), [critic.to(device) for critic in critics]
        adam = {"lr": self["learning_rate"], "betas": tuple(self["betas"])}
        trainer = TranslationTrainer(
            device,
            1,
            train_data_loader=[{}],
            generator=generator.train(),
            whole_critic=critics[0],
            tumour_critic=critics[1],
            generator_optimizer=Adam(generator.parameters(), **adam),
            critic_optimizer=Adam([weight for critic in critics for weight in critic.parameters()], **adam),
            loss_weights=self["loss_weights"],
            critic_steps=self["critic_steps"],
            amp=AutocastType(amp),
            train_handlers=[_anchor(self["anchor_flips"])],
        )
        trainer.state.iteration = 0
        return trainer


def _anchor(flips: bool) -> StarterAnchor:
    """Return the anchor of today's recipe, which computes as in a training; its intensities are the starter's."""
    anchor = StarterAnchor("", SliceStore([], Preprocessing()), cases=[], flips=flips)
    anchor.starter = load_starter().generator.requires_grad_(False).eval()
    return anchor


def step(trainer: TranslationTrainer, batch: Batch) -> dict[str, float]:
    """Run one iteration; return its losses."""
    trainer.state.iteration += 1
    return trainer._iteration(trainer, batch)


@contextmanager
def tensor_cores(precision: str) -> Iterator[None]:
    """Let convolutions round float32 to TF32 where that is what is measured, and nowhere else."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def train(recipe: Recipe, batches: Sequence[Batch], device: str, precision: str, steps: int) -> tuple[Any, Any]:
    """Take steps on batches in turn; return the figures and what the generator then paints of the first batch."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    trainer, losses, begin = recipe.trainer(device, PRECISIONS[precision]), [], time.perf_counter()
    warm_up = min(WARM_UP, steps - 1)
    with tensor_cores(precision):
        for place in range(steps):
            if place == warm_up:
                begin = _now(device)
            losses.append(step(trainer, batches[place % len(batches)]))
        seconds = _now(device) - begin
        painted = paint(trainer, batches[0], device)
    figures = {
        "steps_per_second": (steps - warm_up) / seconds,
        "images_per_second": (steps - warm_up) * recipe["batch_size"] / seconds,
        "peak_mb": peak_megabytes() if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20,
        "losses": {name: [one.get(name) for one in losses] for name in ("loss", "critic_loss")},
        "finite": all(np.isfinite(value) for one in losses for value in one.values()),
    }
    return figures, painted


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


@torch.no_grad()
def paint(trainer: TranslationTrainer, batch: Batch, device: str) -> Tensor:
    """Return what the generator makes of a batch, `(B, H, W)` in [-1, 1] on the processor."""
    generator = trainer.generator.eval()
    image, mask = batch[BatchKey.IMAGE].to(device), batch[BatchKey.TUMOUR_MASK].to(device)
    source, target = (batch[key].to(device) for key in (BatchKey.SOURCE_MODALITY, BatchKey.TARGET_MODALITY))
    tumour = torch.where(mask > 0, image, -1.0)
    whole, local = (generator_input(generator, one, source) for one in (image, tumour))
    made: Tensor = generator(whole, local, target).image
    generator.train()
    return made[:, 0].float().cpu()


def against_processor(recipe: Recipe, batch: Batch, device: str) -> dict[str, Any]:
    """Compare one cycle on two slices with the processor: what is painted before, and every loss, in float32."""
    two = {name: value[:2] for name, value in batch.items()}
    painted, losses = {}, {}
    with tensor_cores("float32"):
        for where in ("cpu", device):
            trainer = recipe.trainer(where)
            painted[where] = paint(trainer, two, where)
            losses[where] = [step(trainer, two) for _ in range(recipe["critic_steps"])][-1]
    image = float((painted["cpu"] - painted[device]).abs().max())
    relative = {name: abs(value - losses[device][name]) / max(1.0, abs(value)) for name, value in losses["cpu"].items()}
    worst = max(relative, key=lambda name: relative[name])
    return {
        "largest_pixel_difference": image,
        "largest_relative_loss_difference": relative[worst],
        "of": worst,
        "equal": image <= IMAGE_TOLERANCE and relative[worst] <= LOSS_TOLERANCE,
    }


def flop_of_cycle(recipe: Recipe, batch: Batch, device: str) -> int:
    """Return the floating-point operations of a cycle (`critic_steps` iterations) of a batch, counted on one slice.

    By `torch.utils.flop_counter`'s formulas: convolutions and products, forward, backward and gradients of gradients.
    """
    one = {name: value[:1] for name, value in batch.items()}
    trainer = recipe.trainer(device)
    counted = count_flops(lambda: [step(trainer, one) for _ in range(recipe["critic_steps"])])
    return counted * recipe["batch_size"]


def picture(source: Tensor, painted: Mapping[str, Tensor]) -> Image.Image:
    """Return two sources beside what each precision painted of them; below, ten times the differences to float32."""
    columns = [source, *painted.values()]
    errors = [torch.zeros_like(source) - 1, *((one - painted["float32"]).abs() * 10 - 1 for one in painted.values())]
    rows = [torch.cat([column[place] for column in sides], dim=1) for sides in (columns, errors) for place in range(2)]
    levels = ((torch.cat(rows, dim=0).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(levels.numpy())


def measure(recipe: Recipe, store: SliceStore, device: str, steps: int, output: Path, until: float) -> Iterator[Any]:
    """Yield the figures of a recipe, one object for each question; what no time is left for is left out."""
    batches = recipe.batches(store, min(8, steps))
    yield {"recipe": recipe.name, "cycle": recipe["critic_steps"]} | {
        "flop_per_cycle": flop_of_cycle(recipe, batches[0], device)
    }
    if device != "cpu":
        yield {"recipe": recipe.name} | against_processor(recipe, batches[0], device)
    painted: dict[str, Tensor] = {}
    for precision in PRECISIONS if device != "cpu" else ("float32", "bfloat16"):
        if time.monotonic() > until:
            yield {"recipe": recipe.name, "precision": precision, "left_out": "no time was left"}
            continue
        figures, painted[precision] = train(recipe, batches, device, precision, steps)
        yield {"recipe": recipe.name, "precision": precision} | figures
    if "float32" in painted:
        differences = {name: float((one - painted["float32"]).abs().mean()) for name, one in painted.items()}
        path = output / f"gpu_{recipe.name}.png"
        picture(batches[0][BatchKey.IMAGE][:, 0], painted).save(path)
        yield {"recipe": recipe.name, "mean_pixel_difference_to_float32": differences, "picture": path.name}


def table(lines: Sequence[Mapping[str, Any]], device: str) -> str:
    """Return what belongs into `docs/performance.md`."""
    name = torch.cuda.get_device_name() if device != "cpu" else "processor"
    rows = [
        "| Recipe | numbers | steps / s | images / s | peak MB | last generator loss |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for one in lines:
        if "steps_per_second" in one:
            speed = f"{one['steps_per_second']:.3g} | {one['images_per_second']:.3g} | {one['peak_mb']:.0f}"
            rows.append(f"| {one['recipe']} | {one['precision']} | {speed} | {one['losses']['loss'][-1]:.4g} |")
    return "\n".join([*rows, "", f"{name}, torch {torch.__version__}, {datetime.now(UTC).date().isoformat()}."])


def prepared_store(recipe: Recipe, folder: Path, cohort: Path | None, small: bool) -> SliceStore:
    """Return slices of a cohort, of a phantom when None."""
    if cohort is None:
        cohort = folder / "phantom"
        if not cohort.is_dir():
            write_phantom_cohort(cohort, 3 if small else 6, 0, 2.0)
    return prepare_cohort(cohort, folder / "run", recipe.preprocessing, progress=False).store


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu"), help="folder for figures and pictures")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", type=int, default=50, help="iterations of each recipe and precision")
    parser.add_argument("--minutes", type=float, default=9.0, help="what is not begun by then is left out")
    parser.add_argument("--cohort", type=Path, help="take its slices; those of a phantom without")
    parser.add_argument("--small", action="store_true", help="tiny networks: to see that the script runs")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing is measured (to see that the script runs: --device cpu --steps 2 --small)")
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    until, lines = time.monotonic() + 60 * options.minutes, []
    with tempfile.TemporaryDirectory() as folder, (options.output / "gpu.jsonl").open("w", encoding="utf-8") as file:
        for name in RECIPES:
            recipe = Recipe.of(name, options.small)
            store = prepared_store(recipe, Path(folder), options.cohort, options.small)
            for line in measure(recipe, store, options.device, options.steps, options.output, until):
                lines.append(line)
                print(text := json.dumps(line), flush=True)
                file.write(text + "\n")
    print(table(lines, options.device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
