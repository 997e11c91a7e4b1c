"""What intensity alone can do: contrast maps and the flat brain, yardsticks and base images of translations."""

from utad_monai.contrast.fitting import fit_contrast_maps
from utad_monai.contrast.flat_brain import FlatBrain
from utad_monai.contrast.maps import ContrastMaps

__all__ = ["ContrastMaps", "FlatBrain", "fit_contrast_maps"]
