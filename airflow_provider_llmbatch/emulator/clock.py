"""Two times: the vendor's, which can be sped up, and the wall's, which cannot.

What a vendor does takes *emulated* seconds: validating, running, cancelling, the 24-hour window.  They pass
``speed`` times faster than the wall's, and :meth:`Clock.advance` skips any number of them.

What a client reads or waits for is *wall* time.  ``created_at`` and its friends are the real moments at which things
happened, so that a client may compare them with its own watch; ``expires_at`` alone is the vendor's promise, always
24 hours after creation.  Rate limits, ``Retry-After``, hangs and lags are wall seconds too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple


class Leg(NamedTuple):
    """A stretch of time with one speed: from *wall* on, the emulated clock shows ``emulated + elapsed * speed``."""

    wall: float
    emulated: float
    speed: float
    skipped: float
    """Emulated seconds that advances have skipped so far."""


class Clock:
    """Emulated time as a sequence of legs; a restart continues the last one.

    :param legs: Legs of an earlier process, oldest first.
    """

    def __init__(self, speed: float, legs: Iterable[Leg] = ()) -> None:
        self.legs = list(legs) or [Leg(time.time(), 0.0, speed, 0.0)]
        if self.legs[-1].speed != speed:
            self._turn(speed, 0.0)

    def now(self) -> float:
        """Return the emulated time, in seconds since the emulator was first started."""
        leg = self.legs[-1]
        return leg.emulated + max(0.0, time.time() - leg.wall) * leg.speed

    def watch(self) -> float:
        """Return what a patient client's watch shows: wall time, plus what advances have skipped."""
        return time.time() + self.legs[-1].skipped

    def wall(self, emulated: float) -> float:
        """Return the wall time (epoch seconds) at which the emulated clock showed *emulated*.

        A moment inside a skipped stretch happened when it was skipped.
        """
        for index in range(len(self.legs) - 1, -1, -1):
            leg = self.legs[index]
            if emulated >= leg.emulated:
                break
        if leg.speed == 0:
            return leg.wall if emulated == leg.emulated or index + 1 == len(self.legs) else self.legs[index + 1].wall
        reached = leg.wall + max(0.0, emulated - leg.emulated) / leg.speed
        return min(reached, self.legs[index + 1].wall) if index + 1 < len(self.legs) else reached

    def advance(self, seconds: float) -> Leg:
        """Skip *seconds* of emulated time."""
        return self._turn(self.legs[-1].speed, seconds)

    def set_speed(self, speed: float) -> Leg:
        """Go on at another speed."""
        return self._turn(speed, 0.0)

    def _turn(self, speed: float, skip: float) -> Leg:
        leg = Leg(time.time(), self.now() + skip, speed, self.legs[-1].skipped + skip)
        self.legs.append(leg)
        return leg
