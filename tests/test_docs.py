"""The README and the other pages: their Python runs, their commands parse, their links and paths exist."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.command import BENCHMARKS
from jaxrl import registry
from jaxrl.cli.arguments import evaluations, grids, named
from jaxrl.cli.commands import COMMANDS, main
from jaxrl.cli.usage import parse

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
# What makes the examples' studies small.
SMALLER = {"seeds=128": "seeds=2", "seeds=64": "seeds=4", "steps=100_000": "steps=1_024"}


def name(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [text for tag, text in found if tag == language]


every_page = pytest.mark.parametrize("page", PAGES, ids=name)


@pytest.fixture
def only_known_names():
    """Takes the names that a page registers out again."""
    known = registry.environments(), registry.algorithms(), registry.components()
    before = [each.copy() for each in known]
    yield
    for each, names in zip(known, before, strict=True):
        each.clear()
        each.update(names)


@pytest.mark.usefixtures("only_known_names")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_the_examples_run_and_print_what_they_say(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxrl.compiled.compilation_cache.enable_compilation_cache", lambda: None)
    monkeypatch.setattr("jaxrl.compiled.cores.use_all_cores", lambda: None)
    code = blocks(page, "python")
    namespace = {"__name__": "page"}
    for block in code:
        for large, small in SMALLER.items():
            block = block.replace(large, small)
        exec(compile(block, name(page), "exec"), namespace)
    printed = capsys.readouterr().out.splitlines()
    for expected in re.findall(r"^print\(.*\)  # (.+)$", "\n".join(code), re.MULTILINE):
        assert expected in printed


def test_every_size_is_in_an_example():
    code = "".join(block for page in PAGES for block in blocks(page, "python"))
    assert [large for large in SMALLER if large not in code] == []


def commands(page):
    """The words of each `jaxrl ...`, and what it is said to print first."""
    shell = "".join(f"$ {line}\n" for block in blocks(page, "sh") for line in block.splitlines())
    for block in (shell, *blocks(page, "")):
        joined = block.replace("\\\n$ ", "").replace("\\\n", "")
        for line, printed in re.findall(r"^\$ jaxrl (.*)(?:\n(?!\$)(.*))?", joined, re.MULTILINE):
            yield shlex.split(line, comments=True), printed


def check(words):
    """Raises InputError unless the command takes these arguments, and `train` their fields and values."""
    command, *rest = words
    if "--help" in rest:
        return
    parse(COMMANDS[command], f"jaxrl {command}", rest)
    if command != "train" or "--config" in rest:  # the file is not there
        return
    given = {option: [] for option in ("--set", "--env", "--evaluate-in")}
    for option, value in itertools.pairwise(rest):
        given.get(option, []).append(value)
    grids(named(rest[0], registry.algorithm), "--set", given["--set"])
    prefix, colon, _ = rest[1].partition(":")
    if not colon or prefix == "gymnax":  # what others need may not be installed
        worlds = grids(named(rest[1], registry.environment), "--env", given["--env"])
        evaluations(worlds, given["--evaluate-in"])


@every_page
def test_the_commands_parse_or_fail_as_they_say(page, capsys):
    for words, printed in commands(page):
        if printed.startswith("jaxrl: unknown"):
            with pytest.raises(SystemExit):
                main(words)
            assert capsys.readouterr().err.startswith(printed.removesuffix("..."))
        else:
            check(words)


def test_commands_are_found():
    assert len([*commands(ROOT / "README.md")]) >= 4
    assert [words[0] for words, _ in commands(ROOT / "docs/studies.md")].count("resume") >= 2


@every_page
def test_the_benchmarks_exist(page):
    named = re.findall(r"python -m benchmarks (\w+)", page.read_text())
    assert {*named} - {"NAME"} <= {*BENCHMARKS}


def headings(page):
    """The anchors that GitHub gives a page's headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@every_page
def test_the_links_lead_somewhere(page):
    for path, _, anchor in re.findall(r"\]\((?!http)([^)#]*)(#([^)]+))?\)", page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in headings(target), anchor


@every_page
def test_the_paths_exist(page):
    folders = "jaxrl|envs|tests|experiments|benchmarks|docs"
    for path in re.findall(rf"(?<![\w/.<])((?:{folders})/[\w/.-]++)(?!<)", page.read_text()):
        assert (ROOT / path.rstrip(".")).exists(), path


def test_the_readme_trains_on_all_cores_and_keeps_what_it_compiles():
    code = "".join(blocks(ROOT / "README.md", "python"))
    for call in ("enable_compilation_cache()", "use_all_cores()"):
        assert 0 <= code.find(call) < code.index("train(settings")


def test_the_questions_tell_of_jaxs_switches_64_bits_and_nans():
    asked = {
        "why-are-64-bits-refused",
        "which-of-jaxs-switches-change-the-bits-of-a-run",
        "where-does-a-nan-come-from",
        "can-arrays-of-different-ranks-or-types-be-forbidden",
    }
    assert asked <= headings(ROOT / "docs" / "questions.md")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
