"""The generator has the paper's size, branches and outputs; the student is the same network without the mask."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn

from utad_monai.keys import SecondInput, StudentScheme
from utad_monai.networks import (
    StudentTranslator,
    TumourAwareGenerator,
    critic_pair,
    one_hot_planes,
    student_from_teacher,
    with_target_planes,
)
from utad_monai.networks.blocks import InstanceNorm
from utad_monai.networks.conditioning import SATURATION

BRANCHES = {
    StudentScheme.COMPLETE: (True, True, True),
    StudentScheme.GLOBAL_ONLY: (False, False, False),
    StudentScheme.NO_TUMOUR_ENCODER: (False, False, True),
    StudentScheme.NO_TUMOUR_DECODER: (True, True, False),
    StudentScheme.SEPARATE_BRANCHES: (True, False, True),
}
"""For each scheme: has a tumour encoder, a fusion, a tumour decoder."""


class First(nn.Module):
    def forward(self, whole: Tensor, _tumour: Tensor) -> Tensor:
        return whole


class Second(nn.Module):
    def forward(self, _whole: Tensor, tumour: Tensor) -> Tensor:
        return tumour


@pytest.fixture
def image() -> Tensor:
    """Two images whose outer pixels are background."""
    torch.manual_seed(1)
    image = torch.full((2, 1, 32, 48), -1.0)
    image[:, :, 6:26, 8:40] = torch.rand(2, 1, 20, 32) * 1.8 - 0.9
    return image


@pytest.fixture
def target() -> Tensor:
    return torch.tensor([0, 3])


def generator(scheme: StudentScheme = StudentScheme.COMPLETE, **arguments: object) -> TumourAwareGenerator:
    torch.manual_seed(0)
    return TumourAwareGenerator(2, scheme, **arguments)  # type: ignore[arg-type]


def test_paper_size_has_106_8_million_parameters() -> None:
    with torch.device("meta"):
        network = TumourAwareGenerator(64)
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 1) == 106.8


@pytest.mark.parametrize("scheme", StudentScheme)
def test_scheme_has_its_branches_and_no_others(scheme: StudentScheme) -> None:
    network = generator(scheme)
    has_encoder, has_fusion, has_decoder = BRANCHES[scheme]
    assert (network.tumour_encoder is not None) == has_encoder
    assert (network.fusion is not None) == has_fusion
    assert (network.tumour_decoder is not None) == has_decoder
    parts = {name.partition(".")[0] for name in network.state_dict()}
    assert {"image_encoder", "image_decoder"} <= parts
    assert ("tumour_encoder" in parts, "tumour_decoder" in parts) == (has_encoder, has_decoder)


@pytest.mark.parametrize("scheme", StudentScheme)
def test_outputs_have_their_shapes_and_range(scheme: StudentScheme, image: Tensor, target: Tensor) -> None:
    translation = generator(scheme)(image, image, target)
    assert translation.image.shape == image.shape
    assert translation.bottleneck.shape == (2, 32, 2, 3)
    assert translation.image.abs().max().item() <= 1
    if BRANCHES[scheme][2]:
        assert translation.tumour_image is not None
        assert translation.tumour_image.shape == image.shape
        assert translation.tumour_image.abs().max().item() <= 1
    else:
        assert translation.tumour_image is None


def test_outputs_stay_in_range_with_exploded_weights(image: Tensor, target: Tensor) -> None:
    network = generator(keep_background=False)
    with torch.no_grad():
        network.image_decoder.head.weight.mul_(1e4)
        translated = network(image, image, target).image
    assert translated.abs().max().item() <= 1
    assert translated.abs().max().item() > 0.99


def test_background_stays_background_in_both_outputs(image: Tensor, target: Tensor) -> None:
    translation = generator()(image, image, target)
    outside = image == -1
    assert bool((translation.image[outside] == -1).all())
    assert bool((translation.tumour_image[outside] == -1).all())
    assert bool((translation.image[~outside] != -1).any())


def test_background_may_be_painted_when_the_switch_is_off(image: Tensor, target: Tensor) -> None:
    translation = generator(keep_background=False)(image, image, target)
    outside = image == -1
    assert not bool((translation.image[outside] == -1).any())
    assert not bool((translation.tumour_image[outside] == -1).any())


@pytest.mark.parametrize("size", [(32, 40), (40, 32), (33, 32)])
def test_size_that_is_no_multiple_of_16_is_refused(size: tuple[int, int]) -> None:
    image = torch.zeros(1, 1, *size)
    with pytest.raises(ValueError, match=f"multiple of 16.*{size[0]}.*{size[1]}"):
        generator()(image, image, torch.tensor([0]))


def test_fewer_than_one_channel_and_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="base_channels"):
        TumourAwareGenerator(0)
    with pytest.raises(ValueError, match="half"):
        TumourAwareGenerator(2, "half")
    with pytest.raises(ValueError, match="nothing"):
        TumourAwareGenerator(2, second_input="nothing")


def test_target_modality_changes_the_translation(image: Tensor) -> None:
    network = generator()
    first = network(image, image, torch.tensor([0, 0])).image
    other = network(image, image, torch.tensor([1, 1])).image
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("in_brain", [True, False])
def test_target_planes_reach_the_background_only_in_the_papers_way(
    in_brain: bool, image: Tensor, target: Tensor
) -> None:
    network = generator(condition_in_brain=in_brain)
    seen: list[Tensor] = []
    for encoder in (network.image_encoder, network.tumour_encoder):
        assert encoder is not None
        encoder.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    network(image, image, target)
    planes = one_hot_planes(target, image)
    assert len(seen) == 2
    for inputs in seen:
        torch.testing.assert_close(inputs[:, 1:], planes * (image > -1) if in_brain else planes)
        torch.testing.assert_close(inputs[:, :1], image)


def test_image_decoder_reads_the_image_encoders_skips(image: Tensor, target: Tensor) -> None:
    network = generator(keep_background=False)
    network.fusion = First()  # type: ignore[assignment]
    before = network(image, image, target)
    after = network(image, image.flip(-1), target)
    torch.testing.assert_close(after.image, before.image)
    assert not torch.allclose(after.tumour_image, before.tumour_image)


def test_tumour_decoder_reads_the_tumour_encoders_skips(image: Tensor, target: Tensor) -> None:
    network = generator(keep_background=False)
    network.fusion = Second()  # type: ignore[assignment]
    before = network(image, image, target)
    after = network(image.flip(-1), image, target)
    torch.testing.assert_close(after.tumour_image, before.tumour_image)
    assert not torch.allclose(after.image, before.image)


@pytest.mark.parametrize("scheme", [StudentScheme.GLOBAL_ONLY, StudentScheme.NO_TUMOUR_ENCODER])
def test_second_image_does_not_matter_without_a_tumour_encoder(
    scheme: StudentScheme, image: Tensor, target: Tensor
) -> None:
    network = generator(scheme)
    torch.testing.assert_close(network(image, image, target).image, network(image, image * 0, target).image)


def test_tumour_image_reaches_the_whole_image_through_the_fusion(image: Tensor, target: Tensor) -> None:
    network = generator()
    assert not torch.allclose(network(image, image, target).image, network(image, -image, target).image)


@pytest.mark.parametrize("scheme", StudentScheme)
def test_gradient_reaches_every_weight(scheme: StudentScheme, image: Tensor, target: Tensor) -> None:
    network = generator(scheme, keep_background=False)
    translation = network(image, image.flip(-1), target)
    loss = (translation.image * torch.randn_like(image)).sum()
    if translation.tumour_image is not None:
        loss = loss + (translation.tumour_image * torch.randn_like(image)).sum()
    loss.backward()
    idle = [
        name
        for name, weight in network.named_parameters()
        if name.endswith("weight") and (weight.grad is None or float(weight.grad.abs().sum()) == 0)
    ]
    assert idle == []


def test_tumour_decoder_is_not_run_when_it_is_not_wanted(image: Tensor, target: Tensor) -> None:
    network = generator().eval()
    calls: list[int] = []
    assert network.tumour_decoder is not None
    network.tumour_decoder.register_forward_hook(lambda *_: calls.append(1))
    short = network(image, image, target, with_tumour_image=False)
    assert short.tumour_image is None
    assert calls == []
    torch.testing.assert_close(short.image, network(image, image, target).image)
    assert calls == [1]


@pytest.mark.parametrize("scheme", StudentScheme)
def test_description_rebuilds_the_network(scheme: StudentScheme, image: Tensor, target: Tensor) -> None:
    network = generator(scheme, second_input=SecondInput.WHOLE_IMAGE, keep_background=False, condition_in_brain=True)
    network.eval()
    rebuilt = TumourAwareGenerator(**network.description()).eval()  # type: ignore[arg-type]
    rebuilt.load_state_dict(network.state_dict())
    assert rebuilt.description() == network.description()
    torch.testing.assert_close(rebuilt(image, image, target).image, network(image, image, target).image)


def test_description_is_plain_data() -> None:
    values = generator().description().values()
    assert {type(value) for value in values} <= {int, str, bool}


def test_one_hot_planes_are_constant_and_in_modality_order(image: Tensor) -> None:
    planes = one_hot_planes(torch.tensor([2, 0]), image)
    assert planes.shape == (2, 4, 32, 48)
    assert planes[0].amax(dim=(1, 2)).tolist() == planes[0].amin(dim=(1, 2)).tolist() == [0, 0, 1, 0]
    assert planes[1].amax(dim=(1, 2)).tolist() == planes[1].amin(dim=(1, 2)).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("scheme", StudentScheme)
def test_student_has_the_teachers_weights_but_a_fresh_tumour_encoder(scheme: StudentScheme) -> None:
    teacher = generator()
    with torch.no_grad():
        for buffer in teacher.buffers():
            buffer.add_(1)
    student = student_from_teacher(teacher, scheme)
    theirs, ours = teacher.state_dict(), student.state_dict()
    assert set(ours) <= set(theirs)
    for name, weight in ours.items():
        same = torch.equal(weight, theirs[name])
        fresh = name.startswith("tumour_encoder.") and name.endswith("weight")
        assert same != fresh, name
    assert student.scheme is scheme
    assert student.second_input is SecondInput.WHOLE_IMAGE


@pytest.mark.parametrize("switch", ["keep_background", "condition_in_brain"])
@pytest.mark.parametrize("on", [True, False])
def test_student_keeps_the_teachers_switches(switch: str, on: bool) -> None:
    student = student_from_teacher(generator(**{switch: on}), "complete")
    assert student.description()[switch] is on


def test_student_keeps_the_teachers_norm_groups() -> None:
    student = student_from_teacher(generator(norm_group=2), "complete")
    assert student.description()["norm_group"] == 2
    groups = {module.group for module in student.modules() if isinstance(module, InstanceNorm)}
    assert groups == {2}


def test_base_channels_that_do_not_fit_into_norm_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="2 channels cannot be normalised in groups of 4"):
        TumourAwareGenerator(2, norm_group=4)


def test_student_shares_no_memory_with_the_teacher() -> None:
    teacher = generator()
    student = student_from_teacher(teacher, "complete")
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1)
    weight = teacher.image_encoder.centre[0][0].weight
    assert not torch.equal(weight, student.image_encoder.centre[0][0].weight)


@pytest.mark.parametrize("scheme", StudentScheme)
def test_student_translator_of_one_tensor_equals_the_generator(
    scheme: StudentScheme, image: Tensor, target: Tensor
) -> None:
    student = student_from_teacher(generator(), scheme).eval()
    translator = StudentTranslator(student).eval()
    translated = translator(torch.cat([image, one_hot_planes(target, image)], dim=1))
    torch.testing.assert_close(translated, student(image, image, target).image)


def test_student_translator_refuses_a_teacher() -> None:
    with pytest.raises(ValueError, match="teacher"):
        StudentTranslator(generator())


@pytest.mark.parametrize("switches", [(False, False, 1), (True, True, 2)])
@pytest.mark.parametrize("scheme", StudentScheme)
def test_student_compiles_with_torchscript_and_computes_the_same(
    scheme: StudentScheme, switches: tuple[bool, bool, int], image: Tensor, target: Tensor
) -> None:
    student = generator(
        scheme,
        second_input=SecondInput.WHOLE_IMAGE,
        keep_background=switches[0],
        condition_in_brain=switches[1],
        norm_group=switches[2],
    ).eval()
    translator = StudentTranslator(student).eval()
    scripted = torch.jit.script(translator)
    for size in (slice(0, 32), slice(0, 48)):
        stacked = torch.cat([image, one_hot_planes(target, image)], dim=1)[..., size]
        torch.testing.assert_close(scripted(stacked), translator(stacked))


def test_scripted_student_refuses_a_size_that_is_no_multiple_of_16() -> None:
    scripted = torch.jit.script(StudentTranslator(generator(second_input=SecondInput.WHOLE_IMAGE)).eval())
    with pytest.raises(Exception, match="multiple of 16"):
        scripted(torch.zeros(1, 5, 32, 40))


def test_critics_judge_what_the_generator_makes(image: Tensor, target: Tensor) -> None:
    translation = generator()(image, image, target)
    for critic, made in zip(critic_pair((32, 48), 2, 4), (translation.image, translation.tumour_image), strict=True):
        assert critic(made).modality_logits.shape == (2, 4)


def test_separate_branches_do_not_see_each_other(image: Tensor, target: Tensor) -> None:
    network = generator(StudentScheme.SEPARATE_BRANCHES).eval()
    one, other = network(image, image, target), network(image, -image, target)
    torch.testing.assert_close(one.image, other.image)
    assert one.tumour_image is not None
    assert other.tumour_image is not None
    assert not torch.allclose(one.tumour_image, other.tumour_image)
    assert not network.needs_mask


def test_only_a_fused_tumour_image_makes_a_mask_necessary() -> None:
    assert generator().needs_mask
    assert not generator(second_input=SecondInput.WHOLE_IMAGE).needs_mask
    assert not generator(StudentScheme.GLOBAL_ONLY).needs_mask


SWITCHES = {"sources": "several", "conditional_norms": True, "gain_head": True}
"""The switches that depart from the paper."""


@pytest.fixture
def several() -> Tensor:
    """Two samples of four images `(2, 4, 32, 48)`: FLAIR and T2 are there in the first, T1 in the second."""
    torch.manual_seed(2)
    images = torch.full((2, 4, 32, 48), -1.0)
    images[0, [0, 3], 6:26, 8:40] = torch.rand(2, 20, 32) * 1.8 - 0.9
    images[1, 1, 4:22, 8:36] = torch.rand(18, 28) * 1.8 - 0.9
    return images


def learned(network: TumourAwareGenerator) -> TumourAwareGenerator:
    """Return the network with random weights where a fresh one has zeros."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            if not bool(weight.any()):
                weight.normal_(0, 0.3)
    return network


