"""One sentence for each table of a report, computed from its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas

from utad_monai.apps.report.labels import measure_label, method_label
from utad_monai.engines.routes import EVERY_SET
from utad_monai.keys import ImageSource, TumourRegion
from utad_monai.metrics.measures import HIGHER_IS_BETTER
from utad_monai.metrics.statistics import estimate

SIMPLE = (ImageSource.COPY_SOURCE, ImageSource.FLAT_BRAIN, ImageSource.CONTRAST_MAP)
"""What needs no network and no pairs: a method that is not ahead of each of them is of no use."""
_STUDENT = str(ImageSource.STUDENT)
_WHOLE = str(TumourRegion.WT)


def summary_conclusions(
    summary: Mapping[str, Any], table: pandas.DataFrame, pairs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the sentence of each table of an evaluation, by table; an empty one where nothing is to be said.

    Args:
        summary: `summary.json`.
        table: `evaluation.csv`: a row per case, source and target.
        pairs: the means over cases, a row per source and target.
    """
    return {
        "quality": quality_conclusion(table),
        "sources": sources_conclusion(summary.get("image_quality_by_sources", {})),
        "dice": dice_conclusion(table),
        "pairs": pairs_conclusion(pairs),
        "gaps": gaps_conclusions(summary.get("missing_modalities", {})),
        "protocols": {name: protocol_conclusion(of) for name, of in summary.get("other_protocols", {}).items()},
    }


def gaps_conclusions(gaps: Mapping[str, Any]) -> dict[str, str]:
    """Return the sentences of both tables of missing modalities; none where nothing was measured."""
    return {"best": gaps_conclusion(gaps), "routes": routes_conclusion(gaps)} if gaps else {}


def quality_conclusion(table: pandas.DataFrame) -> str:
    """Say how far the student is from the best of what needs no network, in SSIM.

    Args:
        table: `evaluation.csv`: a row per case, source and target.
    """
    known = [method for method in SIMPLE if f"{method}_ssim" in table]
    means = {method: float(table[f"{method}_ssim"].mean()) for method in known}
    best = max(known, key=lambda method: means[method])
    per_case = _per_case(table, f"{_STUDENT}_ssim", f"{best}_ssim")
    among = "" if len(known) == 1 else " (the best of what needs no network)"
    return f"In SSIM the student {_apart(per_case, f'the {_named(best)}{among}')}"


def dice_conclusion(table: pandas.DataFrame) -> str:
    """Say what a synthetic image is worth to a segmentation beside a copy of its source and the real image."""
    made, copy, real = (
        f"dice_{fill}_{_WHOLE}" for fill in (ImageSource.SYNTHESIZED, ImageSource.COPY_SOURCE, ImageSource.REAL)
    )
    known = table.dropna(subset=[made, copy, real])
    if known.empty:
        return "No test case has all modalities: nothing was segmented."
    ahead = _apart(_per_case(known, made, copy), "a copy of the source")
    short = float((known[real] - known[made]).mean())
    return f"In whole-tumour Dice the student {ahead} The real image is {_signed(short)}."


