from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monai.transforms import LoadImaged

from benchmarks.plain_pipeline import PlainPipeline
from utad_monai.data import PreparedCohort, UnpairedSlices, find_cases
from utad_monai.keys import BatchKey


@pytest.mark.parametrize("kind", ["persistent", "cached"])
def test_the_rival_reads_every_file_once(
    kind: str, tiny_cohort: Path, prepared_tiny_cohort: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepared_tiny_cohort.store
    dataset = UnpairedSlices(store, list(store.cases.values()))
    cases = [case for case in find_cases(tiny_cohort) if case.case_id in store.cases]
    pipeline = PlainPipeline(cases, store.preprocessing, store)
    loaded: list[Any] = []
    load = LoadImaged.__call__
    monkeypatch.setattr(LoadImaged, "__call__", lambda self, data, *_: loaded.append(data) or load(self, data))
    loader = pipeline.loader(kind, tmp_path / "cache", dataset, drawn=8, batch_size=4)
    for _ in range(2):
        batches = list(loader)
        assert [tuple(batch[BatchKey.IMAGE].shape[-2:]) for batch in batches] == [store.preprocessing.image_size] * 2
    assert 0 < len(loaded) <= len(pipeline.items)
