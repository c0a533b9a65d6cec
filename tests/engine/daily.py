"""A job that is run day after day over a table that changes, with one store of answers."""

from __future__ import annotations

import json


class Daily:
    """A job that is run again and again, each time over the table of that day, with one store."""

    def __init__(self, bench, folder):
        self.bench = bench
        self.folder = folder
        self.uri = f"file://{folder}/store"
        self.day = 0

    def make(self, texts, *, plan=None, **changes):
        """Return how to begin the job of another day, or to go on with it."""
        self.day += 1
        here = self.folder / f"day-{self.day}"
        here.mkdir()
        rows = ({"n": n, "text": text} for n, text in enumerate(texts))
        (here / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {"prompt": "Echo {{ record.text }}", "plan": {"reuse_uri": self.uri} | (plan or {})} | changes
        return lambda: self.bench.job(here, str(here / "in.jsonl"), **given)

    def run(self, texts, **changes):
        """Run the job of another day to its end and return its summary."""
        return self.bench.complete(self.make(texts, **changes))

    @property
    def here(self):
        return self.folder / f"day-{self.day}"

    def rows(self, out="out.jsonl"):
        return [json.loads(line) for line in (self.here / out).read_bytes().splitlines()]


def paid(emulator):
    """How many requests were billed so far."""
    return emulator.bill()["total"]["requests_billed"]


def refreshed(make):
    job = make()
    job.refresh()
    return job
