"""Plain words for the names of files: measures with an arrow to what is better, methods, routes."""

from __future__ import annotations

from utad_monai.keys import ImageSource, TumourRegion
from utad_monai.metrics.measures import HIGHER_IS_BETTER

_MEASURES = {
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "psnr": "PSNR (dB)",
    "nmse": "NMSE",
    "mae": "MAE",
    "identity_copy": "likeness to the source",
    "dice": "Dice",
    "hd95": "HD95 (mm)",
    "s_score": "S-score",
    "fid": "FID",
    "kid": "KID",
    "utad128_ssim": "SSIM",
    "brasyn_ssim": "SSIM",
    "brasyn_ssim_inside": "SSIM inside",
    "selfrdb_ssim": "SSIM",
}
_ARROWS = {True: " ↑", False: " ↓", None: ""}
_REGIONS = {"tumour_": "tumour ", "core_": "core ", "enhancing_": "enhancing ", "healthy_": "healthy "}
_METHODS = {
    ImageSource.COPY_SOURCE: "copy of the source",
    ImageSource.ZERO_FILL: "left black",
    ImageSource.FLAT_BRAIN: "flat brain",
    ImageSource.CONTRAST_MAP: "contrast map",
    ImageSource.PAIRED_CONTRAST_MAP: "paired contrast map",
    ImageSource.SYNTHESIZED: "synthetic",
    ImageSource.REAL: "real",
}
_TOLERANT = "+tolerant"


def measure_label(column: str) -> str:
    """Return what a column of measures is called: `tumour_ssim` is `tumour SSIM ↑`, more is better; `↓`, less is."""
    if column in HIGHER_IS_BETTER:
        return _MEASURES.get(column, column.replace("_", " ")) + _ARROWS[HIGHER_IS_BETTER[column]]
    for prefix, words in _REGIONS.items():
        if column.startswith(prefix):
            return words + measure_label(column.removeprefix(prefix))
    for region in TumourRegion:
        if column.endswith(f"_{region}"):
            return f"{region} {measure_label(column.removesuffix(f'_{region}'))}"
    return column.replace("_", " ")


def method_label(name: str) -> str:
    """Return what a method or a route is called; names that a study gives stay."""
    method, tolerant = name.removesuffix(_TOLERANT), name.endswith(_TOLERANT)
    known = {str(key): words for key, words in _METHODS.items()}
    return known.get(method, method) + (", tolerant network" if tolerant else "")