def mean_in_logits(images: Tensor) -> Tensor:
    """Return the mean, in logits, of those of `(S, H, W)` images that show any brain."""
    present = images.flatten(1).amax(dim=1) > -1
    return torch.tanh(torch.atanh(SATURATION * images[present]).mean(dim=0, keepdim=True))


@pytest.mark.parametrize("conditional_norms", [False, True])
@pytest.mark.parametrize("second_input", SecondInput)
@pytest.mark.parametrize("scheme", StudentScheme)
def test_gain_head_starts_at_the_base_image(
    scheme: StudentScheme, second_input: SecondInput, conditional_norms: bool, several: Tensor, target: Tensor
) -> None:
    switches = SWITCHES | {"conditional_norms": conditional_norms}
    network = generator(scheme, second_input=second_input, **switches).eval()
    masked = several.clone()
    masked[..., :12] = -1.0
    second = masked if second_input is SecondInput.TUMOUR_IMAGE else several
    translation = network(several, second, target)
    for place, images in enumerate(several):
        brain = (images > -1).any(dim=0, keepdim=True)
        expected = torch.where(brain, mean_in_logits(images), torch.tensor(-1.0))
        torch.testing.assert_close(translation.image[place], expected)
        if translation.tumour_image is not None:
            expected = torch.where(brain, mean_in_logits(second[place]), torch.tensor(-1.0))
            torch.testing.assert_close(translation.tumour_image[place], expected)
    assert (translation.tumour_image is not None) == BRANCHES[scheme][2]


