from __future__ import annotations

import torch

from benchmarks.metrics import Ledger
from utad_monai.metrics import measures


def test_the_same_input_twice_is_noticed_and_another_one_is_not() -> None:
    ledger, mask = Ledger(), torch.ones(1, 16, 16)
    with ledger.watching():
        measures.image_quality(torch.zeros(1, 16, 16), torch.zeros(1, 16, 16), mask)
        measures.image_quality(torch.zeros(1, 16, 16), torch.ones(1, 16, 16), mask)
        assert ledger.computed_twice == 0
        measures.image_quality(torch.zeros(1, 16, 16), torch.ones(1, 16, 16), mask)
    assert ledger.computed_twice == 1
    assert ledger.seconds["image_quality"] > 0
