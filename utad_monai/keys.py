"""The words that cross file borders: modalities, tumour regions, batch keys and loss terms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum, StrEnum
from functools import cache
from typing import Self


class Modality(StrEnum):
    """An MRI modality: the four that every layout knows, and others by their name (`Modality.named`)."""

    FLAIR = "flair"
    """T2-weighted fluid-attenuated inversion recovery."""
    T1 = "t1"
    """Native T1-weighted."""
    T1CE = "t1ce"
    """T1-weighted after gadolinium contrast."""
    T2 = "t2"
    """T2-weighted."""

    @property
    def channel(self) -> int:
        """Position among the four, 0 to 3; in a cohort of others it is the set's (`ModalitySet.channel`).

        Raises:
            ValueError: when it is none of the four.
        """
        return list(Modality).index(self)

    @classmethod
    def named(cls, name: str) -> Modality:
        """Return the modality of a name: one of the four, or another one, which no layout but a table knows.

        Raises:
            ValueError: when the name cannot be a file name, a table's column and a word of a configuration.
        """
        return cls(name) if name in list(cls) else _other_modality(str(name))

    def __reduce_ex__(self, _: object) -> tuple[object, tuple[str]]:
        """Other modalities are no members: processes hand each other the name."""
        return Modality.named, (self.value,)


_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
_TAKEN = {"seg", "labels", "case", "patient", "brain", "frame", "problems", "warnings", "uncertainty"}
"""Words that mean something else beside the names of modalities: in tables, in files, in the data of a case."""


@cache
def _other_modality(name: str) -> Modality:
    """Return the only object of a modality beyond the four; it is equal to its name, as members are."""
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ValueError(f"{name!r} cannot name a modality: take lower-case letters and digits, such as pd")
    other = str.__new__(Modality, name)
    other._name_, other._value_ = name.upper(), name
    return other


class ModalitySet(tuple[Modality, ...]):
    """The modalities that a cohort, a preprocessing and its models know, in the order of every one-hot code."""

    __slots__ = ()

    def __new__(cls, names: Iterable[str]) -> Self:
        """Make the set of some names.

        Args:
            names: the modalities, each once.

        Raises:
            ValueError: when a name cannot be one or comes twice, or there are fewer than two or more than eight: what
                networks are told doubles with each.
        """
        made = super().__new__(cls, [Modality.named(name) for name in names])
        if len(set(made)) != len(made) or not 2 <= len(made) <= 8:
            raise ValueError(f"modalities are two to eight different names, got {', '.join(made) or 'none'}")
        return made

    def channel(self, modality: str) -> int:
        """Return the position of a modality in the one-hot code.

        Raises:
            ValueError: when it is not among the modalities.
        """
        return self.index(self.named(modality))

    def named(self, name: str) -> Modality:
        """Return the modality of a name.

        Raises:
            ValueError: when it is not among the modalities.
        """
        if name not in self:
            raise ValueError(f"{str(name)!r} is not a valid Modality: known are {', '.join(self)}")
        return Modality.named(name)

    def description(self) -> list[str]:
        """Return the names as plain data."""
        return [modality.value for modality in self]


FOUR_MODALITIES = ModalitySet(Modality)
"""What BraTS cohorts have: the default everywhere, and what the starter knows."""


class TumourRegion(StrEnum):
    """A nested region of the BraTS challenge, the channel order of every segmentation here."""

    WT = "WT"
    """Whole tumour: every tumour label."""
    TC = "TC"
    """Tumour core: necrotic or non-enhancing, and enhancing."""
    ET = "ET"
    """Enhancing tumour."""


class TumourLabel(IntEnum):
    """The canonical label values inside this project, whatever the layout stores on disk.

    What stored values mean is a label set (`data/layouts/label_sets.py`); a resection cavity is background here.
    """

    BACKGROUND = 0
    NECROTIC = 1
    OEDEMA = 2
    ENHANCING = 3


class BatchKey(StrEnum):
    """Keys of the dictionaries that data sets yield."""

    IMAGE = "image"
    """`(B, 1, H, W)`, [-1, 1], background exactly -1."""
    SOURCE_MODALITY = "source_modality"
    """`(B,)` int64, index of the image's modality."""
    TARGET_MODALITY = "target_modality"
    """`(B,)` int64, index of the modality to translate to."""
    TUMOUR_MASK = "tumour_mask"
    """`(B, 1, H, W)`, whole tumour, 0 or 1."""
    TUMOUR_LABELS = "tumour_labels"
    """`(B, 1, H, W)` int64, values of `TumourLabel`."""
    TUMOUR_IMAGE = "tumour_image"
    """`(B, 1, H, W)`, [-1, 1]: the image inside the tumour's mask, -1 elsewhere."""
    BRAIN = "brain"
    """`(B, 1, H, W)` bool, where the image shows brain."""
    TARGET_IMAGE = "target_image"
    """`(B, 1, H, W)`, [-1, 1]: the true target, where a method is taught by pairs."""
    PAIRED = "paired"
    """`(B,)` bool, whether `TARGET_IMAGE` holds the true target of a sample; where it does not, that says nothing."""
    LABEL = "label"
    """`(B, 3, H, W)`, tumour regions in the order of `TumourRegion`, 0 or 1."""
    CASE_ID = "case_id"
    """List of case names."""
    SLICE_INDEX = "slice_index"
    """`(B,)` int64, axial index in the prepared volume."""
    MIRRORED = "mirrored"
    """`(B,)` bool, whether the slice was mirrored left-right."""
    BETWEEN = "between"
    """`(B, 2)`, [0, 1): where between fake and real each critic's gradient penalty is measured."""
    SPACING_MM = "spacing_mm"
    """Distance of voxels of a whole case along Z, H and W, in mm."""


