"""MONAI transforms of UTAD-MONAI: NIfTI loading, skull-stripped normalisation, tumour masking and cropping."""

from utad_monai.errors import InvalidImageError
from utad_monai.transforms.labels import (
    CanonicalLabels,
    CanonicalLabelsd,
    LabelsToTumourRegions,
    LabelsToTumourRegionsd,
    StoredLabels,
    regions_to_labels,
)
from utad_monai.transforms.load import LoadNifti, LoadNiftid
from utad_monai.transforms.nifti import NiftiVolume, read_header, read_nifti
from utad_monai.transforms.normalise import (
    BACKGROUND,
    BRAIN_FLOOR,
    IntensityWindow,
    NormaliseBrain,
    NormaliseBraind,
    brain_window,
)
from utad_monai.transforms.orient import OrientLPS, OrientLPSd, from_lps
from utad_monai.transforms.slice_frame import FramePlacement, SliceFrame
from utad_monai.transforms.tumour_mask import CropTumour, CropTumourd, MaskTumour, MaskTumourd, mask_tumour

__all__ = [
    "BACKGROUND",
    "BRAIN_FLOOR",
    "CanonicalLabels",
    "CanonicalLabelsd",
    "CropTumour",
    "CropTumourd",
    "FramePlacement",
    "IntensityWindow",
    "InvalidImageError",
    "LabelsToTumourRegions",
    "LabelsToTumourRegionsd",
    "LoadNifti",
    "LoadNiftid",
    "MaskTumour",
    "MaskTumourd",
    "NiftiVolume",
    "NormaliseBrain",
    "NormaliseBraind",
    "OrientLPS",
    "OrientLPSd",
    "SliceFrame",
    "StoredLabels",
    "brain_window",
    "from_lps",
    "mask_tumour",
    "read_header",
    "read_nifti",
    "regions_to_labels",
]
