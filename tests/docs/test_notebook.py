"""The notebook runs from its first cell to its last, and is stored without what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "first_steps.ipynb"
CELLS: list[dict[str, Any]] = [
    cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the cells one after the other, without windows, and return what they leave."""
    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.mkdtemp", lambda: str(tmp_path_factory.mktemp("notebook")))
        for number, cell in enumerate(CELLS):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    matplotlib.pyplot.close("all")
    return names


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_both_missing_images_are_made_on_the_grid_of_the_sources(names: dict[str, Any]) -> None:
    assert {str(modality) for modality in names["made"]} == {"t1ce", "t2"}
    assert all(completed.image.shape == names["patient"]["t1"].shape for completed in names["made"].values())


@pytest.mark.parametrize("modality", ["t1ce", "t2"])
def test_synthetic_images_are_better_than_a_copy(names: dict[str, Any], modality: str) -> None:
    result = names["results"][modality]
    assert result["synthetic"]["ssim"] > result["copy of t1"]["ssim"]


def test_no_output_is_stored() -> None:
    assert [cell for cell in CELLS if cell["outputs"] or cell["execution_count"] is not None] == []
