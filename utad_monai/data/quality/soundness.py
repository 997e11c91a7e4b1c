"""Warnings about what a case holds: its name, intensities, skull, segmentation, and where its images lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import torch
from monai.data import MetaTensor
from torch import Tensor

from utad_monai.data.layouts import Case
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.layouts.table import is_listed
from utad_monai.data.quality.case_name import name_warning
from utad_monai.data.quality.finding import Finding, FindingKind
from utad_monai.data.quality.mix_up import duplicates_within
from utad_monai.data.sequences import RawRole, contradiction, read_sidecar
from utad_monai.keys import Modality
from utad_monai.transforms.grid import MIRRORED_GAIN, SMALLEST_OVERLAP, overlap
from utad_monai.transforms.labels import whole_labels
from utad_monai.transforms.load import WARNINGS, file_of

LARGEST_BRAIN_ML = 2500.0
"""A foreground beyond it is not skull-stripped: no brain is larger, and a head in a usual field of view is."""
TRANSLATED_ML = (500.0, LARGEST_BRAIN_ML)
"""A brain that a model is given: outside lies a part of one, a head with its skull, or another unit of length."""
PREPARED_ML = (700.0, LARGEST_BRAIN_ML)
"""A brain mask of the preparation, made of whole heads: a smaller one has lost brain."""
STRIPPED_ML = (400.0, 2300.0)
"""A raw image that may be skull-stripped already: a part of a brain is, and nothing near the size of a head."""
ROUGH_MASK_ML = 1800.0
"""A rough brain mask is cut deeper until it is no larger: what is larger still hangs on the scalp."""


BORDER_SHARE = 0.3
"""A brain leaves most of the six faces of its volume free; a head, or noise around it, does not."""
STRIP_THE_SKULL = "strip the skull with `utad-monai prepare`, HD-BET or SynthStrip; background must be 0"


def skull_warning(image: Tensor, spacing_mm: Sequence[float]) -> str:
    """Return why an image is hardly skull-stripped; empty when it may be.

    Args:
        image: `(X, Y, Z)` in file units.
        spacing_mm: voxel size along the three axes.
    """
    foreground = image != 0
    millilitres = float(foreground.count_nonzero()) * prod(spacing_mm) / 1000
    if millilitres > LARGEST_BRAIN_ML:
        return f"is not skull-stripped: its foreground of {millilitres:.0f} ml is more than a brain"
    faces = [foreground.select(axis, end).float().mean() for axis in range(3) for end in (0, -1)]
    share = float(sum(faces)) / len(faces)
    if share > BORDER_SHARE:
        return f"is not skull-stripped: its foreground covers {share:.0%} of the volume's faces"
    return ""


SATURATED_SHARE = 0.02
"""An image is saturated when more of its foreground has the largest value; sound images stay below 0.0001."""
SMALLEST_INTENSITY = 1e-30
"""Images without a larger absolute value are close to the end of float32 and lose digits."""
LARGEST_TUMOUR_SHARE = 0.5
"""A segmentation that covers more of the brain is hardly one of a tumour."""
LARGEST_OUTSIDE_SHARE = 0.1
"""A segmentation with more of its voxels outside the brain hardly belongs to it."""


def case_warnings(case: Case, volumes: Mapping[Modality | str, MetaTensor]) -> Iterator[Finding]:
    """Yield the warnings about a case's name and about its loaded volumes, each thing once."""
    if text := name_warning(case.case_id):
        yield Finding.warning(FindingKind.NAME, case.case_id, None, text, "rename the case")
    texts = [(file_of(volume), text) for volume in volumes.values() for text in volume.meta[WARNINGS]]
    for file, text in dict.fromkeys(texts):
        yield Finding.warning(FindingKind.FILE, case.case_id, file, text)
    if SEGMENTATION in volumes and (text := label_warning(volumes[SEGMENTATION].as_tensor())):
        yield Finding.warning(FindingKind.SEGMENTATION, case.case_id, case.segmentation, text)
    yield from _other_sequences(case)
    images = {modality: volumes[modality] for modality in case.images if modality in volumes}
    for modality, image in images.items():
        for text, remedy in intensity_warnings(image.as_tensor()):
            yield _image_warning(FindingKind.INTENSITY, case, modality, text, remedy)
        if text := skull_warning(image.as_tensor()[0], [float(size) for size in image.pixdim]):
            yield _image_warning(FindingKind.NOT_SKULL_STRIPPED, case, modality, text, STRIP_THE_SKULL)
    yield from duplicates_within(case, images)
    yield from _misplaced(case, images)


