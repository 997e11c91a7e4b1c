"""MONAI transforms of UTAD-MONAI: NIfTI loading, skull-stripped normalisation, tumour masking and cropping."""

from utad_monai.errors import InvalidImageError
from utad_monai.transforms.drop_modalities import RandDropModalitiesd, present_channels
from utad_monai.transforms.grid import CommonGridd, SameGridd
from utad_monai.transforms.labels import (
    CanonicalLabels,
    CanonicalLabelsd,
    LabelsToTumourRegions,
    LabelsToTumourRegionsd,
    StoredLabels,
    regions_to_labels,
)
from utad_monai.transforms.load import (
    LoadNifti,
    LoadNiftid,
    OrientLPS,
    OrientLPSd,
    ZeroBackground,
    ZeroBackgroundd,
    from_lps,
)
from utad_monai.transforms.nifti import NiftiVolume, read_header, read_nifti
from utad_monai.transforms.normalise import (
    BACKGROUND,
    BRAIN_FLOOR,
    IntensityWindow,
    KeepBackgroundd,
    NormaliseBrain,
    NormaliseBraind,
    brain_window,
)
from utad_monai.transforms.slice_frame import CutSlicesd, FramePlacement, PlaceFramed, SliceFrame
from utad_monai.transforms.tumour_mask import CropTumour, CropTumourd, MaskTumour, MaskTumourd, mask_tumour

__all__ = [
    "BACKGROUND",
    "BRAIN_FLOOR",
    "CanonicalLabels",
    "CanonicalLabelsd",
    "CommonGridd",
    "CropTumour",
    "CropTumourd",
    "CutSlicesd",
    "FramePlacement",
    "IntensityWindow",
    "InvalidImageError",
    "KeepBackgroundd",
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
    "PlaceFramed",
    "RandDropModalitiesd",
    "SameGridd",
    "SliceFrame",
    "StoredLabels",
    "ZeroBackground",
    "ZeroBackgroundd",
    "brain_window",
    "from_lps",
    "mask_tumour",
    "present_channels",
    "read_header",
    "read_nifti",
    "regions_to_labels",
]
