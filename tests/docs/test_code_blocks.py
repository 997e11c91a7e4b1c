"""Every code block of the documentation is run here, or marked as not run and understood by its program.

The language of a block says how it is checked: `bash` is parsed command by command, `python` compiled, `json` read;
`text` is output and no code. What no test runs stands behind `<!-- not run: REASON -->`, and what cannot be parsed
either behind `<!-- not run, not parsed: REASON -->`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from utad_monai.apps.cli import app
from utad_monai.bundle.configs import bundles_dir, refuse_unknown_overrides, refuse_wrong_values

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "docker/README.md", "utad_monai/models/starter/README.md")
PAGES = [ROOT / name for name in OUTSIDE] + sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run(, not parsed)?: [^>]+ -->\n$")
RUN = {
    "README.md": ("from utad_monai", "utad-monai phantom"),
    "docs/python.md": ("from utad_monai",),
    "docs/getting_started.md": ("utad-monai phantom", "utad-monai complete --t1", "rm cohort"),
}
"""How blocks begin that tests run: those of Python in tests/test_translator.py, the others here."""
INLINE = re.compile(r"(?<!`)`(utad-monai [^`]+)`(?!`)")
PROGRAM = "utad-monai"
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
SHELL = ("rm ", ". ", "python3 -m venv ", "pre-commit install")
"""Beginnings of commands of others that need no check."""


@dataclass(frozen=True)
class Block:
    """A code block: where it stands, its language, its text, and whether it is marked as not run."""

    place: str
    language: str
    text: str
    not_run: bool


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page that are to be checked."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        mark = NOT_RUN.search(text[: found.start()])
        if mark is None or not mark[1]:
            line = text.count("\n", 0, found.start()) + 1
            yield Block(f"{page.relative_to(ROOT)}:{line}", found[2], found[3], mark is not None)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of_language(language: str) -> Any:
    chosen = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


def commands_of(text: str) -> list[list[str]]:
    """Return the commands of a shell text as words, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def check_settings(configs: list[str], overrides: list[str]) -> None:
    arguments = ["run", "--config_file", json.dumps(configs), *overrides]
    refuse_unknown_overrides(arguments)
    refuse_wrong_values(arguments)


def check_program(words: list[str]) -> None:
    """Parse a command of ours without running it.

    Raises:
        Exception: what the command would end with.
    """
    if words[0].startswith("-"):
        assert words[0] in ("--help", "-h", "--version", "--install-completion")
        return
    context = COMMANDS[words[0]].make_context(words[0], list(words[1:]))
    if words[0] == "run":
        given = context.params["configs"]
        first = next((place for place, word in enumerate(given) if word.startswith("--")), len(given))
        check_settings([str(bundles_dir() / f"{name}.json") for name in given[:first]], given[first:])


def check_bundle(words: list[str]) -> None:
    """Check the arguments of `python -m monai.bundle run`: configs that there are, keys and values that they take."""
    place = words.index("--config_file")
    text = words[place + 1]
    configs = re.findall(r"[\w./]+\.json", text)
    assert [name for name in configs if not (ROOT / name).is_file()] == []
    check_settings([str(ROOT / name) for name in configs], [*words[:place], *words[place + 2 :]])


def check_command(words: list[str]) -> None:
    """Check one command of the documentation."""
    line = " ".join(words)
    if words[0] == PROGRAM:
        check_program(words[1:])
    elif "monai.bundle" in words and "run" in words:
        check_bundle(words[words.index("run") + 1 :])
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in words[1:] if "=" not in target), line
    elif line.startswith("python -c "):
        compile(words[2], line, "exec")
    elif line.startswith("python -m benchmarks."):
        assert (ROOT / "benchmarks" / f"{words[2].removeprefix('benchmarks.')}.py").is_file(), line
    elif line.startswith("pip install"):
        check_extras(line)
    else:
        assert line.startswith(SHELL), f"{line}: mark the block with <!-- not run, not parsed: REASON -->"


def check_extras(line: str) -> None:
    """Check that the extras in `pip install ".[a,b]"` are in setup.cfg."""
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    for extra in (name for group in re.findall(r"\[([\w,]+)\]", line) for name in group.split(",")):
        assert re.search(rf"^{extra} =$", setup, re.MULTILINE), line


def test_every_block_says_its_language() -> None:
    assert [block.place for block in BLOCKS if block.language not in ("bash", "python", "json", "text")] == []


def test_every_block_is_run_or_marked() -> None:
    code = [block for block in BLOCKS if block.language in ("bash", "python")]
    run = {block.place for block in code if block.text.startswith(RUN.get(block.place.rpartition(":")[0], ()) or "\0")}
    assert len(run) == sum(map(len, RUN.values()))
    assert [block.place for block in code if block.not_run is (block.place in run)] == []


@of_language("bash")
def test_commands_are_understood(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = commands_of(block.text)
    assert commands
    for words in commands:
        check_command(words)


@of_language("python")
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


@of_language("json")
def test_json_is_sound(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_have_names_and_options_that_there_are(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    wrong = []
    for command in INLINE.findall(text):
        name, *words = command.split()[1:]
        if name.startswith("-") or not name.islower():
            continue
        known = COMMANDS.get(name)
        options = {option for one in known.params for option in (*one.opts, *one.secondary_opts)} if known else set()
        options |= {"--help", "-h"}
        free = known is not None and known.context_settings.get("ignore_unknown_options", False)
        unknown = [
            word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0].rstrip(",;") not in options
        ]
        if known is None or (unknown and not free):
            wrong.append(command)
    assert wrong == []


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("utad-monai complete cohort --output o --pace 3", "No such option: --pace"),
        ("utad-monai finish cohort", "finish"),
        ("utad-monai run teacher --epochs 3", "the config has no such key"),
        ("python -m monai.bundle run training --config_file bundles/teacher.json --max_epochs many", "a whole number"),
        ("make tea", "make tea"),
        ("pip install '.[everything]'", "everything"),
        ("frobnicate", "mark the block"),
    ],
)
def test_a_wrong_command_would_be_found(command: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(Exception, match=re.escape(error)):
        check_command(shlex.split(command))


@pytest.mark.parametrize("page", ["README.md", "docs/getting_started.md"])
def test_the_first_commands_work(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in blocks_of(ROOT / page) if block.language == "bash" and not block.not_run]
    for words in commands_of("".join(block.text for block in blocks).replace("--cases 4", "--cases 3")):
        if words[0] == "rm":
            for path in (path for pattern in words[1:] for path in tmp_path.glob(pattern)):
                path.unlink()
        else:
            result = CliRunner().invoke(app, words[1:])
            assert result.exit_code == 0, (words, result.output, result.exception)
    assert len(list((tmp_path / "completed").rglob("*_t1ce_synthetic.nii.gz"))) >= 1
    assert (tmp_path / "completed" / "manifest.csv").is_file()
    assert (tmp_path / "completed" / "report.html").is_file()


def test_the_readme_is_short_and_has_two_pictures() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(pictures) == 2
    assert all((ROOT / picture).is_file() for picture in pictures)