def sources_conclusion(by_sources: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    """Say what more sources give the student; empty where it takes one."""
    found = {count: quality[_STUDENT].get("ssim") for count, quality in by_sources.items() if _STUDENT in quality}
    known = [(count, ssim) for count, ssim in sorted(found.items()) if ssim is not None]
    if len(known) < 2:
        return ""
    (fewest, first), (most, last) = known[0], known[-1]
    word = "rises" if last > first else "falls"
    return f"From {fewest} to {most} sources the student's SSIM {word} from {first:.3f} to {last:.3f}."


def pairs_conclusion(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Say which pair the student makes best and worst, and in which something simpler is better."""
    measured = [row for row in pairs if not math.isnan(row[f"{_STUDENT}_ssim"])]
    if not measured:
        return ""
    ordered = sorted(measured, key=lambda row: float(row[f"{_STUDENT}_ssim"]))
    best, worst = ordered[-1], ordered[0]
    simple = [f"{method}_ssim" for method in SIMPLE if f"{method}_ssim" in best]
    beaten = [_pair(row) for row in measured if any(row[name] > row[f"{_STUDENT}_ssim"] for name in simple)]
    text = f"The student's SSIM is greatest in {_pair(best)} ({best[f'{_STUDENT}_ssim']:.3f}) and smallest in "
    text += f"{_pair(worst)} ({worst[f'{_STUDENT}_ssim']:.3f}); "
    if not beaten:
        return text + "nothing simpler has a greater one in any pair."
    return text + f"something simpler has a greater one in {len(beaten)} of {len(measured)} pairs: {', '.join(beaten)}."


def gaps_conclusion(gaps: Mapping[str, Any]) -> str:
    """Say for how many sets of available modalities synthesis helps the segmentation of the whole tumour."""
    best = {available: regions[_WHOLE] for available, regions in gaps["best"].items() if _WHOLE in regions}
    helped = [available for available, found in best.items() if found.get("synthesis_adds")]
    text = f"Synthesis adds to the whole-tumour Dice in {len(helped)} of {len(best)} sets of available modalities"
    if not helped:
        return f"{text}: no interval lies above 0."
    most = max(helped, key=lambda available: float(best[available]["gain_mean"]))
    return f"{text}, most with {most.replace('+', ', ')} alone (+{best[most]['gain_mean']:.3f})."


def routes_conclusion(gaps: Mapping[str, Any]) -> str:
    """Say which route is best over all sets of missing modalities, and what black images give."""
    every = {route: regions[_WHOLE]["mean"] for route, regions in gaps["by_missing"].get(EVERY_SET, {}).items()}
    known = {route: mean for route, mean in every.items() if mean is not None}
    if not known:
        return ""
    best = max(known, key=lambda route: known[route])
    text = (
        f"Over all sets the best route to the whole tumour is “{method_label(best)}” with a Dice of {known[best]:.3f}"
    )
    black = known.get(str(ImageSource.ZERO_FILL))
    return f"{text}; with the missing images left black it is {black:.3f}." if black is not None else f"{text}."


def protocol_conclusion(methods: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    """Say which method is best by another protocol, in its first measure."""
    column = next((name for columns in methods.values() for name in columns), "")
    means = {method: columns[column]["mean"] for method, columns in methods.items() if column in columns}
    return _leader(column, {method: mean for method, mean in means.items() if mean is not None})


def study_conclusion(table: Mapping[str, Any], reference: str) -> str:
    """Say which method of a study is best in the first measure of a table, and which differ from the reference."""
    if not table["metrics"]:
        return ""
    means = {row["method"]: row["cells"][0]["mean"] for row in table["rows"]}
    leader = _leader(table["metrics"][0], {method: mean for method, mean in means.items() if mean is not None})
    apart = [row["method"] for row in table["rows"] if row["cells"][0]["significant"]]
    if not leader or reference not in means:
        return leader
    differ = f"{len(apart)} of {len(means) - 1} differ from {reference} (corrected p below 0.05)" if apart else ""
    return f"{leader} {differ or f'None differs from {reference} (corrected p below 0.05)'}."


def _leader(column: str, means: Mapping[str, float]) -> str:
    better = HIGHER_IS_BETTER.get(column, HIGHER_IS_BETTER.get(_bare(column)))
    if not means or better is None:
        return ""
    best = (max if better else min)(means, key=lambda method: means[method])
    label = measure_label(column).rstrip(" ↑↓")
    return f"Best in {label}: {method_label(best)} ({means[best]:.3f})."


def _bare(column: str) -> str:
    """Return the measure of a column without its region."""
    return next((name for name in _endings(column) if name in HIGHER_IS_BETTER), column)


def _endings(column: str) -> Iterator[str]:
    yield from (column.partition("_")[2], column.rpartition("_")[0])


def _per_case(table: pandas.DataFrame, ours: str, theirs: str) -> list[float]:
    """Return the difference of two columns, a mean for each case."""
    differences: pandas.Series[float] = (table[ours] - table[theirs]).groupby(table["case"]).mean().dropna()
    return [float(value) for value in differences]


def _apart(differences: Sequence[float], other: str) -> str:
    """Say in half a sentence how a method stands to another one."""
    found = estimate(differences)
    if math.isnan(found.low):
        side = "ahead of" if found.mean > 0 else "behind"
        return f"is {side} {other} by {abs(found.mean):.3f}; of one case there is no interval."
    interval = f"95 % interval over cases [{found.low:.3f}, {found.high:.3f}]"
    if found.low <= 0 <= found.high:
        return f"is not clearly apart from {other}: the difference is {found.mean:.3f}, and the {interval} includes 0."
    side = "ahead of" if found.mean > 0 else "behind"
    return f"is {side} {other} by {abs(found.mean):.3f}; the {interval} excludes 0."


def _signed(short: float) -> str:
    return f"better by {short:.3f}" if short > 0 else f"no better ({-short:.3f} less)"


def _pair(row: Mapping[str, Any]) -> str:
    return f"{row['source']} → {row['target']}"


def _named(method: str) -> str:
    return method_label(str(method))
