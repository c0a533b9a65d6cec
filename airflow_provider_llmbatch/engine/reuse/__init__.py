"""Answers that are kept across jobs and DAGs: only what is new or changed is asked.

``gate``    between the records and their requests of round 1: those that have an answer need none
``landing`` the rows of those records, beside those of the records that were asked
``keep``    once the rows are written: what this job paid for goes to the store, for the next one
"""

from __future__ import annotations

import struct

from airflow_provider_llmbatch.core.reuse import DIGEST

REUSED = "reused.jsonl"
"""The answers that this job took from the store: it is not needed a second time. A line ``[index, count]`` comes first,
then the answers to so many records that follow each other, as the store has them, then the next such line."""
ASKED = "asked.digests"
"""What names the answers to all the others, once they have any."""

INDEX_AND_DIGEST = struct.Struct(f">Q{DIGEST}s")
"""An entry of ``ASKED``; they are in the order of the index."""
