"""Run a bundle: what each does first, and the commands that run one."""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow
from monai.bundle import run as monai_run
from monai.utils import set_determinism

from utad_monai.bundle.configs import (
    WrongValueError,
    bundles_dir,
    kind_of,
    literal_path,
    options_of_a_run,
    refers_to_a_key,
    refuse_unknown_overrides,
    refuse_values,
    refuse_wrong_values,
)
from utad_monai.bundle.knobs import PATH
from utad_monai.bundle.next_steps import next_commands, stage_command
from utad_monai.bundle.trust import ConfigFileError, refuse_unsafe_logging, refuse_untrusted, refuse_untrusted_file
from utad_monai.errors import expected_cause, required_module
from utad_monai.models.stages import LOG_FILE, MissingStageError
from utad_monai.runtime import parallel
from utad_monai.runtime.console import begin_log, print_expected_errors_plainly, visible
from utad_monai.runtime.folder_lock import hold_folder
from utad_monai.runtime.workers import keep_freed_memory


def check() -> None:
    """Show expected errors in one line, and refuse misspelt overrides and wrong values, of this process's command line.

    It is a step of its own, before `begin`, whose folder is made of what is checked here.

    Raises:
        UnknownOverrideError: when an override names no key of the config.
        MissingLibraryError: when the run is to be tracked and MLflow is not installed.
        SystemExit: with code 2, when a value is wrong; MONAI would end in code 1.
    """
    print_expected_errors_plainly()
    refuse_unknown_overrides()
    _require_tracking(options_of_a_run())
    try:
        refuse_wrong_values()
    except WrongValueError as error:
        sys.stderr.write(f"error: {visible(str(error))}\n")
        raise SystemExit(error.exit_code) from None


_KNOWN_NOISE = (
    "Detected call of `lr_scheduler.step",  # critics may rest in the first epochs while their schedule goes on
    ".*Argument `always_return_as_numpy` has been deprecated",  # MONAI calls itself so
)
"""Beginnings of warnings of libraries that nobody can act on."""


def _leave_out_noise() -> None:
    for message in _KNOWN_NOISE:
        warnings.filterwarnings("ignore", message)


def begin(folder: str | Path, seed: int | None = None, processes: bool = False) -> None:
    """Check (`check`), keep freed memory, hold the folder, begin its log, and seed every random generator.

    Args:
        folder: what the bundle writes; no other run may write there meanwhile.
        seed: of every random generator of a training, which keeps a `log.txt`; without a seed there is neither.
        processes: whether this is one process of several (torchrun), which find each other first.

    Raises:
        UnknownOverrideError: when an override names no key of the config.
        MissingLibraryError: when the run is to be tracked and MLflow is not installed.
        SystemExit: when a value is wrong.
        FolderInUseError: when another run holds the folder.
    """
    check()
    _leave_out_noise()
    keep_freed_memory()
    if processes:
        parallel.start()
    hold_folder(folder)
    begin_log(Path(folder) / LOG_FILE if seed is not None and parallel.rank() == 0 else None)
    if seed is not None:
        set_determinism(seed=seed)


def run_bundle(*, config_file: Sequence[str | Path], **given: Any) -> None:
    """Run a bundle in this process as `monai.bundle.run` does; every command of the project runs its stages here.

    MONAI warns before any config that it could run code. That is left out where all files are packaged ones.

    Args:
        config_file: a bundle, then overlays.
        given: the other arguments of MONAI's runner, and overrides.
    """
    workflow = open_bundle(config_file, **given)
    workflow.run()
    workflow.finalize()


def open_bundle(config_file: Sequence[str | Path], **given: Any) -> ConfigWorkflow:
    """Return a bundle that has done its first steps (`begin`) and not run yet; the arguments are `run_bundle`'s."""
    with _trusted(config_file):
        workflow: ConfigWorkflow = create_workflow(config_file=[str(file) for file in config_file], **given)
    _leave_out_noise()  # what `begin` left out, the block's end let in again
    return workflow


@contextmanager
def _trusted(files: Sequence[str | Path]) -> Iterator[None]:
    packaged = bundles_dir().resolve()
    with warnings.catch_warnings():
        if all(Path(file).resolve().parent == packaged for file in files):
            warnings.filterwarnings("ignore", "parsing config_file")
        yield


_NO_BUNDLES = ("metadata", "study")
"""Packaged JSON files that are read by something else."""
_TRAINING, _RUN = "training", "run"
_TRACKING = ("tracking", "mlflow")
"""The one argument of MONAI's runner that is passed on: a name of its own; a file would be code."""


