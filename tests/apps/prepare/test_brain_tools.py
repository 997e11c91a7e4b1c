"""HD-BET and SynthStrip are called as programs; what they do wrong ends the case in plain words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utad_monai.apps.prepare import brain_tools
from utad_monai.apps.prepare.brain_tools import installed_command, strip_skull
from utad_monai.apps.prepare.geometry import array_of
from utad_monai.apps.prepare.settings import BrainMaskMethod, RefusedCaseError
from utad_monai.keys import Modality

MASKING = """
import nibabel, numpy
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nibabel.load(arguments["-i"])
assert b"Secret" not in open(arguments["-i"], "rb").read()
voxels = numpy.asarray(image.dataobj)
ball = sum(((numpy.arange(n) - n / 2) * 4 / 60).reshape([-1 if a == b else 1 for b in range(3)]) ** 2
           for a, n in enumerate(voxels.shape)) < 1
"""
HD_BET = (
    MASKING
    + """
if sys.argv[1::2] not in (["-i", "-o"], ["-i", "-o", "-device"]):
    sys.exit("unknown option")
nibabel.save(nibabel.Nifti1Image(voxels * ball, image.affine), arguments["-o"])
"""
)
SYNTHSTRIP = (
    MASKING
    + """
nibabel.save(nibabel.Nifti1Image(ball.astype("uint8"), image.affine), arguments["-m"])
"""
)
"""Stand-ins that mask a ball of 60 mm around the middle, with the options of the real programs."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give `install(name, code)`, which puts a program on an otherwise empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FREESURFER_HOME", raising=False)

    def write(name: str, code: str) -> Path:
        program = tmp_path / name
        program.write_text(f"#!{sys.executable}\nimport sys\n{code}")
        program.chmod(0o755)
        return program

    return write


def ball_of(head: Any) -> Any:
    shape = head.brain.shape
    axes = np.meshgrid(*[(np.arange(n) - n / 2) * 4 / 60 for n in shape], indexing="ij")
    return sum(axis**2 for axis in axes) < 1


@pytest.mark.parametrize(
    ("method", "name", "code"),
    [
        (BrainMaskMethod.HD_BET, "hd-bet", HD_BET),
        (BrainMaskMethod.SYNTHSTRIP, "mri_synthstrip", SYNTHSTRIP),
        (BrainMaskMethod.SYNTHSTRIP, "nipreps-synthstrip", SYNTHSTRIP),
    ],
)
def test_the_mask_of_the_program_is_used(
    head: Any, install: Any, method: BrainMaskMethod, name: str, code: str
) -> None:
    program = install(name, code)
    assert installed_command(method) == str(program)
    mask = strip_skull(head.images[Modality.T1], method)
    np.testing.assert_array_equal(array_of(mask) > 0, ball_of(head))


def test_the_model_of_freesurfer_is_handed_on(
    head: Any, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "synthstrip.1.pt").write_bytes(b"weights")
    monkeypatch.setenv("FREESURFER_HOME", str(tmp_path))
    install("nipreps-synthstrip", SYNTHSTRIP + '\nassert arguments["--model"].endswith("synthstrip.1.pt")\n')
    assert array_of(strip_skull(head.images[Modality.T1], BrainMaskMethod.SYNTHSTRIP)).any()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('no GPU', file=sys.stderr)\nsys.exit(3)", "failed with exit code 3: no GPU"),
        ("print('out of memory')\nsys.exit(1)", "failed with exit code 1: out of memory"),
        ("sys.exit(9)", "failed with exit code 9: no message"),
        ("", "wrote no usable image"),
        (
            MASKING + "nibabel.save(nibabel.Nifti1Image(voxels[1:], image.affine), arguments['-o'])",
            "wrote an image on another grid",
        ),
    ],
)
def test_a_program_that_fails_ends_the_case_with_its_reason(head: Any, install: Any, code: str, reason: str) -> None:
    install("hd-bet", code)
    with pytest.raises(RefusedCaseError, match=reason):
        strip_skull(head.images[Modality.T1], BrainMaskMethod.HD_BET)


def test_a_program_that_hangs_is_ended(head: Any, install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install("hd-bet", "import time\ntime.sleep(60)")
    monkeypatch.setattr(brain_tools, "_TIMEOUT_S", 0.2)
    with pytest.raises(RefusedCaseError, match="was not done after"):
        strip_skull(head.images[Modality.T1], BrainMaskMethod.HD_BET)


def test_a_program_that_cannot_start_is_reported(head: Any, install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install("hd-bet", "")

    def run(*_: Any, **__: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RefusedCaseError, match="could not be started"):
        strip_skull(head.images[Modality.T1], BrainMaskMethod.HD_BET)


def test_a_missing_program_is_named(head: Any, install: Any) -> None:
    del install
    assert installed_command(BrainMaskMethod.SYNTHSTRIP) is None
    with pytest.raises(RefusedCaseError, match="no mri_synthstrip or nipreps-synthstrip on the PATH"):
        strip_skull(head.images[Modality.T1], BrainMaskMethod.SYNTHSTRIP)
