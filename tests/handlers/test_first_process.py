from __future__ import annotations

import inspect
import re

import pytest
from ignite.handlers import TerminateOnNan

from utad_monai import handlers
from utad_monai.handlers import StopOnNonFinite, first_process, handlers_of_this_rank


def test_the_first_process_keeps_every_handler() -> None:
    given = [StopOnNonFinite(), TerminateOnNan()]
    assert handlers_of_this_rank(given) == given


def test_other_processes_keep_only_what_changes_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_process, "rank", lambda: 1)
    stop = StopOnNonFinite()
    assert handlers_of_this_rank([stop, TerminateOnNan()]) == [stop]


def test_every_handler_that_adds_a_term_or_changes_a_weight_runs_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_process, "rank", lambda: 1)
    classes = [one for one in vars(handlers).values() if inspect.isclass(one)]
    changing = [
        one for one in classes if re.search(r"engine\.(generator_terms|loss_weights)\b.*=", inspect.getsource(one))
    ]
    assert {"DistillationHandler", "LateCritics", "PairedSupervision", "StarterAnchor"} <= {
        c.__name__ for c in changing
    }
    for one in changing:
        assert len(handlers_of_this_rank([one.__new__(one)])) == 1, one.__name__
