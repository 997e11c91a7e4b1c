"""From what the scanner gave to a cohort that the rest of the program can use; it needs the extra `prepare`."""

from utad_monai.errors import required_module

required_module("SimpleITK", "utad-monai prepare", "prepare")
