"""What intensity alone can do: contrast maps and the flat brain, yardsticks and base images of translations."""

from utad_monai.contrast.fitting import (
    YARDSTICK_PROTOCOL,
    FlatBrain,
    TranslationMethod,
    fit_contrast_maps,
    fit_yardsticks,
    not_beaten,
    takes_several,
)
from utad_monai.contrast.maps import ContrastMaps

__all__ = [
    "YARDSTICK_PROTOCOL",
    "ContrastMaps",
    "FlatBrain",
    "TranslationMethod",
    "fit_contrast_maps",
    "fit_yardsticks",
    "not_beaten",
    "takes_several",
]
