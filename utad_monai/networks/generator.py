"""The tumour-aware generator: teacher and student are the same class with other inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from transforms import BACKGROUND
from utad_monai.keys import Modality, SecondInput, StudentScheme
from utad_monai.networks.blocks import Decoder, Encoder, Fusion
from utad_monai.networks.initialise import kaiming_normal
from utad_monai.networks.translation import Translation

IN_CHANNELS = 1 + len(Modality)
"""Channels of each encoder's input: the image and the one-hot planes of the target modality."""
SIZE_DIVISOR = 16
"""Height and width of an image must be multiples of this (four poolings)."""

_FUSION = (StudentScheme.COMPLETE, StudentScheme.NO_TUMOUR_DECODER)
_TUMOUR_ENCODER = (*_FUSION, StudentScheme.SEPARATE_BRANCHES)
_TUMOUR_DECODER = (StudentScheme.COMPLETE, StudentScheme.NO_TUMOUR_ENCODER, StudentScheme.SEPARATE_BRANCHES)


class TumourAwareGenerator(nn.Module):
    """Two encoders, a fusion block and two decoders (Huang, Wei, Li 2024, Figure 2).

    Args:
        base_channels: feature maps F of the first level (64 in the paper: 106.8 million parameters).
        scheme: which branches exist (Figure 4).
        second_input: what the tumour encoder sees; it travels with the model so that inference cannot mix it up.
        keep_background: whether pixels that are background (-1) in the input stay so in both outputs. The paper lets
            the network paint there: False reproduces it.
        condition_in_brain: whether the one-hot planes of the target are 0 on the background. The paper's planes are
            constant, and InstanceNorm removes most of a constant: the network learns its target from the image border
            alone. False reproduces the paper.
        norm_group: channels of encoders and decoders that share one mean and variance. The paper's InstanceNorm (1)
            takes from each plane what is the same in all of the brain, and with it which contrast to paint: groups keep
            the difference of their planes.

    Raises:
        ValueError: when `base_channels` is less than 1 or no multiple of `norm_group`, or a name is unknown.
    """

    __jit_unused_properties__ = ("needs_mask",)

    def __init__(
        self,
        base_channels: int = 64,
        scheme: StudentScheme | str = StudentScheme.COMPLETE,
        second_input: SecondInput | str = SecondInput.TUMOUR_IMAGE,
        keep_background: bool = True,
        condition_in_brain: bool = False,
        norm_group: int = 1,
    ) -> None:
        super().__init__()
        if base_channels < 1:
            raise ValueError(f"base_channels must be at least 1, got {base_channels}")
        self.base_channels = base_channels
        self.scheme = StudentScheme(scheme)
        self.second_input = SecondInput(second_input)
        self.keep_background = keep_background
        self.condition_in_brain = condition_in_brain
        self.norm_group = norm_group
        self.size_divisor, self.background = SIZE_DIVISOR, BACKGROUND  # TorchScript sees no constant of a module
        self.image_encoder = Encoder(IN_CHANNELS, base_channels, norm_group)
        self.tumour_encoder = (
            Encoder(IN_CHANNELS, base_channels, norm_group) if self.scheme in _TUMOUR_ENCODER else None
        )
        self.fusion = Fusion(16 * base_channels) if self.scheme in _FUSION else None
        self.image_decoder = Decoder(base_channels, norm_group)
        self.tumour_decoder = Decoder(base_channels, norm_group) if self.scheme in _TUMOUR_DECODER else None
        self.apply(kaiming_normal)

    @property
    def needs_mask(self) -> bool:
        """Whether the translated image depends on the tumour image, and so on a mask (a teacher)."""
        return self.fusion is not None and self.second_input is SecondInput.TUMOUR_IMAGE

    def description(self) -> dict[str, int | str | bool]:
        """Return the constructor arguments as plain data, enough to rebuild the network."""
        return {
            "base_channels": self.base_channels,
            "scheme": str(self.scheme),
            "second_input": str(self.second_input),
            "keep_background": self.keep_background,
            "condition_in_brain": self.condition_in_brain,
            "norm_group": self.norm_group,
        }

    def forward(
        self, image: Tensor, second_image: Tensor, target_modality: Tensor, with_tumour_image: bool = True
    ) -> Translation:
        """Translate a batch of slices.

        Args:
            image: `x`, `(B, 1, H, W)` in [-1, 1], background exactly -1; H and W multiples of 16.
            second_image: input of the tumour encoder, same shape (the tumour image, or the image itself).
            target_modality: `(B,)` int64 indices of `Modality`.
            with_tumour_image: whether to run the tumour decoder, whose output inference does not need.

        Returns:
            Whole image, tumour image and fused bottleneck.

        Raises:
            ValueError: when the size is not a multiple of 16.
        """
        height, width = image.shape[-2], image.shape[-1]
        if height % self.size_divisor != 0 or width % self.size_divisor != 0:
            raise ValueError(f"image size must be a multiple of {self.size_divisor}, got ({height}, {width})")
        planes = one_hot_planes(target_modality, image)
        if self.condition_in_brain:
            planes = planes * (image > self.background)
        whole, image_skips = self.image_encoder(torch.cat([image, planes], dim=1))
        bottleneck, tumour_bottleneck, tumour_skips = whole, whole, image_skips
        if self.tumour_encoder is not None:
            tumour_bottleneck, tumour_skips = self.tumour_encoder(torch.cat([second_image, planes], dim=1))
        if self.fusion is not None:
            bottleneck = tumour_bottleneck = self.fusion(whole, tumour_bottleneck)
        translated = self._with_background(self.image_decoder(bottleneck, image_skips), image)
        tumour_image: Tensor | None = None
        if self.tumour_decoder is not None and with_tumour_image:
            tumour_image = self._with_background(self.tumour_decoder(tumour_bottleneck, tumour_skips), image)
        return Translation(translated, tumour_image, bottleneck)

    def _with_background(self, output: Tensor, image: Tensor) -> Tensor:
        if not self.keep_background:
            return output
        return torch.where(image > self.background, output, torch.full_like(output, self.background))


