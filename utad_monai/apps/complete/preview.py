"""A picture of a case: axial slices of what was there and what was made, side by side, each named for what it is."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image, ImageColor, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import avg_pool2d

from utad_monai.data.preprocessing import LoadedCase
from utad_monai.keys import SYNTHETIC_MARK, Modality
from utad_monai.runtime.files import atomic_path
from utad_monai.transforms import BACKGROUND, LoadNifti, OrientLPS, brain_window

PREVIEW_SUFFIX = "preview.png"
"""Ending of its name: `<case>_preview.png`, beside the volumes."""
REAL, MADE = "#9aa0a6", "#e69f00"
"""Colours of the names and frames of real and of synthetic images."""
_SIDE = 240
"""Pixels of the longer side of a slice."""
_TITLE, _NAME, _GAP = 26, 22, 4
_GREY_STEP, _SHADES = 3, 8
_SMOOTH = 5
"""Pixels over which sides are compared: brains are not symmetric pixel by pixel."""
_APART_MM = 15.0
"""So far the second slice lies from the first at least."""
_LEAST_AREA = 0.5
"""A slice with less brain, as a share of the largest, is not shown."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def preview_path(folder: str | Path, case_id: str) -> Path:
    """Return where the preview of a case lies, given the folder of its volumes."""
    return Path(folder) / f"{case_id}_{PREVIEW_SUFFIX}"


def write_preview(path: str | Path, loaded: LoadedCase, made: Mapping[Modality, Path], title: str) -> Path:
    """Write the picture of a case.

    Args:
        path: the `.png` to write.
        loaded: the case with its real images.
        made: the synthetic volume of each modality, on the same grid.
        title: the line above.
    """
    real = {modality: image.as_tensor()[0] for modality, image in loaded.images.items()}
    synthetic = {modality: _shown(file) for modality, file in made.items()}
    rows = informative_slices(list(real.values()), loaded.spacing_mm[2])
    picture = draw_preview(real, synthetic, rows, spacing_mm=loaded.spacing_mm[:2], title=title)
    with atomic_path(path) as temporary:
        temporary.write_bytes(_png(picture))
    return Path(path)


def draw_preview(
    real: Mapping[Modality, Tensor],
    made: Mapping[Modality, Tensor],
    slices: Sequence[int],
    *,
    spacing_mm: tuple[float, float],
    title: str,
) -> Image.Image:
    """Draw a row for each slice and a column for each image, as a radiologist sees them: the patient's left is right.

    Args:
        real: `(X, Y, Z)` in [-1, 1], in LPS order, background -1.
        made: the synthetic ones, in the same form; their names and frames say so.
        slices: places along Z.
        spacing_mm: size of a voxel along X and Y.
        title: the line above.
    """
    columns = [(f"{name.upper()} real", image, REAL) for name, image in real.items()]
    columns += [(f"{name.upper()} {SYNTHETIC_MARK}", image, MADE) for name, image in made.items()]
    box = _brain_box(list(real.values()))
    size = _cell_size(box, spacing_mm)
    width = len(columns) * (size[0] + _GAP) + _GAP
    canvas = Image.new("RGB", (width, _TITLE + _NAME + len(slices) * (size[1] + _GAP)), "black")
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, 5), _fitting(draw, title, width - 2 * _GAP), fill="white", font=_font(14))
    for column, (name, image, mark) in enumerate(columns):
        left = _GAP + column * (size[0] + _GAP)
        draw.text((left, _TITLE + 2), name, fill=mark, font=_font(15))
        for row, place in enumerate(slices):
            top = _TITLE + _NAME + row * (size[1] + _GAP)
            canvas.paste(Image.fromarray(_pixels(image, place, box)).resize(size), (left, top))
            draw.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), outline=mark)
            draw.text((left + 4, top + 2), "R", fill=mark, font=_font(13))
    return canvas