def test_gain_head_of_one_source_starts_at_the_source(image: Tensor, target: Tensor) -> None:
    translated = generator(gain_head=True)(image, image, target).image
    torch.testing.assert_close(translated, torch.where(image > -1, SATURATION * image, image))


def test_absent_modalities_do_not_matter(several: Tensor, target: Tensor) -> None:
    network = learned(generator(StudentScheme.GLOBAL_ONLY, **SWITCHES)).eval()
    with torch.no_grad():
        network.image_encoder.levels[0][0][0].weight[:, [1, 2]] = 100.0  # of the first sample's absent ones
    changed = copy.deepcopy(network)
    with torch.no_grad():
        changed.image_encoder.levels[0][0][0].weight[:, [1, 2]] = -50.0
    one, other = (net(several[:1], several[:1], target[:1]).image for net in (network, changed))
    assert torch.equal(one, other)


def test_brain_is_what_any_source_shows(target: Tensor) -> None:
    images = torch.full((1, 4, 32, 32), -1.0)
    images[0, 0, 4:20, 4:20] = 0.1
    images[0, 2, 10:28, 10:28] = 0.5
    translated = learned(generator(**SWITCHES)).eval()(images, images, target[:1]).image
    assert torch.equal(translated[0, 0] > -1, (images[0] > -1).any(dim=0))


