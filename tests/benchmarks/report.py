"""From measurements to tables: medians of what each run took, and of what it took in relation to another way's run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from tests.benchmarks.measure import Cost

Costs = dict[str, list[Cost]]
"""What each way took, run by run; the n-th runs of all ways followed each other."""

UNITS = {"wall": "time", "cpu": "CPU", "mb": "memory"}
PACKAGES = [
    *("apache-airflow", "apache-airflow-providers-common-ai", "apache-airflow-providers-openai"),
    *("apache-airflow-providers-anthropic", "openai", "anthropic", "lm-deluge", "orjson", "msgspec"),
]


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
        return ratio(mine, others, self.what) if others else median(getattr(cost, self.what) for cost in mine)

    def line(self, value: float) -> str:
        """Return the claim's line of the table."""
        than, unit = (f"{UNITS[self.what]} ÷ {name(self.other)}", "×") if self.other else ("MB over the baseline", "")
        held = "yes" if value <= self.bound else "**no**"
        text = f"{self.stage}, {self.vendor}: {name(self.way)}, {than}"
        return f"| {text} | ≤ {self.bound:.3g}{unit} | {value:.3g}{unit} | {held} |"


CLAIMS = [
    Claim("prepare", "openai", "ours_plain", "cpu", 1.5, "str_format"),
    Claim("prepare", "openai", "ours_jinja", "cpu", 1.3, "jinja"),
    Claim("prepare", "openai", "ours_plain", "mb", 150),
    Claim("prepare", "openai", "ours_jinja", "mb", 150),
    Claim("submit", "openai", "ours", "cpu", 1 / 4, "common_ai"),
    Claim("submit", "openai", "ours", "mb", 1 / 8, "common_ai"),
    Claim("submit", "anthropic", "ours", "cpu", 1 / 3, "common_ai"),
    Claim("submit", "anthropic", "ours", "cpu", 1 / 3, "official"),
    Claim("submit", "anthropic", "ours", "mb", 1 / 12, "common_ai"),
    Claim("submit", "anthropic", "ours", "mb", 1 / 12, "official"),
]
for _vendor in ("openai", "anthropic"):
    CLAIMS.append(Claim("land", _vendor, "ours", "wall", 1 / 3, "common_ai"))
    CLAIMS.append(Claim("land", _vendor, "ours", "wall", 3, "limit"))
    CLAIMS.append(Claim("land", _vendor, "ours", "mb", 250))


def ratio(mine: list[Cost], others: list[Cost], what: str) -> float:
    """Return the median, over the runs, of what one way took in relation to another."""
    pairs = zip(mine, others, strict=True)
    return median(max(getattr(a, what), 0.01) / max(getattr(b, what), 0.01) for a, b in pairs)


def table(title: str, costs: Costs, told: Mapping[str, str]) -> Iterator[str]:
    """Yield one stage's table, in Markdown; *told* says of each way what it is."""
    ours = next((runs for way, runs in costs.items() if way.startswith("ours")), None)
    yield f"### {title}\n"
    yield "| way | | time, s | CPU, s | MB | CPU ÷ ours |"
    yield "|---|---|---:|---:|---:|---:|"
    for way, runs in costs.items():
        wall, cpu, mb = (median(getattr(cost, what) for cost in runs) for what in UNITS)
        relation = f"{ratio(runs, ours, 'cpu'):.2f}" if ours else ""
        yield f"| {name(way)} | {told[way]} | {wall:.2f} | {cpu:.2f} | {mb:,.0f} | {relation} |"
    yield ""


def claims(found: Mapping[tuple[str, str], Costs]) -> Iterator[str]:
    """Yield the table of what must hold, as far as it was measured."""
    yield "### What must hold\n"
    yield "| | bound | here | held |"
    yield "|---|---:|---:|---|"
    for claim in CLAIMS:
        value = claim.measured(found.get((claim.stage, claim.vendor), {}))
        if value is not None:
            yield claim.line(value)


def machine() -> str:
    """Return what the numbers depend on, without a host's name."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(_versions())}"


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def name(way: str) -> str:
    """Return how a way is called in the tables."""
    return f"**{way.replace('_', ' ')}**" if way.startswith("ours") else way.replace("_", "-")
