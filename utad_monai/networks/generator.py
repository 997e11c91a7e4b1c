"""The tumour-aware generator: teacher and student are the same class with other inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from utad_monai.keys import FOUR_MODALITIES, SecondInput, SourceInput, StudentScheme
from utad_monai.networks.blocks import Decoder, Encoder, Fusion, SkipFusion, kaiming_normal
from utad_monai.networks.conditioning import GainHead, condition_code, condition_codes, present_modalities
from utad_monai.networks.output_maps import OutputMaps
from utad_monai.networks.translation import Translation
from utad_monai.transforms import BACKGROUND

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
        sources: what an image of the input is: one modality, which the network is not told (the paper), or a channel
            for each, of which those that are background throughout are absent.
        conditional_norms: whether target modality and present sources are given as scales and shifts after each norm
            of encoders and decoders, in place of the one-hot planes, which InstanceNorm takes away. The paper's are
            planes (False).
        gain_head: whether the decoders change a mixture of the input images (`GainHead`) instead of painting an image
            as in the paper (False).
        residual_fusion: whether the fused bottleneck is added to that of the whole image (`Fusion`), and the tumour
            encoder's skips to the image's (`SkipFusion`); in the paper it replaces the bottleneck alone (False).
        modalities: number M of modalities that there are; the paper's are four.
        output_maps: whether what the decoders paint goes through `OutputMaps`; the paper has none (False).

    Raises:
        ValueError: when `base_channels` is less than 1 or no multiple of `norm_group`, or a name is unknown.
    """

    __jit_unused_properties__ = ("needs_mask",)

    def __init__(
        self,
        base_channels: int = 64,
        scheme: StudentScheme | str = StudentScheme.COMPLETE,
        *,
        second_input: SecondInput | str = SecondInput.TUMOUR_IMAGE,
        keep_background: bool = True,
        condition_in_brain: bool = False,
        norm_group: int = 1,
        sources: SourceInput | str = SourceInput.ONE,
        conditional_norms: bool = False,
        gain_head: bool = False,
        residual_fusion: bool = False,
        modalities: int = len(FOUR_MODALITIES),
        output_maps: bool = False,
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
        self.sources = SourceInput(sources)
        self.conditional_norms = conditional_norms
        self.gain_head = gain_head
        self.residual_fusion = residual_fusion
        self.modalities = modalities
        self.several = self.sources is SourceInput.SEVERAL
        self.image_channels = modalities if self.several else 1
        self.size_divisor, self.background = SIZE_DIVISOR, BACKGROUND  # TorchScript sees no constant of a module
        codes = condition_codes(modalities) if conditional_norms else 0
        planes = 0 if conditional_norms else modalities
        channels = self.image_channels + int(self.several) + planes
        gain_images = self.image_channels if gain_head else 0
        self.image_encoder = Encoder(channels, base_channels, norm_group=norm_group, codes=codes)
        has_encoder, has_decoder = self.scheme in _TUMOUR_ENCODER, self.scheme in _TUMOUR_DECODER
        self.tumour_encoder = (
            Encoder(channels, base_channels, norm_group=norm_group, codes=codes) if has_encoder else None
        )
        self.fusion = Fusion(16 * base_channels, residual_fusion) if self.scheme in _FUSION else None
        fuses_skips = self.fusion is not None and residual_fusion
        self.skip_fusion = SkipFusion(base_channels) if fuses_skips else None
        self.image_decoder = Decoder(base_channels, norm_group, codes=codes, gain_images=gain_images)
        self.tumour_decoder = (
            Decoder(base_channels, norm_group, codes=codes, gain_images=gain_images) if has_decoder else None
        )
        self.output_maps = OutputMaps(modalities) if output_maps else None
        self.apply(kaiming_normal)
        for module in self.modules():
            if isinstance(module, GainHead):
                module.start_at_base()
            if isinstance(module, SkipFusion):
                module.start_at_nothing()

    @property
    def needs_mask(self) -> bool:
        """Whether the translated image depends on the tumour image, and so on a mask (a teacher)."""
        return self.fusion is not None and self.second_input is SecondInput.TUMOUR_IMAGE

    def description(self) -> dict[str, int | str | bool]:
        """Return the constructor arguments as plain data, enough to rebuild the network."""
        published: dict[str, int | str | bool] = {
            "base_channels": self.base_channels,
            "scheme": str(self.scheme),
            "second_input": str(self.second_input),
            "keep_background": self.keep_background,
            "condition_in_brain": self.condition_in_brain,
            "norm_group": self.norm_group,
        }
        return published | self._switches()

    def _switches(self) -> dict[str, int | str | bool]:
        """Return the switches that earlier versions did not have, where they are not the paper's: older files stay."""
        switches: dict[str, int | str | bool] = {}
        if self.several:
            switches["sources"] = str(self.sources)
        if self.conditional_norms:
            switches["conditional_norms"] = True
        if self.gain_head:
            switches["gain_head"] = True
        if self.residual_fusion:
            switches["residual_fusion"] = True
        if self.modalities != len(FOUR_MODALITIES):
            switches["modalities"] = self.modalities
        if self.output_maps is not None:
            switches["output_maps"] = True
        return switches

    def forward(
        self, image: Tensor, second_image: Tensor, target_modality: Tensor, with_tumour_image: bool = True
    ) -> Translation:
        """Translate a batch of slices.

        Args:
            image: `x`, `(B, 1, H, W)` in [-1, 1], background exactly -1; H and W multiples of 16. Of several sources
                `(B, M, H, W)`, absent ones -1 throughout.
            second_image: input of the tumour encoder, same shape (the tumour image, or the image itself).
            target_modality: `(B,)` int64 channels of the modalities.
            with_tumour_image: whether to run the tumour decoder, whose output inference does not need.

        Returns:
            Whole image, tumour image and fused bottleneck.

        Raises:
            ValueError: when the size is not a multiple of 16, or the channels are not those of `sources`.
        """
        height, width = image.shape[-2], image.shape[-1]
        if height % self.size_divisor != 0 or width % self.size_divisor != 0:
            raise ValueError(f"image size must be a multiple of {self.size_divisor}, got ({height}, {width})")
        if image.shape[1] != self.image_channels:
            raise ValueError(f"this generator takes images of {self.image_channels} channels, got {image.shape[1]}")
        brain = image.amax(dim=1, keepdim=True) > self.background if self.several else image > self.background
        code: Tensor | None = None
        if self.conditional_norms:
            # of one source the network is not told which it is
            present = (
                present_modalities(image, self.background)
                if self.several
                else image.new_zeros(len(image), self.modalities) > 0
            )
            code = condition_code(target_modality, present)
        whole, image_skips = self.image_encoder(self._encoded(image, brain, target_modality), code)
        bottleneck, tumour_bottleneck, tumour_skips = whole, whole, image_skips
        if self.tumour_encoder is not None:
            tumour_bottleneck, tumour_skips = self.tumour_encoder(
                self._encoded(second_image, brain, target_modality), code
            )
        if self.fusion is not None:
            bottleneck = tumour_bottleneck = self.fusion(whole, tumour_bottleneck)
        if self.skip_fusion is not None:
            image_skips = self.skip_fusion(image_skips, tumour_skips)
        painted = self.image_decoder(bottleneck, image_skips, code, image)
        translated = self._finished(painted, brain, target_modality)
        tumour_image: Tensor | None = None
        if self.tumour_decoder is not None and with_tumour_image:
            painted = self.tumour_decoder(tumour_bottleneck, tumour_skips, code, second_image)
            tumour_image = self._finished(painted, brain, target_modality)
        return Translation(translated, tumour_image, bottleneck)

    def _encoded(self, image: Tensor, brain: Tensor, target_modality: Tensor) -> Tensor:
        """Return what an encoder sees: the image, of several sources the brain too, and planes of the target."""
        channels = [image]
        if self.several:
            present = present_modalities(image, self.background)[:, :, None, None]
            channels = [image * present, brain.to(image.dtype)]
        if not self.conditional_norms:
            planes = one_hot_planes(target_modality, image, self.modalities)
            channels.append(planes * brain if self.condition_in_brain else planes)
        return torch.cat(channels, dim=1)

    def _finished(self, painted: Tensor, brain: Tensor, target_modality: Tensor) -> Tensor:
        """Return what a decoder painted, with its background and its intensities."""
        if self.keep_background:
            painted = torch.where(brain, painted, torch.full_like(painted, self.background))
        return painted if self.output_maps is None else self.output_maps(painted, target_modality)


class StudentTranslator(nn.Module):
    """The mask-free student as a network of one tensor, which MONAI's bundle tools can drive.

    Its first `image_channels` channels are images (1, or M of a generator of several sources), then come M planes.

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
        self.image_channels, self.modalities = generator.image_channels, generator.modalities

    def forward(self, image_and_target: Tensor) -> Tensor:
        """Translate `(B, 1 + M, H, W)`, image in [-1, 1] then M one-hot planes, to `(B, 1, H, W)` in [-1, 1].

        A generator of several sources takes M images, `(B, M + M, H, W)`.
        """
        image, planes = image_and_target[:, : self.image_channels], image_and_target[:, self.image_channels :]
        target_modality = planes.mean(dim=(2, 3)).argmax(dim=1)
        translation: Translation = self.generator(image, image, target_modality, with_tumour_image=False)
        return translation.image


def generator_input(generator: TumourAwareGenerator, image: Tensor, modality: Tensor) -> Tensor:
    """Return images as a generator takes them: of several sources each in its channel, the others absent.

    Args:
        generator: who takes them.
        image: `(B, 1, H, W)` in [-1, 1], background exactly -1; images that have all channels are returned as they are.
        modality: `(B,)` int64, the modality of each.

    Returns:
        `(B, M, H, W)` for a generator of several sources, else the image.
    """
    if image.shape[1] == generator.image_channels:
        return image
    places = functional.one_hot(modality, generator.modalities)[:, :, None, None].to(torch.bool)
    return torch.where(places, image, torch.full_like(image, generator.background))


def with_target_planes(image: Tensor, target_modality: Tensor, modalities: int = len(FOUR_MODALITIES)) -> Tensor:
    """Stack images `(B, S, H, W)` and their target planes `(B,)`: the `(B, S + M, H, W)` of a `StudentTranslator`."""
    return torch.cat([image, one_hot_planes(target_modality, image, modalities)], dim=1)


def one_hot_planes(modality: Tensor, like: Tensor, modalities: int = len(FOUR_MODALITIES)) -> Tensor:
    """Spread `(B,)` modality indices to constant planes `(B, M, H, W)` of the image `like` `(B, S, H, W)`."""
    codes = functional.one_hot(modality, modalities).to(like)
    return codes[:, :, None, None].expand(-1, -1, like.shape[-2], like.shape[-1])


def student_from_teacher(
    teacher: TumourAwareGenerator, scheme: StudentScheme | str, warm_tumour_encoder: bool = False
) -> TumourAwareGenerator:
    """Make a student with the teacher's weights and another tumour encoder, which sees whole images.

    Args:
        teacher: a trained generator of the complete scheme.
        scheme: the student's branches; those it lacks are left out.
        warm_tumour_encoder: whether the tumour encoder begins as a copy of the teacher's image encoder, which knows
            whole images, and a residual fusion as nothing; the paper's encoder is freshly initialised (section III-C),
            its fusion the teacher's.
    """
    student = TumourAwareGenerator(
        teacher.base_channels,
        scheme,
        second_input=SecondInput.WHOLE_IMAGE,
        keep_background=teacher.keep_background,
        condition_in_brain=teacher.condition_in_brain,
        norm_group=teacher.norm_group,
        sources=teacher.sources,
        conditional_norms=teacher.conditional_norms,
        gain_head=teacher.gain_head,
        residual_fusion=teacher.residual_fusion,
        modalities=teacher.modalities,
        output_maps=teacher.output_maps is not None,
    )
    kept = {
        name: weight
        for name, weight in teacher.state_dict().items()
        if name in student.state_dict() and not name.startswith("tumour_encoder.")
    }
    if warm_tumour_encoder and student.tumour_encoder is not None:
        encoder = {name: weight for name, weight in kept.items() if name.startswith("image_encoder.")}
        kept |= {name.replace("image_", "tumour_", 1): weight.clone() for name, weight in encoder.items()}
    student.load_state_dict(kept, strict=False)
    if warm_tumour_encoder and student.fusion is not None and student.skip_fusion is not None:
        # what they learned to make of a masked tumour means nothing for whole images
        student.fusion.start_at_nothing()
        student.skip_fusion.start_at_nothing()
    return student
