"""Routes to a segmentation where modalities are missing: fill the gap, let the network tolerate it, or both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas

from utad_monai.engines.measurements import SEPARATOR, Measurement, long_table
from utad_monai.keys import ImageSource, TumourRegion
from utad_monai.metrics.statistics import Estimate, estimate

_TOLERANT = "+tolerant"
EVERY_SET = "all"
"""The mean over all sets of missing modalities, beside those over the sets of one, two and so on."""


def tolerant_route(method: str) -> str:
    """Return what tables call a method that fills the gaps for the network that tolerates them.

    `zero_fill+tolerant` is that network alone: absent modalities stay absent.
    """
    return f"{method}{_TOLERANT}"


_COMPLETE = str(ImageSource.REAL)
_WITHOUT_SYNTHESIS = (str(ImageSource.ZERO_FILL), tolerant_route(ImageSource.ZERO_FILL))


def gap_summary(rows: Iterable[Measurement]) -> dict[str, Any]:
    """Return the Dice of every route and set of available modalities, as plain data; empty without a tolerant network.

    Values are means over cases with 95 % bootstrap intervals; those over several sets are averaged within a case first.

    Args:
        rows: the long table.

    Returns:
        `complete`: route and region to the Dice with every modality real. `subsets`: the same by available modalities.
        `by_missing`: the same by the number of missing ones, and under `EVERY_SET` over all sets. `best`: by available
        modalities and region the `route` with the greatest mean, and the paired difference of the best route with
        synthesis and the best one without: where its interval reaches 0, synthesis adds nothing. Both are chosen on the
        cases that they are measured on.
    """
    dice = _dice_of_whole_sets(rows)
    if not dice["method"].str.endswith(_TOLERANT).any():
        return {}
    both = {route.removesuffix(_TOLERANT) for route in dice["method"] if route.endswith(_TOLERANT)}
    routes = {*both, *map(tolerant_route, both)}
    gaps = dice[(dice["missing"] > 0) & dice["method"].isin(routes - {_COMPLETE, tolerant_route(_COMPLETE)})]
    return {
        "complete": _by_route(dice[(dice["missing"] == 0) & dice["method"].isin(routes)]),
        "subsets": {available: _by_route(found) for available, found in gaps.groupby("source", sort=False)},
        "by_missing": {str(count): _by_route(found) for count, found in gaps.groupby("missing")}
        | {EVERY_SET: _by_route(gaps)},
        "best": {
            available: {str(region): _best(_per_case(of)) for region, of in found.groupby("region", sort=False)}
            for available, found in gaps.groupby("source", sort=False)
        },
    }


def _dice_of_whole_sets(rows: Iterable[Measurement]) -> pandas.DataFrame:
    """Return the Dice of everything that was segmented with no real image beyond those available, and how many miss."""
    table = long_table(row for row in rows if row.measure == "dice" and row.region in list(TumourRegion))
    available = table["source"].map(_count)
    table["missing"] = table["target"].map(_count)
    modalities = available + table["missing"]
    whole: pandas.DataFrame = table[modalities == modalities.max()]
    return whole


def _count(names: str) -> int:
    return len(names.split(SEPARATOR)) if names else 0


def _by_route(table: pandas.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        str(route): {
            str(region): _plain(estimate(of.groupby("case")["value"].mean().to_list()))
            for region, of in found.groupby("region", sort=False)
        }
        for route, found in table.groupby("method", sort=False)
    }


def _per_case(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row per case and a column per route."""
    return table.pivot_table(index="case", columns="method", values="value", sort=False)


def _best(routes: pandas.DataFrame) -> dict[str, Any]:
    """Return the best route, and what synthesis adds to the best one without."""
    best = str(routes.mean().idxmax())
    names = list(map(str, routes))
    without = _greatest(routes, [route for route in names if route in _WITHOUT_SYNTHESIS])
    synthesis = _greatest(routes, [route for route in names if route not in _WITHOUT_SYNTHESIS])
    found: dict[str, Any] = {"route": best, **_plain(estimate(routes[best].to_list()))}
    if not (without and synthesis):
        return found
    gain = estimate((routes[synthesis] - routes[without]).to_list())
    added = {f"gain_{name}": value for name, value in _plain(gain).items()}
    return found | {"synthesis": synthesis, "without": without, **added, "synthesis_adds": bool(gain.low > 0)}


def _greatest(routes: pandas.DataFrame, names: Sequence[str]) -> str:
    return str(routes[list(names)].mean().idxmax()) if names else ""


def _plain(found: Estimate) -> dict[str, float | None]:
    numbers = {"mean": found.mean, "low": found.low, "high": found.high}
    return {name: None if pandas.isna(value) else round(value, 6) for name, value in numbers.items()}
