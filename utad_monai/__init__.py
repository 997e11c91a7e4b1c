"""UTAD-MONAI: tumour-aware translation between brain MRI modalities, as a MONAI pipeline."""

__version__ = "0.1.0"
