"""Prompt caching: prefixes that have been seen, and until when they are remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

STEP_TOKENS = 128
"""OpenAI caches prefixes in steps of this many tokens (FACTS §1.9)."""
LEAST_TOKENS = 1_024
"""Shortest prefix that OpenAI caches."""


class PromptCache:
    """Remembers prefixes by digest.  Whatever is looked up is remembered from then on (FACTS §1.9, §2.8).

    Times are emulated, and those of a batch's rows are the planned ones: what is a hit does not depend on how fast
    the emulator happens to work.
    """

    def __init__(self) -> None:
        self.until: dict[bytes, float] = {}

    def hit(self, prefix: bytes, now: float, seconds: float) -> bool:
        """Return whether *prefix* is remembered at *now*, and remember it *seconds* longer."""
        known = self.until.get(prefix, -1.0) >= now
        self.until[prefix] = now + seconds
        return known

    def automatic(self, model: str, prompt: bytes, now: float, seconds: float) -> tuple[int, int]:
        """Return how many tokens of *prompt* are read from the cache, and how many are written to it (OpenAI)."""
        read = length = 0
        for length, prefix in _prefixes(model, prompt):
            if self.hit(prefix, now, seconds):
                read = length
        return read, length - read


def _prefixes(model: str, prompt: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length in tokens and the digest of each prefix that can be cached, shortest first."""
    state = hashlib.blake2b(model.encode(), digest_size=16)
    start = 0
    for tokens in range(LEAST_TOKENS, len(prompt) // 4 + 1, STEP_TOKENS):
        state.update(prompt[start : tokens * 4])
        start = tokens * 4
        yield tokens, state.digest()
