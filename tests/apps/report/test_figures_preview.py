"""The preview shows each target with its sources, translation, truth and error."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from utad_monai.apps.report.figures import preview_figure
from utad_monai.data import Preprocessing
from utad_monai.keys import BatchKey, Modality
from utad_monai.models import TranslatorModel
from utad_monai.networks import TumourAwareGenerator


@pytest.fixture
def case() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    images = {modality: torch.full((3, 32, 32), -1.0) for modality in Modality}
    for image in images.values():
        image[:, 4:28, 4:28] = torch.rand(3, 24, 24, generator=draw) - 0.5
    label = torch.zeros(3, 3, 32, 32)
    label[0, 2, 8:12, 8:12] = 1
    return {BatchKey.CASE_ID: "case_1", BatchKey.IMAGE: images, BatchKey.LABEL: label}


@pytest.mark.parametrize(("sources", "used"), [("several", 3), ("one", 1)])
def test_rows_are_targets_with_the_sources_that_are_used(case: dict[str, Any], sources: str, used: int) -> None:
    torch.manual_seed(0)
    generator = TumourAwareGenerator(2, "global_only", second_input="whole_image", sources=sources)
    figure = preview_figure(case, TranslatorModel(generator, Preprocessing(image_size=(32, 32))))
    axes = np.array(figure.axes).reshape(4, 6)
    for row, target in zip(axes, Modality, strict=True):
        titles = [axis.get_title() for axis in row]
        assert sum(title.startswith("source") for title in titles) == used
        assert titles[3:5] == [f"synthetic {target}", f"real {target}"]
        shown = row[4].images[0].get_array()
        np.testing.assert_allclose(shown, case[BatchKey.IMAGE][target][2])  # the slice with the tumour
        error = np.abs(row[3].images[0].get_array() - shown) / 2
        np.testing.assert_allclose(row[5].images[0].get_array(), error, atol=1e-6)
    plt.close(figure)