class StudentTranslator(nn.Module):
    """The mask-free student as a network of one tensor, which MONAI's bundle tools can drive.

    Args:
        generator: a generator that needs no mask.

    Raises:
        ValueError: when the generator's tumour encoder needs the tumour image.
    """

    def __init__(self, generator: TumourAwareGenerator) -> None:
        super().__init__()
        if generator.needs_mask:
            raise ValueError("this generator needs tumour masks (a teacher); inference needs a student")
        self.generator = generator

    def forward(self, image_and_target: Tensor) -> Tensor:
        """Translate `(B, 5, H, W)`, image in [-1, 1] then four one-hot planes, to `(B, 1, H, W)` in [-1, 1]."""
        image, planes = image_and_target[:, :1], image_and_target[:, 1:]
        target_modality = planes.mean(dim=(2, 3)).argmax(dim=1)
        translation: Translation = self.generator(image, image, target_modality, with_tumour_image=False)
        return translation.image


def with_target_planes(image: Tensor, target_modality: Tensor) -> Tensor:
    """Stack images `(B, 1, H, W)` and their target planes `(B,)`: the `(B, 5, H, W)` of a `StudentTranslator`."""
    return torch.cat([image, one_hot_planes(target_modality, image)], dim=1)


def one_hot_planes(modality: Tensor, like: Tensor, modalities: int = len(Modality)) -> Tensor:
    """Spread `(B,)` modality indices to constant planes `(B, 4, H, W)` of the image `like` `(B, 1, H, W)`."""
    codes = functional.one_hot(modality, modalities).to(like)
    return codes[:, :, None, None].expand(-1, -1, like.shape[-2], like.shape[-1])


def student_from_teacher(teacher: TumourAwareGenerator, scheme: StudentScheme | str) -> TumourAwareGenerator:
    """Make a student with the teacher's weights and a freshly initialised tumour encoder (section III-C).

    Args:
        teacher: a trained generator of the complete scheme.
        scheme: the student's branches; those it lacks are left out.
    """
    student = TumourAwareGenerator(
        teacher.base_channels,
        scheme,
        SecondInput.WHOLE_IMAGE,
        keep_background=teacher.keep_background,
        condition_in_brain=teacher.condition_in_brain,
        norm_group=teacher.norm_group,
    )
    kept = {
        name: weight
        for name, weight in teacher.state_dict().items()
        if name in student.state_dict() and not name.startswith("tumour_encoder.")
    }
    student.load_state_dict(kept, strict=False)
    return student
