"""What a job may cost: nothing is sent that could take it above ``max_cost_usd``.

Three sums count: what was collected, at its price; what is at the vendor, as estimated; and what is to be sent next. An
estimate counts as far as it may be off: what is expected and its error where earlier jobs tell, else the most that the
requests allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from airflow_provider_llmbatch.core.estimate import Estimate, dollars
from airflow_provider_llmbatch.core.manifest import Phase, ShardState
from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.estimate import estimate, estimate_first
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.landing import Landing
from airflow_provider_llmbatch.engine.till import Till
from airflow_provider_llmbatch.engine.verdicts import shard_answers
from airflow_provider_llmbatch.exceptions import CostCapError

NOTHING = Decimal(0)
AT_VENDOR: tuple[Phase, ...] = ("submitted", "unknown", "ended")
"""Phases in which a shard is paid for and its price not known yet."""


def check_first(job: Job) -> None:
    """Estimate the first round, and refuse it if it does not fit under the cap.

    :raises CostCapError: It does not, or nobody can say what it costs. Nothing was sent.
    """
    first = job.manifest.rounds[0]
    if any(shard.phase != "ready" or shard.attempt > 1 for shard in job.manifest.shards):
        return
    estimate_first(job)
    check_round(job, 1, first.prepared.shards or [])


def check_round(job: Job, number: int, shards: Sequence[Shard]) -> None:
    """Refuse a round that does not fit under the cap.

    :param shards: The round's, whose requests are written.
    :raises CostCapError: It does not fit, or nobody can say what it costs. Nothing of it was sent.
    """
    cap = job.terms.max_cost_usd
    if cap is None:
        return
    before = spent(job)
    wanted = sum((_needs(job, number, shard, shards) for shard in shards), NOTHING)
    if before + wanted <= cap:
        return
    sent = f"{dollars(before)} are spent, and " if before else ""
    kept = (
        f"Nothing of it was sent. Every answer so far is kept in {job.folder.uri!r}, and the rows as they stand are "
        "written. Raise max_cost_usd, then clear this task: it goes on and pays only the rest."
        if number > 1
        else f"Nothing was sent. The requests are kept in {job.folder.uri!r}: raise max_cost_usd, then clear this "
        "task, and they are sent as they are. Or ask less: fewer records, a smaller max_tokens, another model."
    )
    raise _above(job, f"{sent}round {number} would cost {_words(_estimate(job, number, shards))}", wanted, kept)


def has_room(job: Job, shard: ShardState) -> bool:
    """Return whether *shard* may be sent beside what was spent and what is at the vendor.

    :raises CostCapError: Nobody can say what it costs.
    """
    cap = job.terms.max_cost_usd
    return cap is None or spent(job) + _reserved(job) + _share(job, shard) <= cap


def check_held(job: Job) -> None:
    """Stop a job that waits for nothing: shards are left, none of them fits under the cap, and none is at the vendor.

    :raises CostCapError: That is so.
    """
    latest = job.manifest.rounds[-1]
    left = latest.in_phase("ready")
    if job.terms.max_cost_usd is None or not left or latest.in_phase(*AT_VENDOR):
        return
    if not any(has_room(job, shard) for shard in left):
        least = min(_share(job, shard) for shard in left)
        raise _above(
            job,
            f"{dollars(spent(job))} are spent, {len(left)} shards of round {latest.number} are left, and the smallest "
            f"would cost up to {dollars(least)}",
            least,
            f"No more was sent. Every answer so far is kept in {job.folder.uri!r}. Raise max_cost_usd, then clear this "
            "task: it goes on and pays only the rest.",
        )


def spent(job: Job) -> Decimal:
    """Return what everything that was collected has cost."""
    return sum((_cost(job, shard) for shard in job.manifest.shards if shard.phase == "collected"), NOTHING)


def cost_of(job: Job, shard: ShardState, landing: Landing | None = None) -> Decimal | None:
    """Return what the answers in *shard*'s results cost, where there is a cap; ``None``: none, or no price is known.

    :param landing: What came of the results, where this process has just read them.
    """
    if job.terms.max_cost_usd is None:
        return None
    if landing is not None and landing.has_rows:
        cost, results = landing.totals.cost, landing.others()
    else:
        cost, results = NOTHING, (answer.result for _, answer in shard_answers(job, shard))
    till = Till(job)
    for result in results:
        price = till.price(result)
        cost = None if cost is None or price is None else cost + price
    return cost


def _cost(job: Job, shard: ShardState) -> Decimal:
    """Return what *shard* cost; where nobody added it up when it was collected, that is done now, once."""
    if shard.cost_usd is not None:
        return shard.cost_usd
    if shard.name not in job.costs:
        cost = cost_of(job, shard)
        job.costs[shard.name] = _share(job, shard) if cost is None else cost
    return job.costs[shard.name]


def _reserved(job: Job) -> Decimal:
    return sum((_share(job, shard) for shard in job.manifest.shards if shard.phase in AT_VENDOR), NOTHING)


def _share(job: Job, shard: ShardState) -> Decimal:
    round_ = next(round_ for round_ in job.manifest.rounds if round_.number == shard.round)
    return _needs(job, shard.round, shard.shard, round_.prepared.shards or [])


def _needs(job: Job, number: int, shard: Shard, shards: Sequence[Shard]) -> Decimal:
    """Return what *shard* of round *number* takes, as far as to count on."""
    found = _estimate(job, number, shards)
    share = found.share_of(shard)
    if share is not None:
        return share
    if found.unpriced:
        why = f"no price is known for {', '.join(found.unpriced)}"
    else:
        why = "some requests set no bound to their answers, and no earlier job tells how long those are"
    raise CostCapError(
        f"max_cost_usd={money(job.terms.max_cost_usd or NOTHING)} cannot be held: {why}. Nothing of round {number} is "
        f"sent; what there is is kept in {job.folder.uri!r}. "
        + ("Take a model with a price" if found.unpriced else "Set max_tokens")
        + ", or drop the cap, then clear this task.",
        job_uri=job.folder.uri,
    )


def _estimate(job: Job, number: int, shards: Sequence[Shard]) -> Estimate:
    if number not in job.estimates:
        job.estimates[number] = estimate_first(job) if number == 1 else estimate(job, number, shards)
    return job.estimates[number]


def _above(job: Job, what: str, wanted: Decimal, kept: str) -> CostCapError:
    cap = job.terms.max_cost_usd or NOTHING
    return CostCapError(
        f"{what}: more than max_cost_usd={money(cap)}. {kept}",
        job_uri=job.folder.uri,
        max_cost_usd=money(cap),
        spent_usd=money(spent(job)),
        estimated_usd=money(wanted),
    )


def _words(found: Estimate) -> str:
    """Say what a round would cost, and how that is known."""
    cost = found.cost_usd
    if cost is None:
        return "an unknown amount"
    if cost.expected is None:
        return f"up to {dollars(cost.at_most)} (by max_tokens; no earlier job tells how long its answers are)"
    return f"some {dollars(cost.expected)}, give or take {dollars(cost.error)}"
