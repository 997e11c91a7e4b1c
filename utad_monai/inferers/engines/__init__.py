"""What computes a batch of slices: torch, onnxruntime or OpenVINO."""

from utad_monai.inferers.engines.choice import SliceEngine, slice_engine, usable_engine
from utad_monai.inferers.engines.errors import EngineError

__all__ = ["EngineError", "SliceEngine", "slice_engine", "usable_engine"]
