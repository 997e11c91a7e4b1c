"""Limits of a brain's volume in millilitres: each check has its own, for a reason of its own."""

from __future__ import annotations

LARGEST_BRAIN_ML = 2500.0
"""A foreground beyond it is not skull-stripped: no brain is larger, and a head in a usual field of view is."""
TRANSLATED_ML = (500.0, LARGEST_BRAIN_ML)
"""A brain that a model is given: outside lies a part of one, a head with its skull, or another unit of length."""
PREPARED_ML = (700.0, LARGEST_BRAIN_ML)
"""A brain mask of the preparation, made of whole heads: a smaller one has lost brain."""
STRIPPED_ML = (400.0, 2300.0)
"""A raw image that may be skull-stripped already: a part of a brain is, and nothing near the size of a head."""
ROUGH_MASK_ML = 1800.0
"""A rough brain mask is cut deeper until it is no larger: what is larger still hangs on the scalp."""
