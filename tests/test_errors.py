"""Expected errors reach the user as one plain line each, others with their traceback."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from utad_monai import errors
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.errors import OutputError, UserError, expected_cause, required_module
from utad_monai.handlers import NonFiniteLossError
from utad_monai.handlers.resume.state import ResumeError
from utad_monai.models import CheckpointError
from utad_monai.models.stages import MissingStageError, Stage
from utad_monai.runtime.console import TRACEBACK_VARIABLE, print_expected_errors_plainly
from utad_monai.runtime.folder_lock import FolderInUseError
from utad_monai.transforms import InvalidImageError

COHORT = CohortError(
    [
        Finding.error("a", Path("a.nii.gz"), "is empty (0 bytes)", "copy it again"),
        Finding.error("b", Path("b.nii.gz"), "is missing", "restore it"),
    ]
)


def raised(action: Callable[[], object]) -> BaseException:
    """Return what an action raises, with its chain."""
    try:
        action()
    except BaseException as error:
        return error
    pytest.fail("nothing was raised")


def wrapped_twice() -> None:
    try:
        try:
            raise CheckpointError("model.pt", "is missing")
        except CheckpointError as error:
            raise RuntimeError("cannot instantiate") from error
    except RuntimeError as error:
        raise ValueError("bundle") from error


def failed_while_handling() -> None:
    try:
        raise COHORT
    except CohortError:
        raise KeyError("unrelated")  # noqa: B904


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Install the hook over one that only takes notes; give the notes."""
    notes: list[BaseException] = []
    monkeypatch.delenv(TRACEBACK_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _traceback: notes.append(error))
    print_expected_errors_plainly()
    return notes  # type: ignore[return-value]


def report(error: BaseException) -> None:
    sys.excepthook(type(error), error, error.__traceback__)


@pytest.mark.parametrize(
    "error",
    [
        CheckpointError("model.pt", "is missing"),
        COHORT,
        InvalidImageError("image.nii.gz", "is empty"),
        MissingStageError(Stage.TEACHER, Path("out/teacher/model.pt")),
        NonFiniteLossError("", "iteration 1: loss became NaN"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_expected_error_is_its_own_cause(error: BaseException) -> None:
    assert expected_cause(error) is error
    assert isinstance(error, UserError)


def test_cause_is_found_through_wrappings_and_contexts() -> None:
    assert isinstance(expected_cause(raised(wrapped_twice)), CheckpointError)
    assert expected_cause(raised(failed_while_handling)) is COHORT


def test_unexpected_errors_have_no_expected_cause() -> None:
    assert expected_cause(ValueError("a")) is None
    assert expected_cause(None) is None


def test_circular_chain_ends() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    assert expected_cause(first) is None


def test_expected_error_is_one_plain_line_per_problem(
    passed_on: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    report(raised(failed_while_handling))
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "error: case a: a.nii.gz: is empty (0 bytes); copy it again",
        "error: case b: b.nii.gz: is missing; restore it",
    ]
    assert shown.out == ""
    assert passed_on == []


def test_wrapped_error_is_shown_without_its_wrapping(
    passed_on: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    report(raised(wrapped_twice))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: model.pt: checkpoint is missing;")
    assert passed_on == []


def test_unexpected_error_keeps_its_traceback(
    passed_on: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    error = ZeroDivisionError("a bug")
    report(error)
    assert passed_on == [error]
    assert capsys.readouterr().err == ""


def test_tracebacks_can_be_asked_for(passed_on: list[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    report(COHORT)
    assert passed_on == [COHORT]


@pytest.mark.parametrize(
    "error",
    [
        CheckpointError("model.pt", "is bad", "train again"),
        CohortError([Finding.error("case", Path("t1.nii.gz"), "is bad", "replace it")]),
        InvalidImageError("t1.nii.gz", "is bad"),
        MissingStageError(Stage.TEACHER, Path("out/teacher/model.pt")),
        OutputError("out", "full", "free space"),
        FolderInUseError("out", "process 1"),
        ResumeError("out/resume", "is bad"),
    ],
)
def test_errors_keep_their_text_and_path_when_they_leave_a_worker_process(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert getattr(copy, "path", None) == getattr(error, "path", None)


def test_missing_library_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError) as found:
        required_module("onnxruntime", "ONNX", "export", "leave ONNX out (--no-onnx)")
    assert str(found.value) == (
        'ONNX: onnxruntime is not installed; pip install "utad-monai[export]", or leave ONNX out (--no-onnx)'
    )


def test_installed_library_is_given() -> None:
    assert required_module("json", "a test", "export", "").loads("1") == 1


def test_errors_are_imported_without_the_rest_of_the_project() -> None:
    program = "import sys, utad_monai.errors; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True).stdout
    loaded = [name for name in printed.split() if name.partition(".")[0] in ("utad_monai", "transforms", "torch")]
    assert "utad_monai.errors" in loaded
    assert "torch" not in loaded
    assert len(loaded) < 10


def test_every_error_class_of_the_project_is_a_user_error_or_says_why_not() -> None:
    own = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)]
    assert all(issubclass(one, UserError) for one in own)
