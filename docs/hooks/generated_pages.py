"""MkDocs hook: pages that are generated from the code: every command, every setting of the bundles, the notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click
from typer.main import get_command

from utad_monai.apps.cli import app
from utad_monai.bundle.knobs import KNOBS

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = "_desc_"
STAGES = ("teacher", "student", "segmentation", "inference", "evaluate", "teach")
OVERLAYS = ("demo", "small", "published", "paired", "multi_gpu", "gap_tolerant", "augmentation")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"reference/commands.md": commands_page(), "reference/settings.md": settings_page()}
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{notebook.stem}.md"] = notebook_page(notebook)
        files.remove(files.src_uris[f"notebooks/{notebook.name}"])
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def commands_page() -> str:
    """Return every command with its arguments, options and examples."""
    command = get_command(app)
    for one in command.commands.values():  # type: ignore[attr-defined]
        title, *examples = str(one.epilog).split("\n\n")
        one.epilog = "\n".join((f"**{title.removesuffix(':')}**:\n", "```bash", *examples, "```"))
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="utad-monai", title="Commands")
    return text.replace("* `--help`: Show this message and exit.", "* `-h, --help`: Show this message and exit.")


def settings_page() -> str:
    """Return every setting of the packaged bundles, with its default, what it may be, and what its group means."""
    parts = [
        "# Settings of the bundles",
        "Generated from the packaged configs. Give a setting after the configs: "
        "`utad-monai run teacher demo --max_epochs 4`, or with `python -m monai.bundle run`. Everything else in a "
        "config can be changed in the same way, by its path, such as `--train::dataloader::num_workers 2`.",
        "Each line has a setting, its default and what it may be.",
        "## Stages",
        *(part for name in STAGES for part in stage_section(name)),
        "## Overlays",
        "An overlay follows a stage and changes some of its settings: `utad-monai run teacher demo`.",
        *(part for name in OVERLAYS for part in overlay_section(name)),
    ]
    return "\n\n".join(parts) + "\n"


def stage_section(name: str) -> Iterator[str]:
    """Yield what a stage is, and its settings in the order and groups of its description."""
    content = content_of(name)
    groups = content[DESCRIPTION] if isinstance(content[DESCRIPTION], dict) else {"": content[DESCRIPTION]}
    described = {key for names in groups for key in names.split(", ")}
    others = {key: "" for key in content if key in KNOBS and key not in described}
    yield f"### {name}"
    yield str(groups[""])
    for names, meaning in {**groups, **others}.items():
        keys = [key for key in names.split(", ") if key in KNOBS]
        if meaning and keys:
            yield f"**{', '.join(keys)}**: {meaning}"
        if keys:
            yield "\n".join(f"- `{key}` = {shown(content[key])}: {KNOBS[key].expected}" for key in keys)


def overlay_section(name: str) -> Iterator[str]:
    """Yield what an overlay is, and what it changes."""
    content = content_of(name)
    description = content.pop(DESCRIPTION)
    changes = [f"- `{key}`: {shown(value)}" for key, value in content.items()]
    yield f"### {name}"
    yield description if isinstance(description, str) else description[""]
    yield "\n".join(changes)


def shown(value: Any) -> str:
    """Return a value as it stands in a config; what is computed is said so."""
    if isinstance(value, dict) and "_target_" in value:
        return f"by `{value['_target_'].removeprefix('utad_monai.')}`"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def content_of(name: str) -> dict[str, Any]:
    """Read a packaged config."""
    content: dict[str, Any] = json.loads((ROOT / "bundles" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def notebook_page(path: Path) -> str:
    """Return a notebook as a page: its text, and its code as blocks."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in texts]
    return "\n\n".join(parts) + "\n"
