"""What a round will take, from a sample of its requests. It is pure: who calls it has read the sample and the prices.

Input is counted on the sample and extrapolated by the bytes, which are known of every shard; output is at most what
each request allows, and probably what earlier jobs of the same question used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from math import sqrt
from statistics import stdev
from typing import Any, NamedTuple

import msgspec

from airflow_provider_llmbatch.core.cost import PriceBook, Rates
from airflow_provider_llmbatch.core.estimate import Estimate, LaneEstimate, Money, Tokens
from airflow_provider_llmbatch.core.results import Usage
from airflow_provider_llmbatch.core.texts import DEFAULT_ERROR, Weight

ONE_JOB_INPUT, ONE_JOB_OUTPUT = 0.10, 0.20
"""By how much the next job may differ from the only one there is, as a share: one tells nothing of how jobs differ."""
LEAST = 0.02
"""However alike earlier jobs were, the next one may differ by this."""
_MILLION = 1_000_000


class Sampled(NamedTuple):
    """One request of the sample.

    :ivar bytes: Of its line.
    :ivar bound: The most tokens of its answer; 0: it has no text; ``None``: it sets no bound.
    """

    bytes: int
    weight: Weight
    model: str
    bound: int | None


class Lane(NamedTuple):
    """All requests of one lane, and pieces of neighbouring ones as their sample.

    :ivar is_whole: The sample is all of them.
    """

    name: str
    requests: int
    bytes: int
    pieces: Sequence[Sequence[Sampled]]
    is_whole: bool


class Past(NamedTuple):
    """One earlier job of the task: what was counted before, and what it took.

    :ivar is_same: It asked the same question.
    """

    run: str
    requests: int
    text_tokens: int
    usage: Usage
    is_same: bool


class Lesson(NamedTuple):
    """What earlier jobs teach.

    :ivar factor: Tokens as the vendor counts them, to one of ours.
    :ivar factor_error: As a share of it, two standard errors.
    :ivar output: Mean tokens of an answer, all rounds of a record together; ``None``: nothing tells.
    :ivar output_error: As a share of it.
    :ivar cached: Share of the input that was read from a cache.
    :ivar written: Share of the input that was written to one.
    """

    factor: float
    factor_error: float = DEFAULT_ERROR
    output: float | None = None
    output_error: float = 0.0
    cached: float = 0.0
    written: float = 0.0
    jobs: Sequence[str] = ()


def learn(past: Sequence[Past], usual: float) -> Lesson:
    """Return what the jobs in *past* teach.

    :param usual: The factor where there are none: how the vendor's tokenizer compares.
    """
    if not past:
        return Lesson(usual)
    total = sum((one.usage for one in past), Usage())
    factor = total.input / sum(one.text_tokens for one in past)
    same = [one for one in past if one.is_same]
    asked = sum(one.requests for one in same)
    output = sum(one.usage.output for one in same) / asked if asked else None
    few = 2 / sqrt(asked) if asked else 0.0  # the mean of n answers that differ by as much as they are long
    return Lesson(
        factor,
        _spread([one.usage.input / one.text_tokens for one in past], ONE_JOB_INPUT),
        output,
        sqrt(_spread([one.usage.output / one.requests for one in same], ONE_JOB_OUTPUT) ** 2 + few**2),
        total.cached_input / total.input,
        total.cache_write / total.input,
        [one.run for one in past],
    )


def _spread(values: Sequence[float], alone: float) -> float:
    """Return two standard deviations of *values*, as a share of their mean; *alone* where there are not two."""
    if len(values) < 2 or not sum(values):
        return alone
    return max(LEAST, 2 * stdev(values) * len(values) / sum(values))


class _Total(NamedTuple):
    """A sum, and two standard errors of it."""

    value: float = 0.0
    error: float = 0.0

    def plus(self, other: _Total) -> _Total:
        return _Total(self.value + other.value, sqrt(self.error**2 + other.error**2))


def _project(lane: Lane, of: Callable[[Sampled], float], by: Callable[[Sampled], float], whole: float) -> _Total:
    """Extrapolate the sum of *of*, which goes with *by*, whose sum is known to be *whole*: the ratio estimator.

    Neighbours are alike, so that it is the pieces whose differences tell the error, and not the requests.
    """
    pairs = [(sum(map(of, piece)), sum(map(by, piece))) for piece in lane.pieces]
    sampled = sum(x for _, x in pairs)
    if not sampled:
        return _Total()
    ratio = sum(y for y, _ in pairs) / sampled
    if lane.is_whole:
        return _Total(ratio * whole)
    if len(pairs) < 2:
        return _Total(ratio * whole, ratio * whole)
    scatter = sum((y - ratio * x) ** 2 for y, x in pairs) / (len(pairs) - 1)
    return _Total(ratio * whole, 2 * whole / (sampled / len(pairs)) * sqrt(scatter / len(pairs)))


class _Priced(NamedTuple):
    """What one lane costs at one list of prices; of each the error of sampling."""

    input: _Total
    input_most: _Total
    output: _Total | None
    output_most: _Total | None


class Estimator:
    """Estimates one round.

    :param price: Returns a model's prices, or ``None``.
    :param writes: For how long requests mark their input for a cache that has to be written: ``"5m"`` or ``"1h"``.
    """

    def __init__(self, lesson: Lesson, price: Callable[[str], PriceBook | None], writes: str | None = None) -> None:
        self._lesson = lesson
        self._price = price
        self._writes = writes

    def __call__(self, lanes: Sequence[Lane], **facts: Any) -> Estimate:
        """Return the estimate; *facts* are its fields that are not estimated."""
        samples = [one for lane in lanes for piece in lane.pieces for one in piece]
        models = {one.model for one in samples}
        unpriced = sorted(model for model in models if self._price(model) is None)
        text = _sum(_project(lane, lambda one: one.weight.tokens, _bytes, lane.bytes) for lane in lanes)
        characters = _sum(_project(lane, lambda one: one.weight.characters, _bytes, lane.bytes) for lane in lanes)
        share = self._input_error(samples)
        tokens = text.value * self._lesson.factor
        given = Tokens(
            expected=round(tokens),
            error=round(sqrt((share * tokens) ** 2 + (text.error * self._lesson.factor) ** 2)),
            at_most=None,
        )
        batch = standard = None
        parts: list[_Priced | None] = [None] * len(lanes)
        if not unpriced:
            parts = [self._priced(lane, lambda book: book.batch) for lane in lanes]
            batch = self._money(parts, share)
            standard = self._money([self._priced(lane, lambda book: book.standard) for lane in lanes], share)
        sources = {book.source for book in map(self._price, models) if book is not None}
        return Estimate(
            requests=sum(lane.requests for lane in lanes),
            bytes=sum(lane.bytes for lane in lanes),
            sampled=len(samples),
            characters=round(characters.value),
            text_tokens=round(text.value),
            characters_per_token=round(characters.value / tokens, 2) if tokens else None,
            jobs=list(self._lesson.jobs),
            input_tokens=msgspec.structs.replace(given, at_most=(given.expected or 0) + given.error),
            output_tokens=self._output(lanes),
            cost_usd=batch,
            sync_cost_usd=standard,
            saved_usd=_difference(standard, batch),
            price_source=min(sources, default=None),
            unpriced=unpriced,
            lanes=[_share(lane, part) for lane, part in zip(lanes, parts, strict=True)],
            **facts,
        )

    def _input_error(self, samples: Sequence[Sampled]) -> float:
        """Return the error of the figures themselves, as a share. A guess may be wrong by all of it."""
        total = sum(one.weight.tokens for one in samples)
        guessed = sum(one.weight.guessed for one in samples) / total if total else 0.0
        return self._lesson.factor_error if self._lesson.jobs else max(self._lesson.factor_error, guessed)

    def _output(self, lanes: Sequence[Lane]) -> Tokens:
        most = [_most(lane, lambda one: float(one.bound or 0)) for lane in lanes]
        at_most = None if None in most else round(sum(total.value + total.error for total in most if total))
        if at_most == 0:
            return Tokens(expected=0, at_most=0)
        if self._lesson.output is None:
            return Tokens(expected=None, at_most=at_most)
        expected = self._lesson.output * sum(lane.requests for lane in lanes)
        expected = expected if at_most is None else min(expected, at_most)
        return Tokens(expected=round(expected), error=round(expected * self._lesson.output_error), at_most=at_most)

    def _priced(self, lane: Lane, choose: Callable[[PriceBook], Rates]) -> _Priced:
        def rates(one: Sampled) -> Rates:
            book = self._price(one.model)
            if book is None:  # the caller has looked
                raise LookupError(one.model)
            return choose(book)

        def given(one: Sampled) -> float:
            return float(rates(one).price(self._usage(one)))

        def given_most(one: Sampled) -> float:
            return float(rates(one).price(self._usage(one, is_first=True)))

        def made(one: Sampled) -> float:
            """Price one token of output: what is beside it decides the tier."""
            usage = self._usage(one)
            more = msgspec.structs.replace(usage, output=_MILLION)
            return float(rates(one).price(more) - rates(one).price(usage)) / _MILLION

        mean = 0.0 if _has_no_output(lane) else self._lesson.output
        return _Priced(
            _project(lane, given, _bytes, lane.bytes),
            _project(lane, given_most, _bytes, lane.bytes),
            None if mean is None else _project(lane, lambda one: made(one) * self._mean(one), _one, lane.requests),
            _most(lane, lambda one: made(one) * (one.bound or 0)),
        )

    def _mean(self, one: Sampled) -> float:
        mean = self._lesson.output or 0.0
        return mean if one.bound is None else min(mean, one.bound)

    def _usage(self, one: Sampled, *, is_first: bool = False) -> Usage:
        """Return the input of a request.

        :param is_first: Nothing of it is in the cache; what it marks is written.
        """
        tokens = round(one.weight.tokens * self._lesson.factor)
        cached = 0 if is_first else int(tokens * self._lesson.cached)
        written = (tokens if self._writes else 0) if is_first else int(tokens * self._lesson.written)
        return Usage(
            input=tokens,
            cached_input=cached,
            cache_write=written,
            cache_write_1h=written if self._writes == "1h" else 0,
        )

    def _money(self, parts: Sequence[_Priced | None], share: float) -> Money:
        known = [part for part in parts if part is not None]
        given, most = _sum(part.input for part in known), _sum(part.input_most for part in known)
        made = [part.output for part in known if part.output is not None]
        bounds = [part.output_most for part in known if part.output_most is not None]
        expected, error = None, 0.0
        if len(made) == len(known):
            out = _sum(made)
            expected = _usd(given.value + out.value)
            error = sqrt(
                (share * given.value) ** 2
                + given.error**2
                + (self._lesson.output_error * out.value) ** 2
                + out.error**2
            )
        at_most = None
        if len(bounds) == len(known):
            at_most = _usd(_upper(most, share) + _upper(_sum(bounds), 0.0))
        return Money(expected=expected, error=_usd(error), at_most=at_most)


def _share(lane: Lane, part: _Priced | None) -> LaneEstimate:
    given = made = None
    if part is not None:
        given = _usd((part.input_most if part.output is None else part.input).value)
        output = part.output or part.output_most
        made = None if output is None else _usd(output.value)
    return LaneEstimate(lane=lane.name, requests=lane.requests, bytes=lane.bytes, input_usd=given, output_usd=made)


def _bytes(one: Sampled) -> float:
    return one.bytes


def _one(_: Sampled) -> float:
    return 1.0


def _has_no_output(lane: Lane) -> bool:
    return all(one.bound == 0 for piece in lane.pieces for one in piece)


def _most(lane: Lane, of: Callable[[Sampled], float]) -> _Total | None:
    """Extrapolate what the answers may take at most; ``None``: one of the sample sets no bound."""
    if any(one.bound is None for piece in lane.pieces for one in piece):
        return None
    return _project(lane, of, _one, lane.requests)


def _sum(totals: Iterable[_Total]) -> _Total:
    found = _Total()
    for total in totals:
        found = found.plus(total)
    return found


def _upper(total: _Total, share: float) -> float:
    return total.value + sqrt((share * total.value) ** 2 + total.error**2)


def _usd(amount: float) -> Decimal:
    """Write dollars with six significant digits: no estimate has more."""
    return Decimal(f"{amount:.6g}")


def _difference(standard: Money | None, batch: Money | None) -> Decimal | None:
    if standard is None or batch is None or standard.best is None or batch.best is None:
        return None
    return standard.best - batch.best
