"""The readers that the fuzzer tries, each with sound files, their damage, and what may come of it."""

from __future__ import annotations

import gzip
import json
import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.networks.nets import UNet

from benchmarks.mutations import (
    damaged_bytes,
    damaged_data,
    damaged_json,
    damaged_nifti,
    damaged_text,
    tiny_nifti,
)
from utad_monai.apps.complete import SyntheticFiles
from utad_monai.apps.complete.provenance import Provenance, SourceImage
from utad_monai.apps.prepare.case_files import is_finished, read_report
from utad_monai.data import CohortError, Preprocessing, find_cases
from utad_monai.data.layouts import look_for_cases
from utad_monai.data.preprocessing import load_case, slice_case
from utad_monai.data.slice_store import _read_index, prepare_slices
from utad_monai.data.split import keep_split, read_split
from utad_monai.keys import Modality
from utad_monai.models import (
    CheckpointError,
    Segmenter,
    TranslatorModel,
    load_segmenter,
    load_translator,
    save_segmenter,
    save_translator,
)
from utad_monai.models.weights_file import read_safetensors
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.transforms import IntensityWindow, InvalidImageError, NiftiVolume, read_nifti

PREPROCESSING = Preprocessing(frame_size_mm=(36, 36), image_size=(32, 32))


class Target(ABC):
    """A reader and files for it.

    Attributes:
        name: what it is called.
        weight: how often it is tried, relative to the others.
        refusals: the errors that it may raise.
    """

    name: str
    weight: float
    refusals: tuple[type[Exception], ...]

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir()

    @abstractmethod
    def damage(self, draw: random.Random) -> Path:
        """Write a damaged file and return it."""

    @abstractmethod
    def read(self, path: Path) -> None:
        """Read a damaged file; what is accepted must be what its header says."""

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


class Images(Target):
    """The one door for images."""

    name = "image"
    weight = 60
    refusals = (InvalidImageError,)
    sources = tuple(
        tiny_nifti(version, sign, dtype, volumes, slope, extended)
        for version in (1, 2)
        for sign in "<>"
        for dtype, volumes, slope, extended in (
            ("int16", 0, 1.0, False),
            ("float32", 0, 2.0, True),
            ("float64", 3, 1.0, False),
            ("uint8", 0, 0.5, False),
        )
    )

    def damage(self, draw: random.Random) -> Path:
        """Write one image with an ending that may lie."""
        content = damaged_nifti(draw, draw.choice(self.sources))
        packed = (content[:2] == b"\x1f\x8b") ^ (draw.random() < 0.02)
        return self._write("image.nii.gz" if packed else "image.nii", content)

    def read(self, path: Path) -> None:
        """Read it as a volume, and as one channel of several."""
        try:
            _must_be_sound(path, read_nifti(path))
        except InvalidImageError as error:
            if "4-D" not in str(error):
                raise
            _must_be_sound(path, read_nifti(path, channel=1))


