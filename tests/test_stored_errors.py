"""Errors that go through a store of results: as pickles, or as their arguments alone, in JSON."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from batchsend import (
    BatchsendError,
    DeliveryResult,
    Outcome,
    RecordError,
    RecordErrorKind,
    RunError,
    SessionError,
    UnfinishedError,
    UsageError,
)

RESULT = DeliveryResult(record=1, recipient="a@example.com", status=Outcome.ACCEPTED)
ERRORS: list[BatchsendError] = [
    BatchsendError("what", remedy="do"),
    RunError("what", remedy="do"),
    RunError("what"),
    SessionError("what", remedy="do"),
    UsageError("what", remedy="do"),
    RecordError("what", kind=RecordErrorKind.MISSING_FIELD, remedy="do"),
    UnfinishedError("what", [RESULT], remedy="do"),
    UnfinishedError("what", [RESULT]),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_pickle_has_all_of_an_error(error: BatchsendError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert (str(again), repr(again)) == (str(error), repr(error))


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_its_arguments_in_json_say_what_and_what_to_do(error: BatchsendError) -> None:
    again = type(error)(*json.loads(json.dumps(error.args)))
    assert (again.message, again.remedy, str(again)) == (error.message, error.remedy, str(error))


@pytest.mark.slow
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_celerys_backend_gives_them_back(serializer: str) -> None:
    celery = pytest.importorskip("celery")
    app = celery.Celery("stored", broker="memory://", backend="cache+memory://")
    app.conf.update(result_serializer=serializer, accept_content=[serializer])
    for place, error in enumerate(ERRORS):
        app.backend.mark_as_failure(f"{serializer}-{place}", error)
        again = app.backend.get_result(f"{serializer}-{place}")
        assert (type(again), again.message, again.remedy) == (type(error), error.message, error.remedy)
        if isinstance(again, UnfinishedError):
            assert again.results == ([RESULT] if serializer == "pickle" else [])
