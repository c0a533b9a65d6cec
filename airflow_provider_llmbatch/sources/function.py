"""Records that a function of the user's returns or yields."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePath
from traceback import walk_tb
from typing import Any

import msgspec

from airflow_provider_llmbatch._compat import AirflowException
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.sources.inline import as_row
from airflow_provider_llmbatch.sources.tables import ArrowSource, is_arrow


class FunctionSource:
    """What a function returns or yields, consumed as a stream while the requests are written.

    It is called when the rows are wanted, and only then: a job that is prepared has its records already.

    :param function: The function, for its name and its source code.
    :param arguments: What the function is given in the DAG file.
    :param call: Calls it.
    """

    def __init__(self, function: Callable[..., Any], arguments: Any, call: Callable[[], Any]) -> None:
        self._function, self._arguments, self._call = function, arguments, call
        self._name = f"{getattr(function, '__qualname__', type(function).__name__).rpartition('.')[2]}()"

    def __repr__(self) -> str:
        return self._name

    def identity(self) -> dict[str, Any]:
        """Return digests of the function's source code and of its arguments, not of what it yields.

        A retry must find its job again although the world, and so the answer of the function, moved on.
        """
        arguments = msgspec.json.encode(self._arguments, enc_hook=_rendered, order="sorted")
        return {
            "kind": "function",
            "name": f"{getattr(self._function, '__module__', '')}.{self._name}",
            "sha256": sha256(_code(self._function).encode()).hexdigest(),
            "arguments": sha256(arguments).hexdigest(),
        }

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Call the function and yield its records.

        :raises SourceError: It failed; the message names the record's number and the error's type, not its text.
        """
        number = 0
        for item in self._items():
            if is_arrow(item):
                rows: Iterable[Mapping[str, Any]] = (row for _, row in ArrowSource(item).rows())
            else:
                rows = [as_row(item, self._where(number + 1))]
            for row in rows:
                number += 1
                yield self._where(number), row

    def _where(self, number: int) -> str:
        return f"record {number:,} of {self._name}"

    def _items(self) -> Iterator[Any]:
        """Yield records, or tables of records."""
        returned = self._guarded(self._call, 0)
        if inspect.isawaitable(returned) or hasattr(returned, "__aiter__"):
            if inspect.iscoroutine(returned):
                returned.close()
            raise SourceError(f"{self._name} is asynchronous; write it with def, and yield. Nothing was sent.")
        if returned is None:
            raise SourceError(f"{self._name} returned nothing; return or yield the records. Nothing was sent.")
        if not isinstance(returned, Iterable) or isinstance(returned, str | Mapping | Sequence) or is_arrow(returned):
            yield from (row for _, row in open_source(returned).rows())
            return
        items, end, number = iter(returned), object(), 0
        while (item := self._guarded(lambda: next(items, end), number)) is not end:
            number += 1
            yield item

    def _guarded(self, step: Callable[[], Any], done: int) -> Any:
        try:
            return step()
        except AirflowException:
            raise  # the function says in Airflow's own words what is to happen: skip, fail, try again
        except Exception as error:
            raise SourceError(
                f"{self._name} raised {type(error).__name__}{_place(error)} at record {done + 1:,}. Nothing was sent. "
                "Correct it, and clear the task.",
                function=self._name,
                record=done + 1,
            ) from None


def _place(error: BaseException) -> str:
    """Return where the error was raised. Its text stays out of it: it may quote a record."""
    steps = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    inside = [(name, line) for name, line in steps if name != __file__]
    return f" in {PurePath(inside[-1][0]).name}, line {inside[-1][1]}," if inside else ""


def _code(function: Callable[..., Any]) -> str:
    """Return the function's text without its decorators: how often a task polls is no part of what it yields."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        return ast.get_source_segment(text, ast.parse(text).body[0]) or text
    except (OSError, TypeError, SyntaxError):  # made by exec, written in C, or a lambda amidst an expression
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"


def _rendered(value: Any) -> Any:
    """Return what stands for an argument that JSON does not have; it must be the same in the next attempt."""
    if is_arrow(value):
        return ArrowSource(value).identity()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):  # what several mapped tasks returned, for one
        return list(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"
