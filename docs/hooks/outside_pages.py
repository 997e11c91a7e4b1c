"""MkDocs hook: pages that lie outside `docs/` belong to the site, and links to them lead to their page.

Links are written for a reader of the repository (`../SECURITY.md`). Here each is resolved from where its page lies in
the repository, and written anew for the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs/"
OUTSIDE = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "docker/README.md": "containers.md",
    "utad_monai/models/starter/README.md": "starter_model_card.md",
}
"""File in the repository, and its page."""
PLACES = {page: place for place, page in OUTSIDE.items()}
LINK = re.compile(r"\[([^\[\]]*)\]\((?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")
NOTEBOOK, NOTEBOOK_PAGE = ".ipynb", ".md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside."""
    for place, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / place).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Write the links of a page for the site."""
    return links_of_site(markdown, page.file.src_uri)


def links_of_site(markdown: str, page: str) -> str:
    """Write links for the site.

    Args:
        markdown: a page's text.
        page: its path in the site's sources.

    Returns:
        The text with links from page to page; files of the repository that have no page are named, not linked.
    """
    place = PLACES.get(page, DOCS + page)

    def new(link: re.Match[str]) -> str:
        text, target, anchor = link[1], posixpath.normpath(posixpath.join(posixpath.dirname(place), link[2])), link[3]
        if target in OUTSIDE:
            target = OUTSIDE[target]
        elif target.startswith(DOCS) and not (ROOT / target).is_dir():
            target = target.removeprefix(DOCS)
        else:
            return text if (ROOT / target).exists() else link[0]
        if target.endswith(NOTEBOOK):
            target = target.removesuffix(NOTEBOOK) + NOTEBOOK_PAGE
        return f"[{text}]({posixpath.relpath(target, posixpath.dirname(page) or '.')}{anchor or ''})"

    return LINK.sub(new, markdown)
