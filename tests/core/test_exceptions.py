"""The tree of what we raise: as documented, and whole after a trip to another process."""

import copy
import pickle
import re

import pytest

from airflow_provider_llmbatch import exceptions
from airflow_provider_llmbatch.exceptions import (
    BudgetExhaustedError,
    BusyError,
    CostCapError,
    CredentialError,
    InputError,
    LLMBatchError,
    ManifestError,
    NotFoundError,
    RejectedError,
    RunError,
    UnavailableError,
    VendorError,
)

CLASSES = [
    value
    for value in vars(exceptions).values()
    if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == exceptions.__name__
]


def subclasses(cls):
    return {one for one in CLASSES if one is not cls and issubclass(one, cls)}


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_arrives_whole_in_another_process(cls, travel):
    error = cls("batch 'b' is lost. Nothing was sent.", batch_ids=["b"], index=3)

    again = travel(error)

    assert type(again) is cls
    assert str(again) == again.message == "batch 'b' is lost. Nothing was sent."
    assert again.context == error.context
    assert again.context.items() >= {"batch_ids": ["b"], "index": 3}.items()


@pytest.mark.parametrize("cls", sorted(subclasses(VendorError), key=str))
def test_what_a_vendor_said_arrives_too(cls):
    error = pickle.loads(pickle.dumps(cls("no", status=429, code="slow_down", retry_after=7.0)))

    assert (error.status, error.code, error.retry_after) == (429, "slow_down", 7.0)


def test_the_documentation_draws_every_class_and_no_other():
    drawn = set(re.findall(r"[├─│└·]\s(\w+)|^\s+(LLMBatchError)$", exceptions.__doc__, re.MULTILINE))
    names = {one for pair in drawn for one in pair if one}

    assert names == {cls.__name__ for cls in CLASSES}


def test_whether_anything_was_sent_decides_the_branch():
    assert subclasses(LLMBatchError) - {InputError, VendorError, RunError, CostCapError, ManifestError} == (
        subclasses(InputError) | subclasses(VendorError) | subclasses(RunError)
    )
    assert not subclasses(InputError) & subclasses(VendorError)
    assert not subclasses(CostCapError)  # a cap stops a job before the first paid call, or after any
    assert not subclasses(ManifestError)


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)
    assert not issubclass(RunError, ValueError)


def test_a_clear_no_is_never_taken_for_no_answer():
    """After the one nothing was created; after the other a paid batch may exist."""
    assert subclasses(RejectedError) == {CredentialError, BudgetExhaustedError, NotFoundError}
    assert not issubclass(BusyError, RejectedError | UnavailableError)
    assert not issubclass(UnavailableError, RejectedError | BusyError)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_says_what_it_means(cls):
    assert cls.__doc__
