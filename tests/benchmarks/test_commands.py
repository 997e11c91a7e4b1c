from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.commands import MISSING, Work, account, of_a_large_cohort, untrained_model
from utad_monai.phantom.cohort import write_phantom_cohort


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    cohort = write_phantom_cohort(folder / "cohort", 1, progress=False)
    untrained_model("demo", cohort, folder / "model.safetensors")
    for path in cohort.glob(f"*/*_{MISSING}.nii.gz"):
        path.unlink()
    return folder


@pytest.mark.parametrize("work", [Work.CHECK, Work.ONE_SOURCE])
def test_work_has_its_price(work: Work, inputs: Path, tmp_path: Path) -> None:
    costs = account(work, inputs, tmp_path / "out")
    assert costs["core_seconds"] > 0
    assert costs["peak_mb"] > 10
    assert ("mb_on_disk" in costs) == (work is Work.ONE_SOURCE)


def test_price_of_a_large_cohort_follows_from_that_of_a_case() -> None:
    large = of_a_large_cohort({"core_seconds": [7.2, 7.0, 8.0], "peak_mb": [1024.0, 1.0, 2.0], "mb_on_disk": [5.0]})
    assert large["core_hours_of_100000_cases"] == pytest.approx(200)
    assert large["hours_in_64_shards"] == pytest.approx(200 / 64)
    assert large["gb_of_memory_of_64_shards"] == pytest.approx(64)
    assert large["tb_on_disk_of_100000_cases"] == pytest.approx(0.5)