def informative_slices(images: Sequence[Tensor], spacing_mm: float) -> tuple[int, ...]:
    """Return the axial slices to show: where the sides of the brain differ most, as they do in a tumour, and another.

    The second is the one with most difference that lies 15 mm away or more; without one there is a single slice.

    Args:
        images: `(X, Y, Z)` in [-1, 1], in LPS order, background -1.
        spacing_mm: distance of the slices.
    """
    area = torch.stack([(image > BACKGROUND).sum(dim=(0, 1)) for image in images]).amax(dim=0)
    score = torch.stack([_one_sidedness(image) for image in images]).sum(dim=0)
    score[area < _LEAST_AREA * area.max()] = -1
    first = int(score.argmax())
    away = (torch.arange(len(score)) - first).abs() * spacing_mm >= _APART_MM
    second = int(torch.where(away, score, -1.0).argmax())
    return (first, second) if away[second] and score[second] >= 0 else (first,)


def _one_sidedness(image: Tensor) -> Tensor:
    """Return for each slice `(Z,)` how much the two sides of the brain differ, mirrored at the brain's middle."""
    columns = (image > BACKGROUND).any(dim=2).any(dim=1).nonzero()
    if not len(columns):
        return torch.zeros(image.shape[2])
    between = image[int(columns.min()) : int(columns.max()) + 1].movedim(2, 0)[:, None]
    smooth = avg_pool2d(between.to(torch.float32), _SMOOTH, stride=1, padding=_SMOOTH // 2, count_include_pad=False)
    both = (between > BACKGROUND) & (between.flip(2) > BACKGROUND)
    return ((smooth - smooth.flip(2)).abs() * both).sum(dim=(1, 2, 3))


def _shown(file: Path) -> Tensor:
    """Return a synthetic volume `(X, Y, Z)` in LPS order, its brain window on [-1, 1]."""
    volume: MetaTensor = OrientLPS()(LoadNifti()(file))  # type: ignore[assignment]  # of a MetaTensor it makes one
    image = volume.as_tensor()[0]
    try:
        return brain_window(image).normalise(image, image != 0)
    except ValueError:  # all of it has one intensity: there is nothing to see
        return torch.full_like(image, BACKGROUND)


def _brain_box(images: Sequence[Tensor]) -> tuple[slice, slice]:
    brain = torch.stack([(image > BACKGROUND).any(dim=2) for image in images]).any(dim=0)
    edges = [brain.any(dim=1 - axis).nonzero().flatten() for axis in (0, 1)]
    low, high = ([int(found[end]) if len(found) else end for found in edges] for end in (0, -1))
    return slice(low[0], high[0] + 1 or None), slice(low[1], high[1] + 1 or None)


def _cell_size(box: tuple[slice, slice], spacing_mm: tuple[float, float]) -> tuple[int, int]:
    """Return width and height of a slice in pixels; voxels that are not square are drawn in their shape."""
    sides = [max(1, (axis.stop or 2) - axis.start) * size for axis, size in zip(box, spacing_mm, strict=True)]
    width, height = (max(1, round(side / max(sides) * _SIDE)) for side in sides)
    return width, height


def _pixels(image: Tensor, place: int, box: tuple[slice, slice]) -> Pixels:
    levels = ((image[:, :, place][box] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.numpy().T)


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    while len(text) > 1 and draw.textlength(text, font=_font(14)) > width:
        text = text[:-2].rstrip() + "…"
    return text


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _palette() -> Image.Image:
    """Return the colours of the file: greys, and names and frames with their soft edges; more would double its size."""
    colours: list[tuple[int, ...]] = [(level, level, level) for level in range(0, 256, _GREY_STEP)]
    for name in (REAL, MADE):
        colours += [
            tuple(part * shade // _SHADES for part in ImageColor.getrgb(name)) for shade in range(1, _SHADES + 1)
        ]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in colours for part in colour])
    return palette


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.quantize(palette=_palette(), dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
