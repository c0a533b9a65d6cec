"""Mapped tasks are siblings that know nothing of each other: no two of them may write the same file."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from airflow_provider_llmbatch.core.outputs import target_of
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.exceptions import ManifestError, OutputError
from airflow_provider_llmbatch.storage.folder import open_folder
from airflow_provider_llmbatch.storage.layout import JobFolder


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """``outputs/<digest of the URI>.json`` beside the jobs of a mapped task: whose output it is."""

    schema: int = 1
    map_index: int
    job_id: str


def claim_output(job: Job) -> None:
    """Take the output for *job*, if it is that of a mapped task; the first to come has it.

    A table is not taken: the rows of several jobs live there side by side.

    :raises OutputError: A sibling has it.
    """
    uri, index = job.terms.output_uri, job.spec.map_index
    if uri is None or index < 0 or target_of(uri).format is None:
        return
    beside = open_folder(job.folder.uri.rpartition("/")[0])
    name = f"outputs/{sha256(uri.rstrip('/').encode()).hexdigest()[:16]}.json"
    mine = Claim(map_index=index, job_id=job.spec.job_id)
    if beside.create(name, msgspec.json.encode(mine)):
        return
    try:
        theirs = msgspec.json.decode(beside.read(name) or b"", type=Claim)
    except msgspec.MsgspecError as error:
        raise ManifestError(
            f"{beside.uri_of(name)!r} is there but cannot be read ({error}): whose output {uri!r} is cannot be told. "
            "Nothing was sent or written. If no other mapped task writes it, delete the file and clear the task.",
            uri=beside.uri_of(name),
        ) from None
    if theirs == mine:
        return
    holder = None if theirs.map_index == index else JobFolder(beside.uri_of(str(theirs.map_index))).spec()
    if holder is not None and holder.job_id == theirs.job_id:
        raise OutputError(
            f"output_uri {uri!r} is that of mapped task {theirs.map_index} too, and this is {index}: one would "
            "overwrite the other. Nothing was sent or written; what this task paid for before is kept. Put "
            "{{ ti.map_index }} into output_uri, or leave it out, and clear the task.",
            output_uri=uri,
        )
    beside.replace(name, msgspec.json.encode(mine))  # the sibling's question, or ours, has changed since
