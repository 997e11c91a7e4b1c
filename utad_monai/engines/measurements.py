"""The long table, one row per measured number, and how files with a column per measure are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas
import torch
from torch import Tensor

from utad_monai.keys import ImageSource, Modality
from utad_monai.metrics.measures import SET_MEASURES, column, measured

MEASUREMENTS_FILE = "measurements.csv"
SEPARATOR = "+"
"""Joins the names of several modalities."""


class Measurement(NamedTuple):
    """A row of the long table.

    Attributes:
        case: whose; empty for what is measured of all cases as one set.
        source: the modalities that a translation was made from; empty as above.
        target: the modalities that were made; empty where all four are real.
        method: what made them (`ImageSource`, or a method of a study).
        region: where: a `TumourRegion`, or `brain`, `tissue` or `frame` of `utad_monai.metrics.measures`.
        measure: what (`utad_monai.metrics.measures`).
        value: the number; NaN where it is not defined.
    """

    case: str
    source: str
    target: str
    method: str
    region: str
    measure: str
    value: float


@dataclass
class Measurements:
    """What was measured of some cases.

    Attributes:
        rows: the long table.
        features: `(slices, C)` features by method and target; real images under `ImageSource.REAL`.
    """

    rows: list[Measurement] = field(default_factory=list)
    features: dict[tuple[str, Modality], list[Tensor]] = field(default_factory=dict)

    def add(self, other: Measurements) -> None:
        """Take over what was measured of other cases."""
        self.rows += other.rows
        for key, features in other.features.items():
            self.features.setdefault(key, []).extend(features)

    def of_sets(self) -> Iterator[Measurement]:
        """Yield what is measured of the translations of all cases as one set, by method and target."""
        features = {key: torch.cat(found) for key, found in self.features.items()}
        for (method, target), fakes in features.items():
            if method != ImageSource.REAL:
                cells = measured(SET_MEASURES, (fakes, features[str(ImageSource.REAL), target]))
                yield from (Measurement("", "", str(target), method, *cell) for cell in cells)


def long_table(rows: Iterable[Measurement]) -> pandas.DataFrame:
    """Return the rows with the columns of `Measurement`."""
    return pandas.DataFrame(list(rows), columns=list(Measurement._fields))


def column_of(row: Measurement) -> str:
    """Return the column of a row where each measure has one."""
    return column(row.measure, row.region)


def wide_table(
    rows: Iterable[Measurement],
    names: Sequence[str],
    columns: Sequence[str],
    of: Callable[[Measurement], str] = column_of,
) -> pandas.DataFrame:
    """Return some rows of the long table with a column per measure, in the order of their first appearance.

    Args:
        rows: of the long table.
        names: the columns of the long table that tell rows apart.
        columns: the measured columns: NaN where one was not measured, and no others.
        of: gives the column of a measurement.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(getattr(row, name) for name in names)
        found.setdefault(key, dict(zip(names, key, strict=True)))[of(row)] = row.value
    return pandas.DataFrame(list(found.values()), columns=[*names, *columns])
