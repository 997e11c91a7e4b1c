"""Progress: on a terminal a bar; elsewhere, in a log file or a pipe, one line each half a minute."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 30.0
"""How often a line is written where there is no terminal; work that is done sooner writes none."""
_LINE = "{desc}: {n_fmt} of {total_fmt}, {elapsed} gone, {remaining} left{postfix}"
_BAR_OF_ALL = "{desc}: {percentage:3.0f} %|{bar}|{postfix}"
_TRUSTED_SECONDS = 60.0
"""So many seconds of real work count as much as the estimate that was made before."""


_silenced: list[bool] = []


@contextmanager
def without_bars() -> Iterator[None]:
    """Show no bar that begins while the block runs."""
    _silenced.append(True)
    try:
        yield
    finally:
        _silenced.pop()


def on_a_terminal() -> bool:
    """Tell whether standard error is a terminal, on which a line can be drawn anew."""
    return sys.stderr.isatty()


def _width() -> dict[str, Any]:
    """Return the room of a bar: the terminal's, or 80x24 where that does not know its size and nothing would show."""
    try:
        known = all(os.get_terminal_size(sys.stderr.fileno()))
    except (OSError, ValueError):
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}


class _Lines:
    """Standard error for a bar that may not draw a line anew: every drawing is a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def write(self, text: str) -> None:
        line = text.strip()
        if line and line != self._last:
            self._stream.write(f"{line}\n")
            self._last = line

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(
    jobs: Iterable[Item] | None = None,
    description: str = "",
    *,
    total: int | None = None,
    unit: str = "it",
    initial: int = 0,
    unit_scale: bool | int = False,
    show: bool = True,
) -> tqdm[Item]:
    """Return the progress bar of every command; iterate over it, or update it and close it.

    Args:
        jobs: what to iterate over; None where the bar is updated by hand.
        description: what is being done.
        total: how many there are; by default the number of jobs.
        unit: what one is called.
        initial: how many an earlier run did.
        unit_scale: as in tqdm; a number is how many units a job stands for.
        show: whether there is a bar at all.
    """
    common: dict[str, Any] = {
        "desc": description,
        "total": total,
        "unit": unit,
        "initial": initial,
        "unit_scale": unit_scale,
        "disable": bool(_silenced) or not show,
    }
    if on_a_terminal():
        return tqdm(jobs, mininterval=0.5, **_width(), **common)  # type: ignore[return-value]
    common |= {"file": _Lines(sys.stderr), "bar_format": _LINE, "delay": SECONDS_BETWEEN_LINES}
    return tqdm(jobs, mininterval=SECONDS_BETWEEN_LINES, miniters=0, **common)  # type: ignore[return-value]


def in_words(seconds: float) -> str:
    """Return a length of time as people say it: `40 s`, `12 min`, `2 h 10 min`, `3 days 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = round(minutes / 60)
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"


class Journey:
    """How far several stages are together, by the seconds that each was expected to take.

    Args:
        seconds: the estimate of each stage, in their order.
        clock: gives seconds.
    """

    def __init__(self, seconds: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = dict(seconds)
        self.stage = next(iter(self.seconds), "")
        self._clock = clock
        self._begin = clock()
        self._before = 0.0
        self._share = 0.0

    def enter(self, stage: str) -> None:
        """Begin a stage: all before it are done."""
        names = list(self.seconds)
        self.stage, self._share = stage, 0.0
        self._before = sum(self.seconds[name] for name in names[: names.index(stage)])

    def advance(self, share: float) -> None:
        """Say how much of the present stage is done, from 0 to 1."""
        self._share = min(1.0, share)

    @property
    def done(self) -> float:
        """The share of everything that is done, from 0 to 1."""
        return self._done / (sum(self.seconds.values()) or 1.0)

    @property
    def seconds_left(self) -> float:
        """How long the rest will take: the estimate, scaled by how it fared until now."""
        pace = (self._clock() - self._begin + _TRUSTED_SECONDS) / (self._done + _TRUSTED_SECONDS)
        return (sum(self.seconds.values()) - self._done) * pace

    @property
    def _done(self) -> float:
        return self._before + self._share * self.seconds.get(self.stage, 0.0)

    def __str__(self) -> str:
        """Return what is left, such as `all stages 34 %, about 1 h 20 min left`."""
        return f"all stages {100 * self.done:.0f} %, about {in_words(self.seconds_left)} left"


_journeys: list[tuple[Journey, tqdm[Any]]] = []
"""The journey that stages are part of, with its bar; empty for a stage that runs alone."""


@contextmanager
def shown_together(journey: Journey) -> Iterator[Journey]:
    """Show one bar over all stages while the block runs; on no terminal, each stage's lines say how far all are."""
    bar: tqdm[Any] = tqdm(total=100, desc="All stages", bar_format=_BAR_OF_ALL, disable=not on_a_terminal(), **_width())
    _journeys.append((journey, bar))
    try:
        yield journey
    finally:
        _journeys.pop()
        bar.close()


class StageBar:
    """The progress of a stage that takes long, which is part of a journey where there is one.

    Args:
        description: what is being done.
        total: how many steps there are; None when nobody knows.
        unit: what a step is called.
        initial: steps that an earlier run did.
    """

    def __init__(self, description: str, total: int | None, *, unit: str, initial: int = 0) -> None:
        self._bar: tqdm[Any] = progress_bar(None, description, total=total, unit=unit, initial=initial)
        self._text = ""

    def advance_to(self, steps: int, text: str = "") -> None:
        """Show how many steps are done, and a text behind."""
        self._text = text
        total = self._bar.total
        if _journeys and total:
            _journeys[-1][0].advance(steps / total)
        self._postfix()
        self._bar.update(steps - self._bar.n)

    def say(self, text: str) -> None:
        """Show at once what goes on between two steps, such as a validation."""
        self._text = text
        self._postfix()
        if on_a_terminal():
            self._bar.refresh()
        else:
            self._bar.update(0)

    def close(self) -> None:
        """End the bar; it stays where it is."""
        self._bar.close()

    def _postfix(self) -> None:
        together = ""
        if _journeys:
            journey, bar = _journeys[-1]
            together = "" if on_a_terminal() else str(journey)
            bar.set_postfix_str(f"{journey.stage}, about {in_words(journey.seconds_left)} left", refresh=False)
            bar.update(100 * journey.done - bar.n)
        self._bar.set_postfix_str("; ".join(filter(None, (self._text, together))), refresh=False)
