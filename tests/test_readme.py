"""The README's Python runs as it stands, but for the size of the studies."""

import re
from pathlib import Path

from jaxrl import registry

README = (Path(__file__).parent.parent / "README.md").read_text()
SMALLER = {
    "seeds=128": "seeds=18",
    "seeds=64": "seeds=2",
    "steps=500_000": "steps=1_024",
    "steps=100_000": "steps=1_024",
    "enable_compilation_cache()\n": "",
    "use_all_cores()\n": "",
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for block in blocks("python"):
        for large, small in SMALLER.items():
            block = block.replace(large, small)
        exec(block, namespace)
    del registry.environments()["Corridor-v0"]
    del registry.algorithms()["expected_sarsa"]
    printed = capsys.readouterr().out
    assert "0.7442" in printed  # the exact optimum, as the comment beside it says
    assert (tmp_path / "runs/poles/report.html").exists()
    assert float(printed.split()[-1]) > 0.9  # Expected Sarsa walks the corridor


def test_every_file_it_links_to_exists():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / link).exists()
