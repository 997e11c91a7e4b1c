"""Every sample once an epoch, in a new order, shared by the processes that train together."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import islice

import torch
from torch.utils.data import RandomSampler, Sampler

from utad_monai.distributed import from_every_process, rank, world_size


class ShuffledSampler(Sampler[int]):
    """Hand out a data set in random order; of several processes each gets as many, and none the same sample.

    Alone it draws what torch's `RandomSampler` draws. The last samples that cannot be shared evenly wait for another
    epoch.

    Args:
        dataset: the data set that the numbers are for.
    """

    def __init__(self, dataset: Sized) -> None:
        self._samples = len(dataset)

    def __len__(self) -> int:
        """Return the number of samples of one epoch that this process draws."""
        return self._samples // world_size()

    def __iter__(self) -> Iterator[int]:
        """Yield this process's samples of the next epoch."""
        seed = from_every_process(int(torch.empty((), dtype=torch.int64).random_().item()))[0]
        order = RandomSampler(range(self._samples), generator=torch.Generator().manual_seed(seed))
        yield from islice(order, rank(), len(self) * world_size(), world_size())
