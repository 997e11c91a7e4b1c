"""A terminal gets a bar, a log file lines; several stages together are one length of time."""

from __future__ import annotations

import io
import sys

import pytest

from utad_monai.runtime import progress
from utad_monai.runtime.progress import Journey, StageBar, in_words, progress_bar, shown_together, without_bars


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_short_work_writes_nothing_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    assert list(progress_bar(range(5), "Counting", unit="case")) == [0, 1, 2, 3, 4]
    assert stream.getvalue() == ""


def test_long_work_is_whole_lines_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e-9)
    list(progress_bar(range(3), "Counting", unit="case"))
    assert [line.split(",")[0] for line in stream.getvalue().split("\n")] == [
        "Counting: 1 of 3",
        "Counting: 2 of 3",
        "Counting: 3 of 3",
        "",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", file := Terminal())
    list(progress_bar(range(3), "Counting", unit="case"))
    assert "100%|" in file.getvalue()


def test_bars_can_be_silenced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", file := Terminal())
    with without_bars():
        list(progress_bar(range(3), "Counting"))
    assert file.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59, "59 s"),
        (59.7, "1 min"),
        (720, "12 min"),
        (3570, "1 h 0 min"),
        (7800, "2 h 10 min"),
        (273600, "3 days 4 h"),
    ],
)
def test_time_is_said_as_people_say_it(seconds: float, text: str) -> None:
    assert in_words(seconds) == text


def test_a_journey_counts_stages_by_their_seconds() -> None:
    journey = Journey({"first": 100.0, "second": 300.0}, clock := Clock())
    journey.advance(0.5)
    assert journey.done == pytest.approx(0.125)
    journey.enter("second")
    journey.advance(0.5)
    assert journey.done == pytest.approx(0.625)
    clock.now = 250.0
    assert journey.seconds_left == pytest.approx(150)


def test_a_slow_journey_takes_longer_than_it_was_expected_to() -> None:
    journey = Journey({"all": 1000.0}, clock := Clock())
    journey.advance(0.5)
    clock.now = 1000.0
    assert 900 < journey.seconds_left < 1000


def test_a_stage_says_how_far_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e-9)
    with shown_together(Journey({"teacher": 60.0, "student": 60.0})):
        bar = StageBar("Training", 2, unit="it")
        bar.advance_to(1, "loss 0.1")
        bar.close()
    assert "loss 0.1; all stages 25 %, about 1 min left" in stream.getvalue()


def test_all_stages_have_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", file := Terminal())
    with shown_together(Journey({"teacher": 60.0})):
        bar = StageBar("Training", 2, unit="it")
        bar.advance_to(2)
        bar.say("validating 1/3")
        bar.close()
    assert "All stages: 100 %" in file.getvalue()
    assert "validating 1/3" in file.getvalue()
