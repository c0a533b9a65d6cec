"""From measurements to tables: medians of what each run took, and of what it took in relation to another way's run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from tests.benchmarks.measure import Cost

Costs = dict[str, list[Cost]]
"""What each way took, run by run; the n-th runs of all ways followed each other."""

LABELS = {
    "limit": "limit: {limit}",
    "with_format": "`str.format` and `orjson`",
    "with_jinja": "one compiled Jinja template and `orjson`",
    "ours_plain": "**llmbatch**, plain fields",
    "ours_jinja": "**llmbatch**, all of Jinja",
    "ours": "**llmbatch**",
    "ours_from_records": "**llmbatch**, records to batch",
    "common_ai": "common-ai",
    "official": "official provider's hook",
    "sdk": "SDK",
    "lm_deluge": "lm-deluge",
}
LIMITS = {
    "prepare": "read and decode the records",
    "submit": "the bytes through a raw socket",
    "land": "download to a file, decode every line once",
}
UNITS = {"wall": "time", "cpu": "CPU", "mb": "memory"}


@dataclass(frozen=True)
class Claim:
    """What must hold: *way* takes at most *bound*, or *bound* times what *other* takes, of *what*."""

    stage: str
    vendor: str
    way: str
    what: str
    bound: float
    other: str = ""

    def measured(self, costs: Costs) -> float | None:
        """Return what the runs say, or ``None`` where one of the ways was not run."""
        mine, others = costs.get(self.way), costs.get(self.other)
        if not mine or (self.other and not others):
            return None
        if not others:
            return median(getattr(cost, self.what) for cost in mine)
        return ratio(mine, others, self.what)

    def line(self, value: float) -> str:
        than = f"{UNITS[self.what]} of {_plain(self.other)}" if self.other else "MB over the imports"
        text = f"{self.stage}, {self.vendor}: {_plain(self.way)}, {than}"
        unit = "×" if self.other else ""
        return (
            f"| {text} | ≤ {self.bound:.3g}{unit} | {value:.3g}{unit} | {'yes' if value <= self.bound else '**no**'} |"
        )


def ratio(mine: list[Cost], others: list[Cost], what: str) -> float:
    """Return the median, over the runs, of what one way took in relation to another."""
    pairs = zip(mine, others, strict=True)
    return median(max(getattr(a, what), 0.01) / max(getattr(b, what), 0.01) for a, b in pairs)


def _both(stage: str, way: str, what: str, bound: float, other: str = "") -> list[Claim]:
    return [Claim(stage, vendor, way, what, bound, other) for vendor in ("openai", "anthropic")]


CLAIMS = [
    Claim("prepare", "openai", "ours_plain", "cpu", 1.5, "with_format"),
    Claim("prepare", "openai", "ours_jinja", "cpu", 1.3, "with_jinja"),
    Claim("prepare", "openai", "ours_plain", "mb", 150),
    Claim("prepare", "openai", "ours_jinja", "mb", 150),
    Claim("submit", "openai", "ours", "cpu", 1 / 4, "common_ai"),
    Claim("submit", "openai", "ours", "mb", 1 / 8, "common_ai"),
    *(Claim("submit", "anthropic", "ours", "cpu", 1 / 3, other) for other in ("common_ai", "official")),
    *(Claim("submit", "anthropic", "ours", "mb", 1 / 12, other) for other in ("common_ai", "official")),
    *_both("land", "ours", "wall", 1 / 3, "common_ai"),
    *_both("land", "ours", "wall", 3, "limit"),
    *_both("land", "ours", "mb", 250),
]


def table(stage: str, title: str, costs: Costs) -> Iterator[str]:
    """Yield one stage's table, in Markdown; its last column is the CPU in relation to ours."""
    ours = next((costs[way] for way in ("ours", "ours_plain", "ours_jinja") if costs.get(way)), None)
    yield f"### {title}"
    yield ""
    yield "| way | time, s | CPU, s | MB over imports | CPU ÷ ours |"
    yield "|---|---:|---:|---:|---:|"
    for way, runs in costs.items():
        numbers = [median(getattr(cost, what) for cost in runs) for what in ("wall", "cpu", "mb")]
        relation = f"{ratio(runs, ours, 'cpu'):.2f}" if ours else ""
        label = LABELS[way].format(limit=LIMITS[stage])
        yield f"| {label} | {numbers[0]:.2f} | {numbers[1]:.2f} | {numbers[2]:,.0f} | {relation} |"
    yield ""


def claims(found: dict[tuple[str, str], Costs]) -> Iterator[str]:
    """Yield the table of what must hold."""
    yield "| what must hold | bound | here | held |"
    yield "|---|---:|---:|---|"
    for claim in CLAIMS:
        value = claim.measured(found.get((claim.stage, claim.vendor), {}))
        if value is not None:
            yield claim.line(value)


def machine() -> dict[str, Any]:
    """Return what the numbers depend on, without a name."""
    names = ["openai", "anthropic", "lm-deluge", "orjson", "msgspec"]
    names += [
        f"apache-airflow{rest}" for rest in ("", *(f"-providers-{n}" for n in ("common-ai", "openai", "anthropic")))
    ]
    return {"cores": os.cpu_count(), "python": platform.python_version(), "versions": dict(_versions(names))}


def _versions(names: list[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def as_json(found: dict[tuple[str, str], Costs]) -> dict[str, Any]:
    """Return every single measurement."""
    return {
        f"{stage} {vendor}": {way: [asdict(cost) for cost in runs] for way, runs in costs.items()}
        for (stage, vendor), costs in found.items()
    }


def _plain(way: str) -> str:
    return LABELS[way].format(limit="").strip("*: ").replace("**", "")
