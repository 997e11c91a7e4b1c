"""What engines share that compute a student outside torch: it is converted once, at the first call."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from utad_monai.networks import StudentTranslator, TumourAwareGenerator, with_target_planes
from utad_monai.packaging.parity import Network


class ConvertedEngine(ABC):
    """Compute a student on the processor with another library than torch.

    Args:
        generator: a student; it is converted at the first call, which takes seconds, and later changes do not count.
        threads: those of torch when None.

    Raises:
        ValueError: for a teacher, which needs masks.
    """

    def __init__(self, generator: TumourAwareGenerator, threads: int | None = None) -> None:
        self.network = StudentTranslator(generator)
        self.threads = threads
        self._converted: Network | None = None

    @abstractmethod
    def convert(self) -> Network:
        """Return the network as a function from `(B, S + 4, H, W)` to `(B, 1, H, W)`; `network` stays as it is."""

    def __call__(self, image: Tensor, second_image: Tensor, target_modality: Tensor) -> Tensor:  # noqa: ARG002
        """Translate `(B, S, H, W)` slices; the second image is not looked at."""
        if self._converted is None:
            self._converted = self.convert()
        return self._converted(with_target_planes(image, target_modality).cpu())