def _must_be_sound(path: Path, volume: NiftiVolume) -> None:
    """Check what was accepted against the header, read in another way."""
    packed = path.read_bytes()[:2] == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as stream:
        block = stream.read(540)
    kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    size = next(s for s in kinds if s in (int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")))
    header = kinds[size](block[:size], check=False)
    assert volume.array.shape == tuple(int(n) for n in header["dim"][1:4]), "another shape than its header's"
    assert np.isfinite(volume.array).all(), "voxels that are not finite"
    assert np.isfinite(volume.affine).all(), "an affine that is not finite"
    assert np.linalg.matrix_rank(volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)) == 3, "singular"
    assert volume.array.dtype == np.float32


class Cases(Target):
    """From the files of a case to the slices that networks see."""

    name = "case"
    weight = 12
    refusals = (CohortError,)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.root = self.folder / "cohort"
        (self.root / "a").mkdir(parents=True)
        self.sound = {f"a_{modality}.nii.gz": tiny_nifti(dtype="int16") for modality in Modality}
        grid = np.frombuffer(self.sound["a_t1.nii.gz"][352:], "<i2")
        seg = bytearray(tiny_nifti(dtype="uint8"))
        seg[352:] = np.where(grid > 120, 4, 0).astype(np.uint8).tobytes()
        self.sound["a_seg.nii.gz"] = bytes(seg)
        for name, content in self.sound.items():
            (self.root / "a" / name).write_bytes(gzip.compress(content, 1))
        (self.case,) = find_cases(self.root)
        self.last = ""
        slice_case(load_case(self.case, PREPROCESSING), PREPROCESSING)  # it is sound

    def damage(self, draw: random.Random) -> Path:
        """Damage one file of the case and restore the one before."""
        if self.last:
            (self.root / "a" / self.last).write_bytes(gzip.compress(self.sound[self.last], 1))
        self.last = draw.choice(list(self.sound))
        content = damaged_nifti(draw, self.sound[self.last])
        packed = content if content[:2] == b"\x1f\x8b" else gzip.compress(content, 1)
        return self._write(f"cohort/a/{self.last}", packed)

    def read(self, path: Path) -> None:
        """Load and slice the case."""
        slices = slice_case(load_case(self.case, PREPROCESSING), PREPROCESSING)
        for image in slices.images.values():
            assert torch.isfinite(image).all(), f"{path.name} gives slices that are not finite"
            assert image.min() >= -1, "slices below -1"
            assert image.max() <= 1, "slices above 1"


class Models(Target):
    """Model files: the container, and what a sound one describes."""

    name = "model"
    weight = 8
    refusals = (CheckpointError,)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        torch.manual_seed(0)
        student = student_from_teacher(TumourAwareGenerator(1), "complete").eval()
        windows = {modality: IntensityWindow(0.0, 100.0) for modality in Modality}
        errors = {t: {s: 0.1 for s in Modality if s != t} for t in Modality}
        save_translator(
            self.folder / "t.safetensors",
            TranslatorModel(
                student, PREPROCESSING, target_windows=windows, source_errors=errors, intensity_profiles={}
            ),
        )
        arguments = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [2, 4], "strides": [2]}
        save_segmenter(self.folder / "s.safetensors", Segmenter(UNet(**arguments), PREPROCESSING, arguments=arguments))
        for kind in "ts":  # as earlier versions wrote them
            torch.save(read_safetensors(self.folder / f"{kind}.safetensors"), self.folder / f"{kind}.pt")
        self.sound = [self.folder / f"{kind}.{form}" for kind in "ts" for form in ("safetensors", "pt")]

    def damage(self, draw: random.Random) -> Path:
        """Damage the bytes, the header, or the description; the name may say the other form."""
        sound = draw.choice(self.sound)
        name = f"{sound.stem}-damaged{draw.choice((sound.suffix, sound.suffix, '.pt'))}"
        kind = draw.random()
        if kind < 0.5:
            return self._write(name, damaged_bytes(draw, sound.read_bytes()))
        if sound.suffix == ".safetensors":
            return self._write(name, _damaged_header(draw, sound.read_bytes(), whole=kind < 0.7))
        content = torch.load(sound, weights_only=True)
        content["description"] = damaged_data(draw, content["description"])
        torch.save(content, self.folder / name)
        return self.folder / name

    def read(self, path: Path) -> None:
        """Load the model."""
        if path.name.startswith("t"):
            network: Any = load_translator(path).generator
        else:
            network = load_segmenter(path).network
        assert all(torch.isfinite(weight).all() for weight in network.state_dict().values()), (
            "weights that are not finite"
        )


def _damaged_header(draw: random.Random, content: bytes, whole: bool) -> bytes:
    """Damage the header of a safetensors file, or only the description in it, and say its size."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = content[8:end]
    if whole:
        header = damaged_json(draw, header)
    else:
        said = json.loads(header)
        model = json.loads(said["__metadata__"]["utad_monai"])
        model["description"] = damaged_data(draw, model["description"])
        said["__metadata__"]["utad_monai"] = json.dumps(model)
        header = json.dumps(said).encode()
    return len(header).to_bytes(8, "little") + header + content[end:]


class Tables(Target):
    """A cohort's CSV table and the split."""

    name = "table"
    weight = 10
    refusals = (CohortError,)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for case in "ab":
            for modality in ("t1", "t2", "seg"):
                self._write(f"{case}_{modality}.nii.gz", gzip.compress(tiny_nifti(), 1))
        rows = ["case,patient,t1,t2,seg"]
        rows += [f"{c},p{c},{c}_t1.nii.gz,{c}_t2.nii.gz,{c}_seg.nii.gz" for c in "ab"]
        self.cohort = "\n".join(rows).encode()
        self.cases = find_cases(self._write("sound.csv", self.cohort))
        keep_split(self.cases, self.folder, 0.0, 0.5)
        self.split = (self.folder / "split.csv").read_bytes()

    def damage(self, draw: random.Random) -> Path:
        """Damage one of the two."""
        name, content = draw.choice((("cohort.csv", self.cohort), ("split.csv", self.split)))
        return self._write(name, damaged_text(draw, content))

    def read(self, path: Path) -> None:
        """Read it; files of accepted cases lie in the folder."""
        if path.name == "split.csv":
            read_split(path, self.cases)
            return
        for case in look_for_cases(path).cases:
            for file in case.images.values():
                assert file.resolve().is_relative_to(self.folder.resolve()), f"{file} is outside"


