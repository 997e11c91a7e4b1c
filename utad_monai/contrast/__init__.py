"""What intensity alone can do: contrast maps and the flat brain, yardsticks and base images of translations."""

from utad_monai.contrast.fitting import fit_contrast_maps
from utad_monai.contrast.maps import ContrastMaps
from utad_monai.contrast.yardsticks import (
    YARDSTICK_PROTOCOL,
    FlatBrain,
    TranslationMethod,
    fit_yardsticks,
    not_beaten,
    takes_several,
)

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