def test_conditional_norms_let_target_and_subset_decide(several: Tensor) -> None:
    network = learned(generator(StudentScheme.GLOBAL_ONLY, **SWITCHES)).eval()
    images = several[:1].expand(4, -1, -1, -1)
    made = network(images, images, torch.arange(4)).image
    assert all(not torch.allclose(made[i], made[j], atol=1e-2) for i in range(4) for j in range(i))


def test_published_network_describes_itself_as_it_always_did() -> None:
    assert TumourAwareGenerator(2).description() == {
        "base_channels": 2,
        "scheme": "complete",
        "second_input": "tumour_image",
        "keep_background": True,
        "condition_in_brain": False,
        "norm_group": 1,
    }


@pytest.mark.parametrize(
    "switches",
    [{}, {"sources": "several"}, {"conditional_norms": True}, {"gain_head": True}, {"output_maps": True}, SWITCHES],
)
def test_switches_are_described_and_rebuild_the_network(switches: dict[str, object]) -> None:
    network = generator(StudentScheme.GLOBAL_ONLY, **switches)
    described = json.loads(json.dumps(network.description()))
    assert {key: value for key, value in described.items() if key in {*SWITCHES, "output_maps"}} == switches
    rebuilt = TumourAwareGenerator(**described)
    rebuilt.load_state_dict(network.state_dict())
    assert rebuilt.description() == network.description()


