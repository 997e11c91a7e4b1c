"""Translation of a slice, a batch and a whole case: each engine against the literal loop, outputs compared first."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.literal import literal_translation
from benchmarks.paired import Timing, count_flops, matrix_products, matrix_rate, take_turns
from benchmarks.training_step import SIZES, Size
from utad_monai.inferers import SliceTranslator
from utad_monai.inferers.backends import usable_engine
from utad_monai.keys import InferenceEngine, Modality
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.transforms import BACKGROUND

TOLERANCE = 1e-3
"""Largest difference of an output from eager float32."""
LEFT_OUT = ("channels_last",)
"""What is timed, but not offered: torch's GroupNorm of this layout takes a variance as a difference of two sums."""
SOURCE, TARGET = Modality.T1, Modality.T2
ENGINES = [engine for engine in InferenceEngine if engine is not InferenceEngine.AUTO]
CASE_SLICES = 155
BATCH = 8


def synthetic_case(size: Size, slices: int = CASE_SLICES) -> Tensor:
    """Return `(Z, H, W)`: an ellipsoid of random brain in 140 of 155 slices, as in a BraTS volume."""
    draw = torch.Generator().manual_seed(0)
    (height, width), (box_height, box_width) = size.image_size, size.tight_box_size
    z, y, x = torch.meshgrid(
        (torch.arange(slices) - (slices - 1) / 2) / (70 / CASE_SLICES * slices),
        (torch.arange(height) - (height - 1) / 2) / (box_height / 2),
        (torch.arange(width) - (width - 1) / 2) / (box_width / 2),
        indexing="ij",
    )
    noise = torch.rand(slices, height, width, generator=draw) * 1.6 - 0.8
    return torch.where(x**2 + y**2 + z**2 < 1, noise, torch.full_like(noise, BACKGROUND))


def centre(slices: Tensor, box: tuple[int, int]) -> Tensor:
    """Return the part of `(Z, H, W)` slices that a box of `(H, W)` pixels around their centre holds."""
    top, left = ((whole - part) // 2 for whole, part in zip(slices.shape[1:], box, strict=True))
    return slices[:, top : top + box[0], left : left + box[1]].contiguous()


def rivals(generator: TumourAwareGenerator, threads: int, compiled: bool) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return everything that translates `(Z, H, W)` slices, by name; engines in batches, without blank slices."""
    target = torch.tensor([TARGET.channel])
    engines: dict[str, Callable[[Tensor], Tensor]] = {
        str(engine): _translate(SliceTranslator(generator, "cpu", batch_size=BATCH, engine=engine, threads=threads))
        for engine in ENGINES
    }
    engines["channels_last"] = _with_layout(generator)
    if compiled:
        engines["compile"] = _compiled(generator)
    return {"literal": lambda slices: literal_translation(generator, slices, target), **engines}


def measure(name: str, rounds: int, every: int, compiled: bool) -> dict[str, Any]:
    """Compare all rivals at one size.

    Args:
        name: of the size.
        rounds: turns of each rival.
        every: the measured case has every n-th of 155 slices; 1 is the whole case.
        compiled: whether torch.compile takes part, which needs a compiler and a minute.

    Raises:
        AssertionError: when an offered engine differs from eager float32 by more than the tolerance.
    """
    size = SIZES[name]
    torch.manual_seed(0)
    generator = student_from_teacher(TumourAwareGenerator(size.base_channels), "complete").eval()
    run = rivals(generator, torch.get_num_threads(), compiled)
    default = str(usable_engine(InferenceEngine.AUTO, size.base_channels))
    case, middle = synthetic_case(size), CASE_SLICES // 2
    batch = case[middle : middle + BATCH]
    differences = _differences(run, batch)
    turns = {
        "slice": _measured(run, batch[:1], size, default, rounds),
        "batch": _measured(run, batch, size, default, rounds),
        # a whole case takes minutes: only the literal loop and the default engine
        "case": _measured({side: run[side] for side in ("literal", default)}, case[::every], size, default, rounds),
    }
    return {
        "size": name,
        "default": default,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "case_slices": len(case[::every]),
        "largest_difference": differences,
        **turns,
    }


def _measured(
    run: Mapping[str, Callable[[Tensor], Tensor]], slices: Tensor, size: Size, default: str, rounds: int
) -> dict[str, Any]:
    """Time rivals in turn, and the default engine in the boxes as well."""
    turns: dict[str, Callable[[], object]] = {name: _bound(translate, slices) for name, translate in run.items()}
    boxes = {"brain_box": size.box_size, "tight_box": size.tight_box_size}
    turns |= {name: _bound(run[default], centre(slices, box)) for name, box in boxes.items()}
    timings = take_turns(turns | matrix_products(), rounds)
    literal, matrix = timings["literal"], matrix_rate(timings)
    flops = _flops(size, slices)
    return {
        "seconds": {name: timing.median for name, timing in timings.items()},
        "times_faster": {name: _ratios(timing, literal) for name, timing in timings.items() if name in turns},
        "share_of_matrix_rate": {name: flops / timings[name].median / matrix for name in run if name != "literal"},
    }


def _flops(size: Size, slices: Tensor) -> int:
    """Return the floating-point operations of what must be computed: the image decoder, and no blank slice."""
    generator = TumourAwareGenerator(size.base_channels).eval()
    image, target = slices[:1, None], torch.tensor([TARGET.channel])
    with torch.no_grad():
        of_one = count_flops(lambda: generator(image, image, target, with_tumour_image=False))
    return of_one * int((slices > BACKGROUND).flatten(1).any(dim=1).sum())


def _ratios(timing: Timing, literal: Timing) -> list[float]:
    return list(timing.ratio_to(literal))


def _differences(run: Mapping[str, Callable[[Tensor], Tensor]], slices: Tensor) -> dict[str, float]:
    """Return how far each rival is from eager float32 at most.

    Raises:
        AssertionError: when one that is offered is further than the tolerance.
    """
    wanted = run["literal"](slices)
    found = {name: float((translate(slices) - wanted).abs().max()) for name, translate in run.items()}
    wrong = {name: value for name, value in found.items() if not value <= TOLERANCE and name not in LEFT_OUT}
    if wrong:
        raise AssertionError(f"not the same images as eager float32: {wrong}")
    return found


def _bound(translate: Callable[[Tensor], Tensor], slices: Tensor) -> Callable[[], object]:
    return lambda: translate(slices)


def _translate(translator: SliceTranslator) -> Callable[[Tensor], Tensor]:
    return lambda slices: translator({SOURCE: slices}, TARGET)


def _with_layout(generator: TumourAwareGenerator) -> Callable[[Tensor], Tensor]:
    """Return the torch engine with weights in channels-last order."""
    changed = student_from_teacher(generator, generator.scheme)
    changed.load_state_dict(generator.state_dict())
    return _translate(SliceTranslator(changed.eval().to(memory_format=torch.channels_last), "cpu", batch_size=BATCH))


def _compiled(generator: TumourAwareGenerator) -> Callable[[Tensor], Tensor]:
    """Return the torch engine, compiled."""
    translator = SliceTranslator(generator, "cpu", batch_size=BATCH)
    translator.engine.generator = torch.compile(generator)  # type: ignore[attr-defined]
    return _translate(translator)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=1, help="measure every n-th slice of the case; 1 for all")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    measured = measure(arguments.size, arguments.rounds, arguments.every, arguments.compile)
    sys.stdout.write(json.dumps(measured, indent=4) + "\n")
