"""Critics come as two networks of one architecture with weights of their own."""

from __future__ import annotations

import pytest
import torch

from utad_monai.networks import critic_pair


def test_pair_has_one_architecture_and_different_weights() -> None:
    whole, tumour = critic_pair([32, 48], 2, 4)
    assert whole.description() == tumour.description()
    assert whole.image_size == (32, 48)
    assert not any(
        torch.equal(a, b) for a, b in zip(whole.parameters(), tumour.parameters(), strict=True) if a.dim() > 1
    )


def test_defaults_are_the_papers() -> None:
    with torch.device("meta"):
        whole, _ = critic_pair([128, 128])
    assert (whole.base_channels, whole.layers) == (64, 6)


def test_both_play_the_same_game() -> None:
    assert [critic.game for critic in critic_pair([32, 48], 2, 4, "least_squares")] == ["least_squares"] * 2


def test_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        critic_pair([96, 48])
