"""How long a module may be: what does not fit on a few screens is two things."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMITS = {  # most specific first
    "example_dags/example_*.py": 120,
    "airflow_provider_llmbatch/**/*.py": 400,
    "example_dags/*.py": 400,
    "tests/**/*.py": 400,
}


def limit_of(path: Path) -> int:
    return next(limit for pattern, limit in LIMITS.items() if path in set(ROOT.glob(pattern)))


MODULES = sorted({path for pattern in LIMITS for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_enough_to_read(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines <= limit_of(path)
