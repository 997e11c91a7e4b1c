"""What several sources, flips and smoothing from slice to slice are worth, on the test split of a run.

python benchmarks/fusion.py RUN COHORT [--slice-step 2]

RUN is the `output_dir` of a trained student. Prints means over test cases, targets and combinations of sources, with
their protocol, and writes `RUN/fusion.csv`. Every case needs its four modalities and a segmentation.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import torch
from scipy.stats import spearmanr
from torch import Tensor

from utad_monai.data import EvaluationCases, find_cases, prepare_slices
from utad_monai.data.split import read_split
from utad_monai.inferers import SliceTranslator, fuse, smooth_through_plane
from utad_monai.keys import BatchKey, FusionMethod, Modality, Split
from utad_monai.metrics.image_quality import PROTOCOL, image_quality
from utad_monai.metrics.unpaired import slice_consistency
from utad_monai.models import TranslatorModel, load_stage
from utad_monai.models.stages import Stage
from utad_monai.runtime.files import atomic_path

SIGMAS_MM = (0.0, 1.0, 2.0, 4.0)
MEASURES = ["ssim", "mae", "tumour_ssim", "tumour_mae"]


def test_cases(run: Path, cohort: str, model: TranslatorModel) -> EvaluationCases:
    """Return the complete test cases of a run."""
    cases = find_cases(cohort)
    split = read_split(run / "split.csv", cases)
    store = prepare_slices(cases, model.preprocessing, run / "slices")
    chosen = [case for case in store.cases.values() if split[case.case_id] is Split.TEST and case.tumour_pixels]
    return EvaluationCases(store, [case for case in chosen if len(case.modalities) == len(Modality)])


def translations(
    translate: SliceTranslator, images: dict[Modality, Tensor], target: Modality
) -> dict[Modality, Tensor]:
    """Return for each source the plain translation and that of the mirror image: `(2, Z, H, W)`."""
    return {
        source: torch.stack([translate({source: image}, target), translate({source: image.flip(-1)}, target).flip(-1)])
        for source, image in images.items()
        if source != target
    }


def rows(
    case: dict[str, Any], model: TranslatorModel, translate: SliceTranslator, step: int
) -> Iterator[dict[str, Any]]:
    """Yield one row for each target, combination of sources and way to fuse them."""
    images = {modality: image[::step] for modality, image in case[BatchKey.IMAGE].items()}
    mask = case[BatchKey.LABEL][0, ::step]
    for target, real in images.items():
        made = translations(translate, images, target)
        for count in range(1, len(made) + 1):
            for sources in itertools.combinations(made, count):
                for flips, method in itertools.product((False, True), FusionMethod):
                    if count == 1 and method is not FusionMethod.BEST:
                        continue
                    chosen = {source: made[source][: 2 if flips else 1] for source in sources}
                    fused = fuse(chosen, method, target, model.source_errors)
                    row = {"case": case[BatchKey.CASE_ID], "target": target, "sources": "+".join(sources)}
                    row |= {"count": count, "flips": flips, "fusion": str(method)}
                    row |= {name: image_quality(real, fused.image, mask)[name] for name in MEASURES}
                    if count > 1 or flips:
                        brain = real > -1
                        error = (fused.image - real).abs()[brain]
                        row["uncertainty_rank"] = float(spearmanr(fused.disagreement[brain], error).statistic)
                        row["mean_disagreement"] = float(fused.disagreement[brain].mean())
                        row["mean_error"] = float(error.mean())
                    yield row


def smoothing(case: dict[str, Any], model: TranslatorModel, translate: SliceTranslator) -> Iterator[dict[str, Any]]:
    """Yield the effect of smoothing from slice to slice on the translation from the best source."""
    images, mask = case[BatchKey.IMAGE], case[BatchKey.LABEL][0]
    for target, real in images.items():
        made = translate({source: images[source] for source in model.sources(target, tuple(images))}, target)
        for sigma in SIGMAS_MM:
            smooth = smooth_through_plane(made, sigma, case[BatchKey.SPACING_MM][0])
            quality = image_quality(real, smooth, mask)
            row = {"sigma_mm": sigma, "slice_consistency": slice_consistency(real, smooth)}
            yield row | {name: quality[name] for name in MEASURES}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cohort")
    parser.add_argument("--slice-step", type=int, default=2, help="every how many slices are compared")
    options = parser.parse_args()
    model = load_stage(options.run, Stage.STUDENT)
    translate = SliceTranslator(model.generator)
    cases = test_cases(options.run, options.cohort, model)
    measured, smoothed = [], []
    for case in (cases[place] for place in range(len(cases))):
        measured += list(rows(case, model, translate, options.slice_step))
        smoothed += list(smoothing(case, model, translate))
    table = pandas.DataFrame(measured)
    with atomic_path(options.run / "fusion.csv") as temporary:
        table.to_csv(temporary, index=False)
    protocol = PROTOCOL | {"cases": len(cases), "slice_step": options.slice_step, "split": "test"}
    report = [
        json.dumps(protocol, indent=1),
        table.groupby(["count", "flips", "fusion"])[MEASURES].mean().round(4).to_string(),
        "disagreement and error, means of the rank correlation over the pixels of a volume:",
        table.groupby(["count", "flips"])["uncertainty_rank"].mean().round(3).to_string(),
        "rank correlation of mean disagreement and mean error over volumes (mean of three sources, no flips):",
        str(_volume_rank(table)),
        "smoothing of the best source's translation:",
        pandas.DataFrame(smoothed).groupby("sigma_mm").mean().round(4).to_string(),
    ]
    print("\n".join(report))


def _volume_rank(table: pandas.DataFrame) -> float:
    chosen = table[(table["count"] == 3) & ~table["flips"] & (table["fusion"] == "mean")]
    return round(float(spearmanr(chosen["mean_disagreement"], chosen["mean_error"]).statistic), 3)


if __name__ == "__main__":
    main()
