"""Seeded damage to bytes, NIfTI headers, gzip streams, texts and plain data, as disks, networks and people do it."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import nibabel
import numpy as np

MAX_SIZE = 200_000
"""No text gets longer than this by one mutation."""
_NUMBERS = (0, 1, -1, 2, 3, 127, -128, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**62)
_REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 1e-6, 1e6, 3e38, -3e38, float("nan"), float("inf"), float("-inf"))
_TOKENS = (
    "\x00",
    "\ufeff",
    '"',
    "'",
    ",",
    ";",
    "\r",
    "\n",
    "../",
    "/etc/passwd",
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "=1+1",
    "é患😀",
    "\u202e",
    "[" * 20_000,
    '{"a":' * 20_000,
    "x" * MAX_SIZE,
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "../x",
    [],
    {},
    [[]],
    {"a": None},
    [1, "2"],
    *_NUMBERS,
    *_REALS,
    10**400,
)

Mutation = Callable[[random.Random, bytes], bytes]


def damaged_bytes(draw: random.Random, content: bytes) -> bytes:
    """Return bytes with one to three random changes anywhere."""
    for _ in range(draw.randint(1, 3)):
        content = draw.choice(_BYTE_MUTATIONS)(draw, content)
    return content


def damaged_nifti(draw: random.Random, content: bytes) -> bytes:
    """Return an uncompressed NIfTI file, changed, and perhaps compressed, and perhaps changed again."""
    for _ in range(draw.randint(1, 2)):
        content = draw.choice((_extreme_field, _extreme_field, _damaged_header, _swapped_header, damaged_bytes))(
            draw, content
        )
    if draw.random() < 0.5:
        return content
    packed = gzip.compress(content, draw.randint(0, 9), mtime=0)
    return _damaged_gzip(draw, packed) if draw.random() < 0.4 else packed


def damaged_text(draw: random.Random, content: bytes) -> bytes:
    """Return a UTF-8 text with changes that matter to parsers."""
    if draw.random() < 0.3:
        return damaged_bytes(draw, content)
    text = content.decode("utf-8")
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(text) + 1)
        until = draw.choice((place, min(len(text), place + draw.randint(1, 20))))
        text = (text[:place] + draw.choice(_TOKENS) + text[until:])[: 2 * MAX_SIZE]
    lines = text.split("\n")
    if draw.random() < 0.3:
        draw.shuffle(lines)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damaged_json(draw: random.Random, content: bytes) -> bytes:
    """Return a JSON text that is damaged, or sound with another value somewhere."""
    if draw.random() < 0.4:
        return damaged_text(draw, content)
    return json.dumps(damaged_data(draw, json.loads(content))).encode()


def damaged_data(draw: random.Random, data: Any) -> Any:
    """Return plain data in which one or two values are others, gone, or new."""
    data = copy.deepcopy(data)
    for _ in range(draw.randint(1, 2)):
        places = list(_places(data))
        if not places or draw.random() < 0.02:
            return draw.choice(_VALUES)
        holder, key = draw.choice(places)
        if draw.random() < 0.2:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(draw.choice(_VALUES))
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container and key in plain data."""
    pairs = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    for key, value in pairs:
        yield data, key
        yield from _places(value)


def _flip(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8) if changed else 0):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _overwrite(draw: random.Random, content: bytes) -> bytes:
    place, size = draw.randrange(len(content) + 1), draw.randint(1, 64)
    filling = draw.choice((bytes(size), b"\xff" * size, draw.randbytes(size)))
    return content[:place] + filling + content[place + size :]