def test_student_has_the_switches_and_weights_of_its_teacher() -> None:
    teacher = learned(generator(**SWITCHES))
    student = student_from_teacher(teacher, "global_only")
    assert SWITCHES.items() <= student.description().items()
    assert all(torch.equal(weight, teacher.state_dict()[name]) for name, weight in student.state_dict().items())


@pytest.mark.parametrize("width", [12, 14, 16])
def test_several_sources_cost_at_most_1_3_times_the_parameters(width: int) -> None:
    def parameters(**switches: object) -> int:
        with torch.device("meta"):
            network = TumourAwareGenerator(width, "global_only", **switches)  # type: ignore[arg-type]
        return sum(weight.numel() for weight in network.parameters())

    assert parameters(**SWITCHES) <= 1.3 * parameters()


def test_wrong_number_of_channels_is_refused(image: Tensor, several: Tensor, target: Tensor) -> None:
    with pytest.raises(ValueError, match="takes images of 4 channels, got 1"):
        generator(**SWITCHES)(image, image, target)
    with pytest.raises(ValueError, match="takes images of 1 channels, got 4"):
        generator()(several, several, target)


@pytest.mark.parametrize("scheme", StudentScheme)
@pytest.mark.parametrize(
    "switches", [{"sources": "several"}, {"gain_head": True}, {"conditional_norms": True}, SWITCHES]
)
def test_switched_student_compiles_with_torchscript_and_computes_the_same(
    scheme: StudentScheme, switches: dict[str, object], several: Tensor, target: Tensor
) -> None:
    student = learned(generator(scheme, second_input=SecondInput.WHOLE_IMAGE, **switches))
    translator = StudentTranslator(student.eval()).eval()
    scripted = torch.jit.script(translator)
    images = several if student.several else several.amax(dim=1, keepdim=True)
    stacked = with_target_planes(images, target)
    assert stacked.shape[1] == student.image_channels + 4
    for size in (slice(0, 32), slice(0, 48)):
        torch.testing.assert_close(scripted(stacked[..., size]), translator(stacked[..., size]))
    torch.testing.assert_close(translator(stacked), student(images, images, target).image)


@pytest.mark.parametrize("scheme", [StudentScheme.GLOBAL_ONLY, StudentScheme.COMPLETE])
def test_switched_student_exports_with_free_sizes_and_computes_the_same(
    scheme: StudentScheme, several: Tensor, target: Tensor
) -> None:
    student = learned(generator(scheme, second_input=SecondInput.WHOLE_IMAGE, **SWITCHES)).eval()
    translator = StudentTranslator(student).eval()
    stacked = with_target_planes(several, target)
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    with torch.no_grad():
        program = torch.export.export(translator, (stacked,), dynamic_shapes=(free,)).module()
        other = stacked[:1, :, :, :32]
        torch.testing.assert_close(program(stacked), translator(stacked))
        torch.testing.assert_close(program(other), translator(other))
