"""What must be the same for a training to go on."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn
from torch.optim import Adam
from torch.utils.data import DataLoader

from utad_monai.handlers.resume.state import differences, training_identity


def identity(width: int = 3, learning_rate: float = 0.1, batch_size: int = 2, epochs: int = 1) -> dict[str, object]:
    network = nn.Linear(2, width)
    optimizer = Adam(network.parameters(), learning_rate, betas=(0.5, 0.9))
    loader: DataLoader[torch.Tensor] = DataLoader(list(torch.zeros(8, 2)), batch_size)  # type: ignore[arg-type]
    trainer = SupervisedTrainer("cpu", epochs, loader, network, optimizer, nn.MSELoss())
    return training_identity(trainer, {"network": network, "optimizer": optimizer, "other": object()})


def test_the_same_settings_have_the_same_identity_however_long_the_training() -> None:
    assert identity() == identity(epochs=7)


def test_what_decides_the_weights_is_told() -> None:
    assert differences(identity(), identity()) == []
    assert differences(identity(), identity(learning_rate=0.2)) == ["optimizer learning rate was 0.1, is 0.2"]
    assert differences(identity(), identity(batch_size=4))[0] == "batch_size was 2, is 4"
    (width,) = differences(identity(), identity(width=5))
    assert width.startswith("network (layers) was ")


def test_hyperparameters_are_part_of_it() -> None:
    assert identity()["optimizer betas"] == [0.5, 0.9]


def test_many_differences_are_cut_short() -> None:
    found = differences({str(number): 0 for number in range(9)}, {})
    assert found == [*(f"{number} was 0, is None" for number in range(4)), "and more"]


def test_other_iterables_are_refused() -> None:
    network = nn.Linear(2, 2)
    trainer = SupervisedTrainer("cpu", 1, [torch.zeros(2, 2)], network, Adam(network.parameters()), nn.MSELoss())
    with pytest.raises(TypeError, match="a torch DataLoader is needed, got list"):
        training_identity(trainer, {})
