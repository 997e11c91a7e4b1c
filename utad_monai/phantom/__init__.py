"""The randomised phantom: brains, tumours and scans as different as they come, for teaching; no patient is in it."""

from utad_monai.phantom.acquisition import ScanVariation
from utad_monai.phantom.cohort import default_dataset_dir, write_phantom_cohort
from utad_monai.phantom.patient import PatientVariation
from utad_monai.phantom.teaching import TeachingBatches, TeachingBrains, default_brains_dir, reference_histograms

__all__ = [
    "PatientVariation",
    "ScanVariation",
    "TeachingBatches",
    "TeachingBrains",
    "default_brains_dir",
    "default_dataset_dir",
    "reference_histograms",
    "write_phantom_cohort",
]
