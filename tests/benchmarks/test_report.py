"""The arithmetic of the tables: what is compared is what ran one after the other."""

import pytest

from tests.benchmarks.measure import Cost
from tests.benchmarks.report import Claim, ratio, table

OURS = [Cost(wall=2.0, cpu=1.0, mb=10), Cost(wall=8.0, cpu=4.0, mb=30), Cost(wall=3.0, cpu=1.0, mb=20)]
THEIRS = [Cost(wall=4.0, cpu=4.0, mb=100), Cost(wall=8.0, cpu=8.0, mb=200), Cost(wall=9.0, cpu=2.0, mb=0)]


def test_a_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_the_medians():
    assert ratio(OURS, THEIRS, "wall") == 0.5
    assert ratio(OURS, THEIRS, "cpu") == 0.5
    assert ratio(OURS, THEIRS, "mb") == 0.15


@pytest.mark.parametrize(
    ("bound", "other", "measured", "held"),
    [(0.5, "common_ai", 0.5, "yes"), (0.4, "common_ai", 0.5, "**no**"), (3, "", 3.0, "yes"), (2, "", 3.0, "**no**")],
)
def test_a_claim_says_whether_it_holds(bound, other, measured, held):
    claim = Claim("land", "openai", "ours", "wall", bound, other)

    value = claim.measured({"ours": OURS, "common_ai": THEIRS})

    assert value == measured
    assert claim.line(value).endswith(f" {held} |")


def test_a_claim_about_a_way_that_was_not_run_says_nothing():
    assert Claim("land", "openai", "ours", "wall", 1, "sdk").measured({"ours": OURS}) is None


def test_a_table_relates_every_way_to_ours():
    lines = list(table("Land", {"ours": OURS, "common_ai": THEIRS}, {"ours": "a", "common_ai": "b"}))

    assert lines[3:5] == [
        "| **ours** | a | 3.00 | 1.00 | 20 | 1.00 |",
        "| common-ai | b | 8.00 | 4.00 | 100 | 2.00 |",
    ]