class Records(Target):
    """JSON that an earlier run left: sidecars and reports decide what is kept, and nothing in them can raise."""

    name = "record"
    weight = 10
    refusals = ()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        source = SourceImage(Modality.T2, "a_t2.nii.gz", sha256="0" * 64)
        provenance = Provenance(
            "a",
            Modality.T1,
            sources=(source,),
            model_sha256="1" * 64,
            preprocessing=PREPROCESSING.description(),
            training={},
            validation_errors={},
            settings={},
        )
        self.files = SyntheticFiles(self.folder, provenance)
        self.files.image.write_bytes(b"image")
        hashes = {"FileSha256": {self.files.image.name: "2" * 64}}
        self.sidecar = json.dumps(provenance.sidecar({Modality.T2: 1.0}) | hashes).encode()
        report = {"fingerprint": "3" * 64, "outputs": {"a/a_t1.nii.gz": "4" * 64}, "version": "0"}
        self.report = json.dumps(report).encode()
        (self.folder / "preparation" / "a").mkdir(parents=True)

    def damage(self, draw: random.Random) -> Path:
        """Damage one of the two."""
        if draw.random() < 0.5:
            return self._write(self.files.sidecar.name, damaged_json(draw, self.sidecar))
        return self._write("preparation/a/report.json", damaged_json(draw, self.report))

    def read(self, path: Path) -> None:
        """Ask what is finished: nothing is, whatever they say, for no hash can be right."""
        if path.name == "report.json":
            read_report(self.folder, "a")
            assert not is_finished(self.folder, "a", "3" * 64), "a report passes for another's"
        else:
            assert self.files.finished() is None, "a sidecar passes for another's"


class Descriptions(Target):
    """A task's `dataset.json`, which may say other channels or labels."""

    name = "description"
    weight = 5
    refusals = (CohortError,)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.folder / "imagesTr").mkdir()
        self._write("imagesTr/a.nii.gz", gzip.compress(tiny_nifti(volumes=4), 1))
        modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
        labels = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
        self.sound = json.dumps({"modality": modality, "labels": labels}).encode()
        self._write("dataset.json", self.sound)
        assert len(find_cases(self.folder)[0].images) == 4

    def damage(self, draw: random.Random) -> Path:
        """Damage the description."""
        return self._write("dataset.json", damaged_json(draw, self.sound))

    def read(self, path: Path) -> None:
        """Find the cases; a description that is refused makes no case."""
        look_for_cases(path.parent)


class CacheEntries(Target):
    """The index of cached slices: one that cannot be used is made again."""

    name = "cache"
    weight = 5
    refusals = ()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        cases = Cases(self.folder)
        prepare_slices([cases.case], PREPROCESSING, self.folder / "slices", 1, progress=False)
        (self.index,) = (self.folder / "slices").glob("*/case.json")
        self.sound = self.index.read_bytes()

    def damage(self, draw: random.Random) -> Path:
        """Damage the index."""
        return self._write(str(self.index.relative_to(self.folder)), damaged_json(draw, self.sound))

    def read(self, path: Path) -> None:
        """Look whether there is an entry."""
        _read_index(path.parent)


def targets(folder: Path) -> list[Target]:
    """Return all targets with their sound files below a folder."""
    return [kind(folder) for kind in (Images, Cases, Models, Tables, Records, Descriptions, CacheEntries)]