class LossTerm(StrEnum):
    """Names of the terms of both players' losses, as they appear in outputs, logs and weights."""

    CRITIC_REAL = "critic/real"
    CRITIC_FAKE = "critic/fake"
    CRITIC_MODALITY = "critic/modality"
    CRITIC_GRADIENT_PENALTY = "critic/gradient_penalty"
    ADVERSARIAL = "generator/adversarial"
    MODALITY = "generator/modality"
    CYCLE = "generator/cycle"
    LOCAL = "generator/local"
    IDENTITY = "generator/identity"
    TUMOUR_GUIDANCE = "generator/tumour_guidance"
    IMAGE_DISTILLATION = "generator/image_distillation"
    FEATURE_DISTILLATION = "generator/feature_distillation"
    TUMOUR_DISTILLATION = "generator/tumour_distillation"
    STRUCTURE_DISTILLATION = "generator/structure_distillation"
    ANCHOR = "generator/anchor"
    ANCHOR_TUMOUR = "generator/anchor_tumour"
    ANCHOR_STRUCTURE = "generator/anchor_structure"
    PAIRED = "generator/paired"
    PAIRED_TUMOUR = "generator/paired_tumour"
    PAIRED_STRUCTURE = "generator/paired_structure"
    PAIRED_LOCAL = "generator/paired_local"


class OutputKey(StrEnum):
    """Keys of the dictionary that a training iteration returns."""

    LOSS = "loss"
    """The generator's weighted total (the last one, on iterations that only train the critics)."""
    CRITIC_LOSS = "critic_loss"
    """The critics' weighted total."""


class AdversarialGame(StrEnum):
    """What the critics play against the generator; a critic knows the game it is made for."""

    WASSERSTEIN = "wasserstein"
    """The paper's: realness is unbounded and one for all modalities, a penalty holds the critic's gradient at 1."""
    LEAST_SQUARES = "least_squares"
    """Realness is 1 for real and 0 for fake, each modality has its own, and the critic's layers are normalised."""
    HINGE = "hinge"
    """Realness is above 1 for real and below -1 for fake; what is clear costs nothing; else as least squares."""

    @property
    def realness_per_modality(self) -> bool:
        """Whether a critic judges an image as one of its modality; its layers are normalised then."""
        return self is not AdversarialGame.WASSERSTEIN


class Split(StrEnum):
    """A part of the cohort; a patient is in exactly one."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class ValidationMetric(StrEnum):
    """What chooses the best checkpoint; greater is better for each."""

    UNPAIRED = "unpaired_score"
    """`-(cycle error + appearance distance)`: needs no patient with two modalities."""
    SSIM = "paired_ssim"
    """SSIM in the brain against the patient's real target, as published: looks at paired validation images."""


class ResumePolicy(StrEnum):
    """What a training does with the state that an earlier run of it left."""

    AUTO = "auto"
    """Go on from it; begin where there is none."""
    NEVER = "never"
    """Remove it and begin anew."""


class AutocastType(StrEnum):
    """In which numbers networks compute while they train."""

    NONE = ""
    """float32 throughout."""
    BFLOAT16 = "bfloat16"
    """Convolutions in bfloat16."""
    FLOAT16 = "float16"
    """Convolutions in float16, with a scaled loss."""


SYNTHETIC_MARK = "SYNTHETIC"
"""The word that begins the header text of every image that is made here."""


class Pairs(StrEnum):
    """Whether a training on a cohort looks at a patient's true target."""

    NEVER = "never"
    """No: every sample is one image (the paper's setting)."""
    AUTO = "auto"
    """Where a patient has the target: translations are held at it, and start from all sets of the patient's images."""


class TrainPreset(StrEnum):
    """Which sizes the trainings of a cohort have."""

    AUTO = "auto"
    """What fits the machine."""
    DEMO = "demo"
    """Slices of 96x80 pixels of 2.5 mm: for processors."""
    FULL = "full"
    """Slices of 192x160 pixels of 1.25 mm: for a GPU."""


class OnBadCase(StrEnum):
    """What happens when cases of a cohort cannot be used."""

    REFUSE = "refuse"
    """Every problem of the cohort is listed, and nothing is done."""
    SKIP = "skip"
    """The sound cases are used; what was left out is said, and written into a table."""


