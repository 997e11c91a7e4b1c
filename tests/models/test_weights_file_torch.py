"""Torch files are read as data: what could run, hang or fill the memory is refused before torch sees it."""

from __future__ import annotations

import io
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from utad_monai.models import CheckpointError, read_weights_only
from utad_monai.models import weights_file as module


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def repacked(path: Path, compression: int, change: Callable[[str, bytes], bytes] = lambda _, data: data) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, change(name, data))


def test_tensors_and_plain_data_come_back(tmp_path: Path) -> None:
    content = {"weights": OrderedDict(a=torch.rand(3), b=torch.ones(2, dtype=torch.int64)), "n": [1, 2.5, None, "x"]}
    torch.save(content, tmp_path / "model.pt")
    read = read_weights_only(tmp_path / "model.pt")
    assert read["n"] == content["n"]
    assert all(torch.equal(read["weights"][name], value) for name, value in content["weights"].items())


def test_optimisers_and_schedules_come_back(tmp_path: Path) -> None:
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.rand(3))])
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 4])
    torch.save({"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}, tmp_path / "state.pt")
    assert read_weights_only(tmp_path / "state.pt")["schedule"]["last_epoch"] == 0


def test_content_may_be_in_memory() -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    assert torch.equal(read_weights_only("a name", buffer)["a"], torch.ones(2))
    with pytest.raises(CheckpointError, match="a name"):
        read_weights_only("a name", io.BytesIO(b"PK\x03\x04"))


@pytest.mark.parametrize("call", [Calls(bytearray, 10**13), Calls(os.getcwd), Calls(set, [1])])
def test_calls_that_torch_allows_or_not_are_refused_before_torch_sees_them(tmp_path: Path, call: Calls) -> None:
    torch.save({"a": call}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model\.pt.*unsafe.*it calls"):
        read_weights_only(tmp_path / "model.pt")


def test_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(5_000_000)}, path)
    repacked(path, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="too large"):
        read_weights_only(path)


def test_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "model.pt")
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="too large"):
        read_weights_only(tmp_path / "model.pt")


def test_endless_list_of_contents_is_refused(tmp_path: Path) -> None:
    torch.save({"a": "x" * 5_000_000}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="list of contents that is too large"):
        read_weights_only(tmp_path / "model.pt")


def test_tensor_that_claims_more_than_its_file_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(300)}, path)

    def claim(name: str, data: bytes) -> bytes:
        return data.replace(b"M,\x01", b"M\xff\xff") if name.endswith("data.pkl") else data  # 300 becomes 65535

    repacked(path, zipfile.ZIP_STORED, claim)
    with pytest.raises(CheckpointError):
        read_weights_only(path)


def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="is no file"):
        read_weights_only(tmp_path / "model.pt")
