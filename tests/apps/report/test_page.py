"""The policy names exactly the texts that may run."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from utad_monai.apps.report.page import LABEL_STEP, content_security_policy, image_sprite, label_sprite, sprite_columns
from utad_monai.transforms import BACKGROUND


def test_texts_are_named_by_their_hashes_and_empty_ones_are_not() -> None:
    policy = dict(
        part.split(" ", 1) for part in content_security_policy(["alert(1)", ""], "p { color: red }").split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
    assert policy["style-src"].startswith("'sha256-")
    assert policy["script-src"] != policy["style-src"]


def pixels(uri: str) -> np.ndarray:  # type: ignore[type-arg]
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_every_slice_is_found_again_in_its_place() -> None:
    slices = torch.rand(5, 4, 6) * 2 - 1
    sprite = pixels(image_sprite(slices))
    columns = sprite_columns(5)
    for place in range(5):
        top, left = place // columns * 4, place % columns * 6
        part = sprite[top : top + 4, left : left + 6]
        assert np.abs(part / 127.5 - 1 - slices[place].numpy()).max() <= 1 / 255 + 1e-6


def test_the_background_is_black_and_the_brightest_white() -> None:
    assert pixels(image_sprite(torch.tensor([[[BACKGROUND, 1.0]]]))).tolist() == [[0, 255]]


def test_labels_survive() -> None:
    labels = torch.randint(0, 4, (3, 4, 4))
    sprite = pixels(label_sprite(labels))
    assert set(np.unique(sprite)) <= {0, LABEL_STEP, 2 * LABEL_STEP, 3 * LABEL_STEP}
    assert (sprite[:4, :4] == labels[0].numpy() * LABEL_STEP).all()
