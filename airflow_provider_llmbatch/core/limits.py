"""What one batch of a vendor may hold, with the source of every number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

BYTES_PER_TOKEN = 3
"""An estimate on the safe side: English has four bytes to a token, Chinese and Japanese three (FACTS §5.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one batch may hold.

    :ivar max_requests: Requests per batch.
    :ivar max_bytes: Bytes of one batch as sent, with everything around the requests.
    :ivar envelope_bytes: Bytes around the requests, counted against ``max_bytes``.
    :ivar max_inputs: Inputs of all requests of a batch together, where the vendor counts them; ``None``: no limit.
    :ivar window: Seconds that the vendor gives itself to finish a batch.
    :ivar source: Address of the vendor's page.
    :ivar checked: The day it was read.
    """

    max_requests: int
    max_bytes: int
    envelope_bytes: int = 0
    max_inputs: int | None = None
    window: int = 24 * 60 * 60
    source: str
    checked: date
