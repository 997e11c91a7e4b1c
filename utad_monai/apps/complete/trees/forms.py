"""A case that has all four modalities, real or synthetic."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utad_monai.apps.complete.synthetic_files import write_compressed, write_on_grid
from utad_monai.data.layouts import BRATS_2017_TO_2021, BRATS_2023, MSD_TASK01, BratsLayout, Case
from utad_monai.data.layouts.label_sets import BRATS_2017_TO_2021_LABELS, BRATS_2023_LABELS, MSD_LABELS, LabelSet
from utad_monai.keys import SYNTHETIC_MARK, Modality, Placing, TreeLayout
from utad_monai.runtime.files import atomic_path
from utad_monai.transforms import CanonicalLabels, StoredLabels, read_nifti
from utad_monai.transforms.labels import whole_labels


@dataclass(frozen=True)
class CompleteCase:
    """All that a tree needs of one case.

    Attributes:
        case: the case as it was found.
        synthetic: the files of the modalities that were made.
    """

    case: Case
    synthetic: Mapping[Modality, Path]

    def image(self, modality: Modality) -> tuple[Path, int | None]:
        """Return the file of a modality and, where it is 4-D, the position in it; a real image comes first.

        Raises:
            KeyError: when there is neither.
        """
        if modality in self.case.images:
            return self.case.images[modality], self.case.channel(modality)
        return self.synthetic[modality], None

    @property
    def made(self) -> tuple[Modality, ...]:
        """The modalities that a tree takes from the synthetic ones."""
        return tuple(modality for modality in Modality if modality not in self.case.images)


_GZIP_MAGIC = b"\x1f\x8b"

StoredImage = tuple[Path, int | None]
"""A file and, where it is 4-D, the position of the volume in it."""


class Placer:
    """Puts files into a tree.

    Args:
        placing: link or copy.
    """

    def __init__(self, placing: Placing | str) -> None:
        self.placing = Placing(placing)

    def image(self, source: StoredImage, destination: Path) -> None:
        """Put a 3-D image into a tree as `.nii.gz`; volumes of 4-D files and uncompressed files are written anew."""
        path, channel = source
        if channel is not None:
            write_on_grid(destination, read_nifti(path, channel).array, path)
        elif not _is_compressed(path):
            write_compressed(destination, path.read_bytes())
        else:
            self.file(path, destination)

    def stack(self, sources: Sequence[StoredImage], destination: Path, header_text: str = "") -> None:
        """Write images of one grid as the volumes of one 4-D float32 file, in this order."""
        volumes = [read_nifti(path, channel).array for path, channel in sources]
        write_on_grid(destination, np.stack(volumes, axis=-1), sources[0][0], header_text)

    def segmentation(self, source: Path, destination: Path, found: LabelSet, wanted: LabelSet) -> str:
        """Put a segmentation into a tree; where the tree uses other values it is written anew as uint8.

        A cavity, and what a cohort ignores, has no value in a tree: it becomes background.

        Args:
            source: the file.
            destination: a `.nii.gz`.
            found: what the values of the source mean.
            wanted: what the values of the tree mean.

        Returns:
            What became background, in one phrase; empty when nothing did.

        Raises:
            InvalidImageError: when the file is refused.
            ValueError: when it has unknown labels.
        """
        labels = torch.from_numpy(read_nifti(source).array)
        converted = StoredLabels(wanted.meanings)(CanonicalLabels(found.meanings)(labels))
        if torch.equal(converted, labels):
            self.image((source, None), destination)
        else:
            write_on_grid(destination, converted.numpy().astype(np.uint8), source)
        lost = {value: int((whole_labels(labels) == value).sum()) for value in found.no_tumour(found.words)}
        texts = [f"label {v} ({found.words[v]}), {voxels} voxels" for v, voxels in lost.items() if voxels]
        return f"{', '.join(texts)}: background in the tree, whose label set has no value for it" if texts else ""

    def file(self, path: Path, destination: Path) -> None:
        """Link or copy a file; a copy of the same size and time is kept.

        Links are relative: they lead on when tree and original move together.
        """
        if self.placing is Placing.COPY and _same_file(path, destination):
            return
        with atomic_path(destination) as temporary:
            if self.placing is Placing.COPY:
                shutil.copy2(path, temporary)
            else:
                temporary.unlink()
                temporary.symlink_to(_way(path, destination))


def _way(path: Path, destination: Path) -> str:
    """Return the path that a link at a destination needs; absolute where there is no other, on two drives."""
    folder, start = (os.path.realpath(one.absolute().parent) for one in (path, destination))
    original = os.path.join(folder, path.name)  # the file itself may be a link, and stays one
    try:
        return os.path.relpath(original, start)
    except ValueError:
        return original


def _same_file(path: Path, destination: Path) -> bool:
    if destination.is_symlink() or not destination.is_file():
        return False
    ours, theirs = destination.stat(), path.stat()
    return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


_ENDING = ".nii.gz"
NNUNET_DATASET = "Dataset501_CompletedCohort"
"""nnU-Net's name of the data set; numbers from 500 on are left to users."""
_ZOO_ORDER = (Modality.T1CE, Modality.T1, Modality.T2, Modality.FLAIR)
"""Channel order of `brats_mri_segmentation` in the MONAI model zoo."""


