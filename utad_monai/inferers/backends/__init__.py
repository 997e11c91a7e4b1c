"""What computes a batch of slices: torch, onnxruntime or OpenVINO."""

from utad_monai.inferers.backends.choice import SliceEngine, slice_engine, usable_engine

__all__ = ["SliceEngine", "slice_engine", "usable_engine"]
