"""Writes rows wherever ``output_uri`` says: a file, a folder of parts, or a table of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from airflow_provider_llmbatch.core.outputs import Target, target_of
from airflow_provider_llmbatch.exceptions import OutputError
from airflow_provider_llmbatch.storage.folder import Folder, open_folder, open_parent
from airflow_provider_llmbatch.storage.tables import lines, parquet, sql
from airflow_provider_llmbatch.storage.tables.columns import Columns, Spill
from airflow_provider_llmbatch.storage.tables.lines import Write
from airflow_provider_llmbatch.storage.tables.parts import Open, Parts


def check_output(output_uri: str | None) -> None:
    """Prove that the output can be written, before anything is sent.

    :raises OutputError: It cannot, or its suffix names no format.
    """
    if output_uri is None:
        return
    target = target_of(output_uri)
    if target.format is None:
        sql.check(target)
        return
    if target.format == "parquet":
        parquet.check(target)
    try:
        folder, name = _place(target)
        probe = f".{name}.probe"
        folder.replace(probe, b"")
        folder.remove(probe)
    except Exception as error:  # each storage has errors of its own
        raise OutputError(
            f"output_uri {output_uri!r} cannot be written ({type(error).__name__}: {error}). Nothing was sent.",
            output_uri=output_uri,
        ) from None


@contextmanager
def writing(output_uri: str, columns: Columns, job: str) -> Iterator[Write]:
    """Take rows. They appear, all of them, when the block ends well; after an error nobody sees any.

    :param job: The id of the job whose rows these are.
    """
    target = target_of(output_uri)
    with ExitStack() as stack:
        if target.format in ("parquet", None):
            spill = stack.enter_context(Spill(columns))
            yield spill.add
            _deliver(target, spill, job)
        else:
            write = stack.enter_context(_opened(target, _text(target, columns), job))
            yield write


def _deliver(target: Target, spill: Spill, job: str) -> None:
    if target.format is None:
        sql.load(target, spill, job)
        return
    names, kinds = spill.columns.names, spill.columns.kinds
    with _opened(target, lambda path: parquet.parquet(path, names, kinds), job) as write:
        for rows in spill.groups():
            write(rows)


@contextmanager
def _opened(target: Target, opener: Open, job: str) -> Iterator[Callable[..., object]]:
    """Open the target's file, or its folder of parts."""
    folder, name = _place(target)
    if target.is_folder:
        with Parts(folder, str(target.format), opener, job) as parts:
            yield parts.write
        return
    with folder.landing(name) as path, opener(path) as write:
        yield write


def _place(target: Target) -> tuple[Folder, str]:
    return (open_folder(target.uri.rstrip("/")), "parts") if target.is_folder else open_parent(target.uri)


def _text(target: Target, columns: Columns) -> Open:
    if target.format == "csv":
        return lambda path: lines.csv_table(path, columns.names)
    if target.format == "jsonl.gz":
        return lines.jsonl_gz
    return partial(lines.jsonl, syncs=_place(target)[0].syncs)


__all__ = ["Columns", "check_output", "writing"]
