"""Model files in safetensors: what is written comes back, and damaged or foreign files are refused in one line."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import torch as safetensors

from utad_monai.models import CheckpointError, load_translator
from utad_monai.models import weights_file as module
from utad_monai.models.weights_file import is_safetensors, read_safetensors, write_safetensors

HEADING = {"kind": "translator", "format": 2, "version": "0", "description": {"é": [1, 2.5, None, True, "x"]}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the file of a sound model of three networks."""
    weights = {
        "generator": {"a.weight": torch.rand(3, 2), "a.num_batches_tracked": torch.tensor(2**40 + 7)},
        "critic_0": {"a.weight": torch.rand(2)},
        "network": {"a.weight": torch.rand(4, dtype=torch.float64)},
    }
    write_safetensors(tmp_path / "model.safetensors", HEADING, weights)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_weights_come_back_bit_by_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {
        "generator": {"a": torch.randn(3, 2).to(dtype), "b": torch.ones((), dtype=dtype)},
        "x": {"a": torch.ones(2)},
    }
    write_safetensors(tmp_path / "m", HEADING, weights)
    read = read_safetensors(tmp_path / "m")["weights"]
    assert read.keys() == weights.keys()
    for network, state in weights.items():
        assert read[network].keys() == state.keys()
        assert all(torch.equal(read[network][name], value) for name, value in state.items())
        assert all(read[network][name].dtype is value.dtype for name, value in state.items())


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "m", HEADING, {"generator": {"a": torch.tensor([0.1]).half()}})
    assert torch.equal(
        read_safetensors(tmp_path / "m")["weights"]["generator"]["a"], torch.tensor([0.1]).half().float()
    )


def test_heading_comes_back_and_weights_of_networks_are_told_apart_by_their_names(path: Path) -> None:
    content = read_safetensors(path)
    assert {key: value for key, value in content.items() if key != "weights"} == HEADING
    assert set(safetensors.load(path.read_bytes())) == {
        "a.weight",
        "a.num_batches_tracked",
        "critic_0/a.weight",
        "network/a.weight",
    }


def test_views_and_transposed_weights_are_written_as_they_look(tmp_path: Path) -> None:
    whole = torch.rand(4, 3)
    weights = {"generator": {"a": whole[:2], "b": whole[2:], "c": torch.rand(2, 5).T, "d": torch.rand(1).expand(3)}}
    write_safetensors(tmp_path / "m", HEADING, weights)
    read = read_safetensors(tmp_path / "m")["weights"]["generator"]
    assert all(torch.equal(read[name], value) for name, value in weights["generator"].items())


def test_file_is_known_by_its_name_or_by_its_first_bytes(path: Path, tmp_path: Path) -> None:
    assert is_safetensors(path)
    assert is_safetensors(path.rename(tmp_path / "model.pt"))
    assert is_safetensors(tmp_path / "absent.SAFETENSORS")
    torch.save({"a": torch.zeros(1)}, tmp_path / "torch.pt")
    (tmp_path / "empty").touch()
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("torch.pt", "empty", "folder.safetensors", "pipe", "absent.pt"):
        assert not is_safetensors(tmp_path / name)


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:200],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:8] + b"{" + b"x" * (len(content) - 9),
        lambda content: content.replace(b"F32", b"X32"),
        lambda content: content.replace(b'"F32"', b'"F99"'),
        lambda content: content.replace(b"data_offsets", b"data_offset "),
        lambda content: content.replace(b"[3,2]", b"[3,9]"),
    ],
)
def test_damaged_file_is_refused_in_one_line(
    path: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    content = damage(path.read_bytes())
    assert content != path.read_bytes()
    path.rename(tmp_path / name).write_bytes(content)
    refuses(tmp_path / name, "truncated or corrupt")


def refuses(path: Path, reason: str) -> None:
    with pytest.raises(CheckpointError, match=f"{path}.*{reason}") as refusal:
        load_translator(path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: (2**62).to_bytes(8, "little") + content[8:],
        lambda content: content[:8] + b"x" * (len(content) - 8),
        lambda content: b"PK\x03\x04" + content,
        lambda content: content[:8] + b"[" * (len(content) - 8),
    ],
)
def test_file_that_is_only_called_safetensors_is_refused_in_one_line(
    path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(damage(path.read_bytes()))
    refuses(path, "truncated or corrupt")


def test_header_that_lies_about_its_size_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write((200 * 2**20).to_bytes(8, "little") + b"{")
        file.truncate(2**30)
    refuses(path, "truncated or corrupt")


def test_large_file_is_refused_unread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    refuses(path, "too large")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"utad_monai": "[1]"}, {"utad_monai": "null"}])
def test_file_of_another_program_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.save({"a": torch.zeros(2)}, metadata))
    refuses(path, "no model of this project")


@pytest.mark.parametrize("said", ["{", "[" * 100_000, "9" * 5000, "{}", json.dumps({"weights": 1, "kind": "x"})])
def test_description_that_cannot_be_used_is_refused(tmp_path: Path, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.save({"a": torch.zeros(2)}, {"utad_monai": said}))
    refuses(path, "(truncated or corrupt|no description)")


@pytest.mark.parametrize("header", [[], {"__metadata__": None}, {"__metadata__": {"utad_monai": 7}}, 3, "x"])
def test_header_of_another_form_is_refused(tmp_path: Path, header: Any) -> None:
    path, text = tmp_path / "model.safetensors", json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    refuses(path, "(truncated or corrupt|no description)")


def test_missing_file_and_a_pipe_are_refused(tmp_path: Path) -> None:
    refuses(tmp_path / "none.safetensors", "is missing")
    os.mkfifo(tmp_path / "pipe.safetensors")
    refuses(tmp_path / "pipe.safetensors", "is no file")
