from __future__ import annotations

import pytest
from ignite.handlers import TerminateOnNan

from utad_monai.handlers import StopOnNonFinite, first_process, handlers_of_this_rank


def test_the_first_process_keeps_every_handler() -> None:
    handlers = [StopOnNonFinite(), TerminateOnNan()]
    assert handlers_of_this_rank(handlers) == handlers


def test_other_processes_keep_only_what_changes_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_process, "rank", lambda: 1)
    stop = StopOnNonFinite()
    assert handlers_of_this_rank([stop, TerminateOnNan()]) == [stop]
