"""Measures that MONAI lacks in this form: region-wise image quality and case-wise Dice."""

from utad_monai.metrics.downstream import DownstreamSegmentation
from utad_monai.metrics.image_quality import image_quality, ssim_map
from utad_monai.metrics.segmentation import region_dice

__all__ = ["DownstreamSegmentation", "image_quality", "region_dice", "ssim_map"]