class TreeForm(ABC):
    """A layout that a completed cohort can be written in."""

    label_set: LabelSet
    """What the values of its segmentations mean."""
    folds_file: str = ""
    """Where its readers look for the folds of a cross-validation; empty where they do not."""
    official_names = False
    """Whether its readers take no names of cases but those of BraTS 2023."""

    @property
    @abstractmethod
    def channel_order(self) -> str:
        """Which channel or file name holds which modality, in one line."""

    @abstractmethod
    def images(self, case: CompleteCase, root: Path, placer: Placer) -> dict[Modality, Path]:
        """Put the images of a case into the tree; return the file of each, which a 4-D file is of all."""

    def channel(self, modality: Modality) -> int | None:  # noqa: ARG002  (of no file that holds one image)
        """Return a modality's position in a 4-D file; None where every image has a file of its own."""
        return None

    @abstractmethod
    def segmentation(self, case: CompleteCase, root: Path) -> Path:
        """Return where the segmentation of a case belongs."""

    @abstractmethod
    def description(self, labelled: Sequence[str], others: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return name and content of the JSON file that describes the tree to its readers.

        Args:
            labelled: names of the cases with a segmentation.
            others: names of the cases without.
        """


class BratsForm(TreeForm):
    """BraTS names, and a `datalist.json` for the MONAI model zoo.

    Args:
        layout: the names of files.
        official_names: whether cases are called as in BraTS 2023, too.
    """

    def __init__(self, layout: BratsLayout, official_names: bool = False) -> None:
        self.layout = layout
        self.official_names = official_names
        self.label_set = BRATS_2023_LABELS if layout is BRATS_2023 else BRATS_2017_TO_2021_LABELS

    @property
    def channel_order(self) -> str:
        """File endings, and the order of the datalist."""
        endings = ", ".join(f"{modality} {self.layout.separator}{name}" for modality, name in self.layout.names.items())
        return f"{endings}; datalist.json: {', '.join(_ZOO_ORDER)} (the order of the zoo's brats_mri_segmentation)"

    def images(self, case: CompleteCase, root: Path, placer: Placer) -> dict[Modality, Path]:
        """Put one file for each modality into the case's folder."""
        files = {m: root / self._file(case.case.case_id, self.layout.names[m]) for m in Modality}
        for modality, path in files.items():
            placer.image(case.image(modality), path)
        return files

    def segmentation(self, case: CompleteCase, root: Path) -> Path:
        """Return `<case>/<case>_seg.nii.gz`."""
        return root / self._file(case.case.case_id, "seg")

    def description(self, labelled: Sequence[str], others: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return a MONAI datalist with paths relative to the tree."""
        training = [{"image": self._zoo_images(name), "label": self._file(name, "seg")} for name in labelled]
        return "datalist.json", {"training": training, "testing": [{"image": self._zoo_images(n)} for n in others]}

    def _zoo_images(self, case_id: str) -> list[str]:
        return [self._file(case_id, self.layout.names[modality]) for modality in _ZOO_ORDER]

    def _file(self, case_id: str, name: str) -> str:
        return f"{case_id}/{case_id}{self.layout.separator}{name}{_ENDING}"


class NnunetForm(TreeForm):
    """nnU-Net v2: one file for each channel, and a `dataset.json` with regions."""

    label_set = MSD_LABELS
    folds_file = f"{NNUNET_DATASET}/splits_final.json"

    @property
    def channel_order(self) -> str:
        """Number of each channel."""
        return ", ".join(f"_{modality.channel:04d} {modality}" for modality in Modality)

    def images(self, case: CompleteCase, root: Path, placer: Placer) -> dict[Modality, Path]:
        """Put one file for each channel into `imagesTr`, or `imagesTs` without a segmentation."""
        folder = root / NNUNET_DATASET / _images_folder(case)
        files = {m: folder / f"{case.case.case_id}_{m.channel:04d}{_ENDING}" for m in Modality}
        for modality, path in files.items():
            placer.image(case.image(modality), path)
        return files

    def segmentation(self, case: CompleteCase, root: Path) -> Path:
        """Return `labelsTr/<case>.nii.gz`."""
        return root / NNUNET_DATASET / "labelsTr" / f"{case.case.case_id}{_ENDING}"

    def description(self, labelled: Sequence[str], others: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return nnU-Net's `dataset.json`; whole tumour, core and enhancing tumour are regions, as in BraTS."""
        return f"{NNUNET_DATASET}/dataset.json", {
            "channel_names": {str(modality.channel): str(modality) for modality in Modality},
            "labels": {"background": 0, "whole_tumour": [1, 2, 3], "tumour_core": [2, 3], "enhancing_tumour": [3]},
            "regions_class_order": [1, 2, 3],
            "numTraining": len(labelled),
            "numTest": len(others),
            "file_ending": _ENDING,
        }


class MsdForm(TreeForm):
    """Medical Segmentation Decathlon, Task01: 4-D images and a `dataset.json`."""

    label_set = MSD_LABELS

    @property
    def channel_order(self) -> str:
        """Position of each modality in the 4-D files."""
        return ", ".join(f"{channel} {MSD_TASK01.names[m]}" for m, channel in MSD_TASK01.channels.items())

    def channel(self, modality: Modality) -> int:
        """Return the position of a modality."""
        return MSD_TASK01.channels[modality]

    def images(self, case: CompleteCase, root: Path, placer: Placer) -> dict[Modality, Path]:
        """Stack the modalities into one file in `imagesTr`, or `imagesTs` without a segmentation."""
        ordered = sorted(Modality, key=lambda modality: MSD_TASK01.channels[modality])
        path = root / _images_folder(case) / f"{case.case.case_id}{_ENDING}"
        text = f"{SYNTHETIC_MARK} volumes: {', '.join(case.made)}" if case.made else ""
        placer.stack([case.image(modality) for modality in ordered], path, text)
        return dict.fromkeys(ordered, path)

    def segmentation(self, case: CompleteCase, root: Path) -> Path:
        """Return `labelsTr/<case>.nii.gz`."""
        return root / "labelsTr" / f"{case.case.case_id}{_ENDING}"

    def description(self, labelled: Sequence[str], others: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return the task's `dataset.json`."""
        return "dataset.json", {
            "name": "BrainTumour",
            "description": "A brain tumour cohort completed with synthetic modalities: see synthetic.csv",
            "tensorImageSize": "4D",
            "modality": {str(channel): MSD_TASK01.names[m] for m, channel in MSD_TASK01.channels.items()},
            "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
            "numTraining": len(labelled),
            "numTest": len(others),
            "training": [
                {"image": f"./imagesTr/{name}{_ENDING}", "label": f"./labelsTr/{name}{_ENDING}"} for name in labelled
            ],
            "test": [f"./imagesTs/{name}{_ENDING}" for name in others],
        }


def tree_form(layout: TreeLayout) -> TreeForm:
    """Return the form of a layout."""
    forms: dict[TreeLayout, TreeForm] = {
        TreeLayout.BRATS2020: BratsForm(BRATS_2017_TO_2021),
        TreeLayout.BRATS2023: BratsForm(BRATS_2023),
        TreeLayout.BRASYN: BratsForm(BRATS_2023, official_names=True),
        TreeLayout.NNUNET: NnunetForm(),
        TreeLayout.MSD: MsdForm(),
    }
    return forms[layout]


def _images_folder(case: CompleteCase) -> str:
    return "imagesTr" if case.case.segmentation else "imagesTs"
