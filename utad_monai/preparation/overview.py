"""What was recognised in a raw cohort, as text, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transforms import InvalidImageError
from utad_monai.preparation.raw_cases import USE_THE_TABLE, RawCase
from utad_monai.preparation.raw_images import RawSource, size_and_spacing


def describe_raw_cases(cases: Sequence[RawCase]) -> Iterator[str]:
    """Yield a line for each image of each case: its role, format, place, voxels and spacing; then what is wrong.

    Only headers are read: damaged voxels are found when the case is prepared.
    """
    for case in cases:
        yield case.case_id
        for role, source in case.sources.items():
            yield f"  {role:<10} {source.format:<9} {source.text}: {_size(source)}"
        for text in case.unused:
            yield f"  not used   {text}"
        if case.unknown:
            yield f"  not recognised: {', '.join(case.unknown)}; {USE_THE_TABLE}"
        for problem in case.problems:
            yield f"  REFUSED    {problem}"


def _size(source: RawSource) -> str:
    try:
        size, spacing = size_and_spacing(source)
    except InvalidImageError as error:
        return f"UNUSABLE, {error.reason}; {error.remedy}"
    return f"{' x '.join(map(str, size))} voxels of {' x '.join(f'{mm:.3g}' for mm in spacing)} mm"