def _truncate(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _insert(draw: random.Random, content: bytes) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.randbytes(draw.randint(1, 64)) + content[place:]


def _repeat(draw: random.Random, content: bytes) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + content[place : place + draw.randint(1, 512)] * 2 + content[place:]


def _append(draw: random.Random, content: bytes) -> bytes:
    return content + draw.choice((b"\x00" * 512, draw.randbytes(37), content[:1000]))


_BYTE_MUTATIONS: tuple[Mutation, ...] = (_flip, _flip, _overwrite, _truncate, _insert, _repeat, _append)


def _header_of(content: bytes) -> tuple[type[nibabel.Nifti1Header], str, int] | None:
    """Return class, byte order and size of the header, by its first four bytes."""
    for kind, size in ((nibabel.Nifti1Header, 348), (nibabel.Nifti2Header, 540)):
        for order, sign in (("little", "<"), ("big", ">")):
            if len(content) >= size and int.from_bytes(content[:4], order) == size:  # type: ignore[arg-type]
                return kind, sign, size
    return None


def _extreme_field(draw: random.Random, content: bytes) -> bytes:
    """Set one field of the header, or one number of it, to an extreme value."""
    known = _header_of(content)
    if known is None:
        return _flip(draw, content)
    kind, sign, size = known
    header = np.frombuffer(content[:size], kind.template_dtype.newbyteorder(sign)).copy()
    field = header[draw.choice(kind.template_dtype.names)]
    flat = field.reshape(-1)
    place = draw.randrange(flat.size)
    if flat.dtype.kind == "f":
        flat[place] = draw.choice(_REALS)
    elif flat.dtype.kind in "iu":
        limits = np.iinfo(flat.dtype)
        flat[place] = min(max(draw.choice((*_NUMBERS, 4, 5, 8, 16, 64, 128, 1024)), int(limits.min)), int(limits.max))
    else:
        flat[place] = draw.randbytes(flat.dtype.itemsize)
    return header.tobytes() + content[size:]


def _damaged_header(draw: random.Random, content: bytes) -> bytes:
    return _flip(draw, content[:540]) + content[540:]


def _swapped_header(draw: random.Random, content: bytes) -> bytes:
    """Swap the bytes of the header and not those of the voxels, or of the voxels only."""
    known = _header_of(content)
    if known is None:
        return _flip(draw, content)
    kind, sign, size = known
    if draw.random() < 0.3:
        return content[:size] + np.frombuffer(content[size : len(content) // 2 * 2], np.uint16).byteswap().tobytes()
    header = np.frombuffer(content[:size], kind.template_dtype.newbyteorder(sign))
    return header.byteswap().tobytes() + content[size:]


def _damaged_gzip(draw: random.Random, packed: bytes) -> bytes:
    """Change a gzip stream: anywhere, its header, its checksum, or what follows it."""
    kind = draw.randrange(5)
    if kind == 0:
        return packed[:3] + bytes([draw.randrange(256)]) + packed[4:]  # flags: name, comment, extra fields
    if kind == 1:
        return packed[:-8] + draw.randbytes(8)
    if kind == 2:
        return packed + gzip.compress(draw.choice((b"", bytes(1 << 22), packed)), mtime=0)
    return damaged_bytes(draw, packed)


def tiny_nifti(
    version: int = 1,
    sign: str = "<",
    dtype: str = "int16",
    volumes: int = 0,
    slope: float = 1.0,
    extended: bool = False,
) -> bytes:
    """Return a small sound NIfTI file, uncompressed.

    Args:
        version: 1 or 2.
        sign: byte order, `<` or `>`.
        dtype: of the voxels.
        volumes: volumes of a 4-D file; 0 for a 3-D file.
        slope: the header's scl_slope.
        extended: whether a header extension follows.
    """
    shape = (9, 8, 7, volumes) if volumes else (9, 8, 7)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size) for size in shape[:3]], indexing="ij"))
    brain = (grid**2).sum(axis=0) < 0.9
    voxels = np.where(brain, 100 + 50 * grid[0] + 20 * grid[2], 0)
    array = np.stack([voxels + brain * 3 * n for n in range(volumes)], axis=-1) if volumes else voxels
    kind, image = (
        (nibabel.Nifti1Header, nibabel.Nifti1Image) if version == 1 else (nibabel.Nifti2Header, nibabel.Nifti2Image)
    )
    header = kind(endianness=sign)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(sign))
    affine = np.array([[-1.5, 0, 0, 6], [0, -1.5, 0, 5], [0, 0, 3, -9], [0, 0, 0, 1.0]])
    made: Any = image(array.astype(np.dtype(dtype).newbyteorder(sign)), affine, header)
    made.header.set_slope_inter(slope, 0)
    if extended:
        made.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a note"))
    stream = io.BytesIO()
    made.to_stream(stream)
    return stream.getvalue()