def run_configs(
    words: Sequence[str],
    run_id: str = "",
    trusted: bool = False,
    logging_file: str | Path = "",
) -> list[str]:
    """Run a bundle, with overlays and overrides, as `python -m monai.bundle run` does.

    Args:
        words: names of packaged bundles and overlays (`teacher`, `demo`), or config files, of which later ones win;
            then overrides, `--key value` or `--key=value`.
        run_id: what to run; by default `training` where the config has it, else `run`.
        trusted: whether config files, overrides and logging file may hold code.
        logging_file: a logging config; the packaged one by default, never one that lies beside a config.

    Returns:
        The commands that may come next.

    Raises:
        UntrustedConfigError: when something that is not trusted could run code.
        ConfigFileError: when a config or an override cannot be used.
        UnknownOverrideError: when an override names no key.
        MissingLibraryError: when the run is to be tracked and MLflow is not installed.
        WrongValueError: when a knob has a value that it must not have.
    """
    packaged = bundles_dir().resolve()
    first = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    configs, overrides = words[:first], words[first:]
    paths = [str(file) for file in _files(configs, trusted)]
    texts = override_texts(overrides)
    if logging_file and not trusted:
        refuse_unsafe_logging(logging_file)
    refuse_unknown_overrides(["run", "--config_file", json.dumps(paths), *overrides])
    _require_tracking(texts)
    content = ConfigParser.load_config_files(paths)
    given = values_of(ConfigParser(config=content), texts, trusted)
    try:
        run_bundle(
            run_id=run_id or (_TRAINING if _TRAINING in content else _RUN),
            config_file=paths,
            meta_file=str(packaged / "metadata.json"),
            logging_file=str(logging_file or packaged / "logging.conf"),
            **given,
        )
    except Exception as error:  # MONAI wraps what a config raises
        cause = expected_cause(error)
        if isinstance(cause, MissingStageError):
            raise MissingStageError(cause.stage, cause.path, stage_command(cause.stage, configs, texts)) from None
        if cause:
            raise cause from None
        raise
    return [] if run_id else next_commands(configs, texts)


def values_of(config: ConfigParser, texts: Mapping[str, str], trusted: bool = False) -> dict[str, Any]:
    """Return overrides as MONAI takes them.

    Args:
        config: what they override.
        texts: the overrides as they were written, by key.
        trusted: whether they may hold code.

    Raises:
        UntrustedConfigError: when one that is not trusted could run code.
        WrongValueError: when a knob has a value that it must not have.
    """
    given = {key: DefaultParseValue(text) for key, text in texts.items()}
    if not trusted:
        refuse_untrusted(given, "the command line")
    given |= {key: _path(config, text) for key, text in texts.items() if kind_of(config, key) is PATH}
    refuse_values(config, {key: value for key, value in given.items() if key != _TRACKING[0]})
    return given


def _files(configs: Sequence[str], trusted: bool) -> list[Path]:
    """Return the files of packaged names and paths; those that are not packaged may hold code only when trusted."""
    if not configs:
        raise ConfigFileError("", "no config is named before the overrides", "write utad-monai run NAME --key value")
    files = [_file(name) for name in configs]
    for file in files:
        if not trusted and file.resolve().parent != bundles_dir().resolve():
            refuse_untrusted_file(file)
    return files


def _require_tracking(options: Mapping[str, str]) -> None:
    """Say that MLflow is missing before anything is prepared; MONAI would after that, in a page of traceback."""
    if _TRACKING[0] in options:
        required_module("mlflow", "--tracking mlflow", "tracking", "leave --tracking out")


def _file(name: str) -> Path:
    """Return the file of a packaged name, or the file that a path names."""
    path = Path(name)
    if path.suffix or len(path.parts) > 1:
        if not path.is_file():
            raise ConfigFileError(path, "no such config file")
        return path
    known = {file.stem: file for file in sorted(bundles_dir().glob("*.json")) if file.stem not in _NO_BUNDLES}
    if name not in known:
        raise ConfigFileError(name, "no packaged bundle has this name", f"there are {', '.join(known)}")
    return known[name]


def override_texts(arguments: Sequence[str]) -> dict[str, str]:
    """Return overrides by key, as they were written; a bare `--key` is True.

    Raises:
        ConfigFileError: for what is no override of a config.
    """
    given: dict[str, str] = {}
    waiting = list(arguments)
    reserved = set(inspect.signature(monai_run).parameters)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if not name.startswith("--"):
            raise ConfigFileError("", f"{name}: is no override", "write --key value")
        key = name.removeprefix("--")
        if not equals:
            value = waiting.pop(0) if waiting and not waiting[0].startswith("--") else "True"
        if key in reserved and (key, value) != _TRACKING:
            raise ConfigFileError("", f"--{key}: is no key of a config", "see utad-monai run --help")
        given[key] = value
    return given


def _path(config: ConfigParser, text: str) -> str:
    """Return a path as MONAI takes it unchanged; what is meant as code stays code, quotes that a shell left go."""
    read = DefaultParseValue(text)
    if text[:1] in ("'", '"') and isinstance(read, str):
        return literal_path(read)
    return text if text.startswith(("$", "%")) or refers_to_a_key(config, text) else literal_path(text)
