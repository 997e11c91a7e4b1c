"""A student as a standard MONAI bundle: a folder that MONAI's tools, onnxruntime and this project can use."""
