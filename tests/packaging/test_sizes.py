"""How long a module may be: what does not fit on a few screens is two things."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMITS = {  # lines; the first pattern that fits counts
    "example_dags/example_*.py": 120,
    "airflow_provider_llmbatch/**/*.py": 400,
    "example_dags/*.py": 400,
    "tests/**/*.py": 400,
}


def test_every_module_is_short_enough_to_read():
    limits = {path: limit for pattern, limit in reversed(LIMITS.items()) for path in ROOT.glob(pattern)}
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in limits}

    assert len(lines) > 50
    assert not {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > limits[path]}