class StudentScheme(StrEnum):
    """Which branches a generator has (Huang, Wei, Li 2024, Figure 4)."""

    COMPLETE = "complete"
    """a) global and local branch."""
    GLOBAL_ONLY = "global_only"
    """b) one encoder, one decoder, no fusion; without distillation a StarGAN with a U-Net generator."""
    NO_TUMOUR_ENCODER = "no_tumour_encoder"
    """c) one encoder feeds both decoders."""
    NO_TUMOUR_DECODER = "no_tumour_decoder"
    """d) both encoders feed the image decoder alone."""
    SEPARATE_BRANCHES = "separate_branches"
    """Not of the paper: both branches without fusion, tied by the loss alone, like TarGAN (Chen et al. 2021)."""


class SecondInput(StrEnum):
    """What the tumour encoder is given."""

    TUMOUR_IMAGE = "tumour_image"
    """The tumour image `x (.) M`: the teacher, which needs a mask."""
    WHOLE_IMAGE = "whole_image"
    """The image itself: the student, which needs none."""


class SourceInput(StrEnum):
    """What a translation starts from."""

    ONE = "one"
    """One image, of a modality that the network is not told: the paper's."""
    SEVERAL = "several"
    """Any one to three of the four modalities; the network knows which."""


class ImageSource(StrEnum):
    """Who made an image that is measured."""

    REAL = "real"
    STUDENT = "student"
    TEACHER = "teacher"
    STARTER = "starter"
    """The starter weights, which a phantom taught."""
    SYNTHESIZED = "synthesized"
    COPY_SOURCE = "copy_source"
    ZERO_FILL = "zero_fill"
    FLAT_BRAIN = "flat_brain"
    """Brain pixels carry the mean of the training images of the modality; `mean_fill` in files of earlier versions."""
    CONTRAST_MAP = "contrast_map"
    """Every intensity is mapped to another, fitted without pairs."""
    PAIRED_CONTRAST_MAP = "paired_contrast_map"
    """The same, fitted on pairs."""
    REAL_AND_SYNTHETIC = "real_and_synthetic"
    """A training on real images and on translations."""


class EvaluationProtocol(StrEnum):
    """By whose rules translations are measured (`utad_monai.metrics.protocols` has them in words)."""

    OURS = "ours"
    """Brain and tumour pixels alone, on the model's slices."""
    UTAD128 = "utad128"
    """Whole slices of 128 x 128 pixels, as UTAD-Net's paper."""
    BRASYN = "brasyn"
    """Masked volumes, as the BraSyn challenge."""
    SELFRDB = "selfrdb"
    """Whole slices over their means, as SelfRDB's code."""


class FusionMethod(StrEnum):
    """How translations of several source modalities become one image."""

    BEST = "best"
    """The one source that did best on the validation split."""
    MEAN = "mean"
    WEIGHTED = "weighted"
    """Mean with weights that fall with the error on the validation split."""
    MEDIAN = "median"


class IntensityRange(StrEnum):
    """The intensities that a synthetic volume is given."""

    TRAINING = "training"
    """The median brain window of the target modality in the cohort that the model was trained on."""
    COHORT = "cohort"
    """The median brain window of the target modality in the cohort that is completed."""
    UNIT = "unit"
    """The normalised brain window as [0, 1]."""


class Normalisation(StrEnum):
    """How the intensities of a volume become those that a network sees."""

    BRAIN_PERCENTILES = "brain_percentiles"
    """The percentile window of the whole volume's brain maps to [-1, 1]; background is exactly -1."""


class SlicePlane(StrEnum):
    """How a volume is sliced for a two-dimensional network."""

    AXIAL = "axial"


class InferenceEngine(StrEnum):
    """What computes translations."""

    AUTO = "auto"
    """OpenVINO on a processor where it is installed, else torch."""
    TORCH = "torch"
    ONNX = "onnx"
    """onnxruntime, on the processor."""
    OPENVINO = "openvino"
    """On the processor."""


class VoxelType(StrEnum):
    """How a synthetic volume is stored."""

    INT16 = "int16"
    FLOAT32 = "float32"


class CompletionStatus(StrEnum):
    """What became of a case, or of a modality that it lacked."""

    DONE = "done"
    SKIPPED = "skipped"
    """Nothing was missing."""
    REFUSED = "refused"


class TreeLayout(StrEnum):
    """A layout in which a completed cohort is handed on."""

    BRATS2020 = "brats2020"
    """`<case>/<case>_{flair,t1,t1ce,t2,seg}.nii.gz`, enhancing tumour 4."""
    BRATS2023 = "brats2023"
    """`<case>/<case>-{t2f,t1n,t1c,t2w,seg}.nii.gz`, enhancing tumour 3."""
    BRASYN = "brasyn"
    """As `brats2023`, cases called `BraTS-GLI-00001-000`: for BraSyn and tools that take no other names."""
    NNUNET = "nnunet"
    """nnU-Net v2: `Dataset501_CompletedCohort/imagesTr/<case>_0000.nii.gz` and so on."""
    MSD = "msd"
    """Medical Segmentation Decathlon, Task01: 4-D images."""


class Placing(StrEnum):
    """How files that need no change get into a tree."""

    LINK = "link"
    """As symbolic links: no space, and they break when the originals move."""
    COPY = "copy"
