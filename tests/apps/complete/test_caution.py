"""What not to believe follows what was made from what."""

from __future__ import annotations

import pytest

from utad_monai.apps.complete.caution import caution
from utad_monai.keys import Modality

FLAIR, T1, T1CE, T2 = Modality


def test_enhancement_is_named_where_t1ce_was_made() -> None:
    assert "Enhancement is not predicted" in caution([T1CE], [T1])
    assert "Enhancement" not in caution([T2], [T1CE])


@pytest.mark.parametrize(
    ("made", "sources", "said"), [(FLAIR, T1, True), (FLAIR, T2, False), (T2, T1CE, True), (T1CE, T1, False)]
)
def test_oedema_is_named_where_nothing_shows_it(made: Modality, sources: Modality, said: bool) -> None:
    assert ("oedema" in caution([made], [sources])) is said


def test_every_paragraph_says_that_it_is_not_for_clinical_use() -> None:
    assert caution([], []).endswith("not for clinical use.")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([T2], "synthetic t2 is"),
        ([T1, T2], "synthetic t1 and t2 are"),
        ([FLAIR, T1, T2], "synthetic flair, t1 and t2 are"),
    ],
)
def test_what_was_made_is_named(made: list[Modality], said: str) -> None:
    assert f"What not to believe: {said} computed, not measured." in caution(made, [T1CE])
