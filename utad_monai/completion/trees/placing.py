"""How one file gets into a tree: linked or copied where it fits as it is, written anew where it does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from transforms import CanonicalLabels, StoredLabels, read_nifti
from utad_monai.atomic import atomic_path
from utad_monai.completion.nifti_files import write_compressed, write_on_grid
from utad_monai.keys import Placing, TumourLabel

_GZIP_MAGIC = b"\x1f\x8b"

StoredImage = tuple[Path, int | None]
"""A file and, where it is 4-D, the position of the volume in it."""


class Placer:
    """Puts files into a tree.

    Args:
        placing: link or copy.
        home: the folder of the completion; links to what lies inside it are relative and survive its move.
    """

    def __init__(self, placing: Placing | str, home: str | Path) -> None:
        self.placing = Placing(placing)
        self.home = Path(home).absolute()

    def image(self, source: StoredImage, destination: Path) -> None:
        """Put a 3-D image into a tree as `.nii.gz`; volumes of 4-D files and uncompressed files are written anew."""
        path, channel = source
        if channel is not None:
            write_on_grid(destination, read_nifti(path, channel).array, path)
        elif not _is_compressed(path):
            write_compressed(destination, path.read_bytes())
        else:
            self._place(path, destination)

    def stack(self, sources: Sequence[StoredImage], destination: Path, header_text: str = "") -> None:
        """Write images of one grid as the volumes of one 4-D float32 file, in this order."""
        volumes = [read_nifti(path, channel).array for path, channel in sources]
        write_on_grid(destination, np.stack(volumes, axis=-1), sources[0][0], header_text)

    def segmentation(
        self, source: Path, destination: Path, found: Mapping[int, TumourLabel], wanted: Mapping[int, TumourLabel]
    ) -> None:
        """Put a segmentation into a tree; where the tree uses other values it is written anew as uint8.

        Args:
            source: the file.
            destination: a `.nii.gz`.
            found: canonical label of each value of the source.
            wanted: canonical label of each value of the tree.

        Raises:
            InvalidImageError: when the file is refused.
            ValueError: when it has unknown labels.
        """
        labels = torch.from_numpy(read_nifti(source).array)
        converted = StoredLabels(wanted)(CanonicalLabels(found)(labels))
        if torch.equal(converted, labels):
            self.image((source, None), destination)
        else:
            write_on_grid(destination, converted.numpy().astype(np.uint8), source)

    def _place(self, path: Path, destination: Path) -> None:
        """Link or copy a file; a copy of the same size and time is kept."""
        if self.placing is Placing.COPY and _same_file(path, destination):
            return
        with atomic_path(destination) as temporary:
            if self.placing is Placing.COPY:
                shutil.copy2(path, temporary)
            else:
                temporary.unlink()
                temporary.symlink_to(self._target(path.absolute(), destination))

    def _target(self, path: Path, destination: Path) -> str:
        inside = path.is_relative_to(self.home)
        return os.path.relpath(path, destination.parent.absolute()) if inside else str(path)


def _same_file(path: Path, destination: Path) -> bool:
    if destination.is_symlink() or not destination.is_file():
        return False
    ours, theirs = destination.stat(), path.stat()
    return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC
