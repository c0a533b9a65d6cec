"""From records to shards: everything is written and checked before anything is sent."""

from __future__ import annotations

from itertools import islice

from airflow_provider_llmbatch.core.manifest import Round
from airflow_provider_llmbatch.core.records import number
from airflow_provider_llmbatch.core.requests import SAME, custom_id
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.again import FREE_STATUSES, Again
from airflow_provider_llmbatch.engine.asking import Asker
from airflow_provider_llmbatch.engine.job import Job, Plan
from airflow_provider_llmbatch.engine.twins import Ledger, Repeats, write_twins
from airflow_provider_llmbatch.engine.verdicts import all_answers, latest_requests, records_of
from airflow_provider_llmbatch.engine.window import read_queues
from airflow_provider_llmbatch.engine.writing import RecordFiles, ShardFiles
from airflow_provider_llmbatch.exceptions import InputError, ManifestError, SourceError
from airflow_provider_llmbatch.sources import blocks_of

SUSPECTS = 1000
"""Keys that are looked into at most when some of them may be the same: one that comes twice is one too many."""


def prepare_first(job: Job) -> None:
    """Read the source once and write the records and requests of round 1.

    A crash here costs nothing: nothing was sent, and the next try writes the same files again.

    :raises InputError: Something in the source, the templates or a request is not as it must be.
    """
    if job.plan is None:
        raise ManifestError(
            f"job {job.folder.uri!r} was begun and its requests were never completed. Nothing was sent. Retry the task "
            "that asks; this one only goes on with what that one prepared."
        )
    job.folder.ask(job.plan.question)
    with RecordFiles(job) as records, ShardFiles(job, 1) as shards:
        are_alike = _write(job, job.plan, records, shards)
        twins, made = _without_twins(job, shards) if are_alike and job.plan.dedupe else (0, shards.close())
    job.record(
        "prepared",
        round_=1,
        shards=made,
        columns=records.columns,
        records=records.count,
        record_files=records.files,
        twins=twins,
        queues=read_queues(job),
    )
    _announce(job, 1, made, twins)


def _write(job: Job, plan: Plan, records: RecordFiles, shards: ShardFiles) -> bool:
    """Read the source to its end; return whether some requests may be the same, word for word."""
    asker, keys = Asker(job, plan), Repeats()
    for block in number(blocks_of(plan.source), key=plan.key):
        for requests in asker.ask(block):
            shards.add_all(requests)
        records.add(block)
        keys.note(map(hash, block.keys or ()))
    records.close()
    if not records.count:
        raise SourceError(f"source {plan.source!r} holds no records. Nothing was sent.")
    _refuse_repeated(job, keys, records.files)
    return next(asker.alike.found(), None) is not None


def _refuse_repeated(job: Job, keys: Repeats, files: int) -> None:
    """Refuse a key that came twice: two rows could not be told apart later."""
    suspects = set(islice(keys.found(), SUSPECTS))
    firsts: dict[str, int] = {}
    for record in records_of(job, files) if suspects else ():
        if hash(record.key) in suspects and firsts.setdefault(record.key, record.index) != record.index:
            raise InputError(
                f"record {record.index}: key {job.spec.key!r} = {record.key!r} is a duplicate, record "
                f"{firsts[record.key]} has it; a key names one record for ever. Nothing was sent. Remove the "
                "duplicate, or leave `key` out to name records by their position.",
                index=record.index,
                key=record.key,
            )


def _without_twins(job: Job, written: ShardFiles) -> tuple[int, list[Shard]]:
    """Cut the requests again, each repeated one left out; they were only on this machine's disk so far.

    :return: How many were left out, and the shards.
    """
    ledger = Ledger()
    for index, line, _ in written.without(iter(())):
        ledger.note(index, line, custom_id(job.spec.job_id, 1, index))
    twins = write_twins(job, ledger)
    if not twins:
        return 0, written.close()
    with ShardFiles(job, 1) as shards:
        for index, line, lane in written.without(index for index, _ in ledger.twins()):
            shards.add(job.hook.revise(custom_id(job.spec.job_id, 1, index), line, SAME, lane), index)
        return twins, shards.close()


def prepare_next(job: Job) -> bool:
    """Write the requests of another round: what may still get a good answer.

    :return: Whether there is another round to ask.
    """
    latest = job.manifest.rounds[-1]
    following = latest.number + 1
    if not _may_ask(job, latest):
        return False
    again = Again(job, following)
    with ShardFiles(job, following) as shards:
        for (index, answers), asked in zip(all_answers(job), latest_requests(job), strict=True):
            if asked.index != index:
                raise ManifestError(f"the requests of {job.folder.uri!r} do not match its results at index {index}.")
            request = again.request(answers, asked)
            if request is not None:
                shards.add(request, index)
        made = shards.close()
    if not made:
        return False
    job.record("prepared", round_=following, shards=made)
    _announce(job, following, made)
    return True


def _may_ask(job: Job, latest: Round) -> bool:
    """Return whether any row may be asked again, as far as the counts tell: reading every answer takes its time."""
    if job.manifest.base > latest.number:
        return True
    tallies = [shard.tally for shard in latest.shards if shard.tally]
    failed = sum(sum(tally.statuses.values()) - tally.statuses.get("succeeded", 0) for tally in tallies)
    free = sum(tally.statuses.get(status, 0) for tally in tallies for status in FREE_STATUSES)
    free += sum(sum(tally.stops.values()) for tally in tallies)
    is_last = latest.number - job.manifest.base + 1 >= job.terms.max_rounds
    return bool(free) if is_last else bool(failed)


def _announce(job: Job, round_: int, shards: list[Shard], twins: int = 0) -> None:
    job.log.info(
        "Round %d: %s requests in %d shards, %s bytes, prepared in %s%s",
        round_,
        f"{sum(shard.count for shard in shards):,}",
        len(shards),
        f"{sum(shard.bytes for shard in shards):,}",
        job.folder.uri,
        f"; {twins:,} more records share the request of another" if twins else "",
    )
