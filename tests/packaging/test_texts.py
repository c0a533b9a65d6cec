"""What must not be in a file that we publish: one machine's paths, hosts that others cannot reach, loose ends."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Spelt with brackets so that this file does not find itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]|op[t])/\w+",
    "a package mirror": r"(?:artifactor[y]|/simpl[e]/|index-ur[l]|pypi-mirro[r])",
    "a loose end": r"\b(?:TOD[O]|FIXM[E]|XX[X]|raise NotImplementedErro[r])\b|pragma: no cove[r]",
    "how the work was shared out": r"\b(?:the lea[d]|helper agen[t]|sub-?agen[t]|my brie[f])\b",
}
FOLDERS = ["airflow_provider_llmbatch", "example_dags", "tests", "docs", ".ci"]
SKIPPED = {"__pycache__", "_build", ".git"}  # the last one is a file in a worktree
SUFFIXES = {".py", ".md", ".toml", ".yaml", ".svg", ".js", ".css", ".html", ".json", ".jsonl", ".sql", ""}


def published() -> list[Path]:
    """Every text file of the checkout that git would track."""
    inner = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return sorted(
        path
        for path in [*ROOT.iterdir(), *inner]
        if path.is_file() and path.suffix in SUFFIXES and SKIPPED.isdisjoint(path.parts)
    )


def test_no_published_file_holds_what_belongs_elsewhere():
    files = published()

    found = {
        f"{path.relative_to(ROOT)}: {reason}": match[0]
        for path in files
        for reason, pattern in FORBIDDEN.items()
        if (match := re.search(pattern, path.read_text(encoding="utf-8")))
    }

    assert len(files) > 100
    assert not found
