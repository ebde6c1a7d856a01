"""A hook of mkdocs: a site of the Markdown files that also read well without it.

The README is the first page. A link that leads out of docs/ leads to a copy of the file on the site; a link
to a folder becomes plain text.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)#:]+)(#[^)]*)?\)")
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")  # beside the README
# What the reference shows, by its headings.
REFERENCE = {
    "Studies": [
        "jaxrl.run.train.train",
        "jaxrl.run.train.resume",
        "jaxrl.run.work.plan",
        "jaxrl.run.work.work",
        "jaxrl.config.grid",
        "jaxrl.presets.preset",
        "jaxrl.store.settings_file",
        "jaxrl.store.results",
        "jaxrl.store.policy.Policy",
        "jaxrl.run.reproduce",
    ],
    "Comparison and report": [
        "jaxrl.analysis.compare",
        "jaxrl.analysis.select",
        "jaxrl.analysis.export",
        "jaxrl.report.write_report",
        "jaxrl.statistics",
    ],
    "Environments": ["jaxrl.mdp.environment", "jaxrl.mdp.finite", "jaxrl.mdp.spaces", "jaxrl.mdp.wrapper"],
    "Algorithms": ["jaxrl.learning.algorithm", "jaxrl.learning.check", "jaxrl.config.Config", "jaxrl.fields"],
}


def on_files(files: Files, config: Any) -> Files:
    """Adds the README, the reference, and all files that pages link to outside of docs/."""
    reference = "".join(
        f"## {heading}\n\n" + "".join(f"::: {name}\n\n" for name in names)
        for heading, names in REFERENCE.items()
    )
    files.append(File.generated(config, "api.md", content=f"# Reference\n\n{reference}"))
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text()))
    for name in PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    texts = [page.content_string for page in files.documentation_pages()]
    for path in {place(link[2]) for text in texts for link in LINK.finditer(text)}:
        if (ROOT / path).is_file() and not files.get_file_from_path(path):
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with the links of the site."""

    def linked(link: re.Match[str]) -> str:
        path = place(link[2])
        if any((folder / path).is_dir() for folder in (ROOT, ROOT / "docs")):
            return link[1].strip("[]")
        return f"{link[1]}({path}{link[3] or ''})"

    return LINK.sub(linked, markdown)


def place(link: str) -> str:
    """Where the site has what a page links to: pages in the root, files at their paths."""
    return link.removeprefix("../").removeprefix("docs/")