def _other_sequences(case: Case) -> Iterator[Finding]:
    """Yield a warning for each image of a table that by its sidecar or name is of another modality than its column."""
    for modality, path in case.images.items() if is_listed(case) else ():
        if modality in list(Modality):
            folder = path.parent.resolve()
            sidecar = read_sidecar(path, path.parent, lambda file: not file.resolve().is_relative_to(folder))  # noqa: B023
            if text := contradiction(RawRole(modality), "the table", sidecar, path.name.partition(".nii")[0]):
                yield Finding.warning(FindingKind.MODALITY_MIX_UP, case.case_id, path, text, "look at it")


def intensity_warnings(image: Tensor) -> Iterator[tuple[str, str]]:
    """Yield what is unusual about the intensities of one volume of any shape, in file units, and what to do."""
    size = int(image.count_nonzero())
    if not size:
        return
    voxels = image.numpy()  # in the file's voxel order, where torch's reductions are ten times slower
    low, largest = float(voxels.min()), float(voxels.max())
    if largest == 0:  # all of the foreground is negative
        largest = float(image[image != 0].max())
    share = int((image == largest).count_nonzero()) / size
    if share > SATURATED_SHARE:
        yield f"is saturated: {share:.0%} of its foreground has the largest value, {largest:g}", "export it unclipped"
    if max(-low, largest) < SMALLEST_INTENSITY:
        yield f"has vanishingly small (denormal) intensities, at most {largest:g}", "rescale it"


def label_warning(labels: Tensor) -> str:
    """Return that labels of any shape are rounded to whole numbers; empty when they need not or cannot be."""
    whole = whole_labels(labels)
    if torch.equal(whole, labels) or not torch.equal(whole, whole.round()):
        return ""
    changed = labels[whole != labels].flatten()[0]
    return f"has label values that are no whole numbers, such as {float(changed):.7g}: they are rounded"


def segmentation_warnings(tumour: Tensor, brain: Tensor) -> Iterator[str]:
    """Yield what is unusual about a whole-tumour mask `(X, Y, Z)` in a brain mask of the same shape."""
    inside = tumour.bool() & brain
    size = int(tumour.count_nonzero())
    if not size:
        yield "is empty: the case counts as one without tumour"
        return
    shared = int(inside.count_nonzero())
    covered = shared / max(1, int(brain.count_nonzero()))
    outside = 1 - shared / size
    if covered > LARGEST_TUMOUR_SHARE:
        yield f"covers {covered:.0%} of the brain: is it a segmentation of tissues instead of a tumour?"
    if outside > LARGEST_OUTSIDE_SHARE:
        yield f"has {outside:.0%} of its voxels outside the brain: does it belong to this case?"


def _misplaced(case: Case, images: Mapping[Modality, MetaTensor]) -> Iterator[Finding]:
    """Yield a warning for each image whose foreground lies elsewhere than that of the first, or is its mirror image."""
    if not images:
        return
    first, *others = images
    reference = _every_other_voxel(images[first]) != 0
    for modality in others:
        foreground = _every_other_voxel(images[modality]) != 0
        if foreground.shape != reference.shape or not foreground.any() or not reference.any():
            continue
        here, mirrored = overlap(foreground, reference), overlap(foreground.flip(0), reference)
        text = ""
        if mirrored > here + MIRRORED_GAIN:
            text = f"fits the {first} image better when mirrored left-right: is its orientation true?"
        elif here < SMALLEST_OVERLAP:
            text = f"covers other voxels than the {first} image: are they co-registered, and of one patient?"
        if text:
            yield _image_warning(FindingKind.FILE, case, modality, text)


def _every_other_voxel(image: MetaTensor) -> Tensor:
    """Return enough of a volume to see where its foreground lies."""
    return image.as_tensor()[0, ::2, ::2, ::2]


def _image_warning(kind: FindingKind, case: Case, modality: Modality, text: str, remedy: str = "") -> Finding:
    """Return a warning about an image; it names the channel when the file holds several modalities."""
    channel = case.channel(modality)
    named = text if channel is None else f"channel {channel} ({modality}) {text}"
    return Finding.warning(kind, case.case_id, case.images[modality], named, remedy)
