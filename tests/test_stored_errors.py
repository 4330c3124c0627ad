"""Errors that go through a store of results: as pickles, or as their arguments alone, in JSON."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import pkgutil

import pytest

import batchsend
from batchsend import (
    BatchsendError,
    DeliveryResult,
    Outcome,
    RecordError,
    RecordErrorKind,
    RunError,
    SessionError,
    Stage,
    UnfinishedError,
    UsageError,
)
from batchsend.delivery.connect_failure import ConnectFailure
from batchsend.delivery.connector import ConnectError
from batchsend.recipients.columns import AmbiguousColumnsError
from batchsend.smtp.replies import Reply

RESULT = DeliveryResult(record=1, recipient="a@example.com", status=Outcome.ACCEPTED)
FAILURE = ConnectFailure(Stage.AUTH, "refused", "check", Reply(535, b"5.7.8 no"), lasting=True)
ERRORS: list[BatchsendError] = [
    BatchsendError("what", remedy="do"),
    RunError("what", remedy="do"),
    RunError("what"),
    SessionError("what", remedy="do"),
    UsageError("what", remedy="do"),
    RecordError("what", kind=RecordErrorKind.MISSING_FIELD, remedy="do"),
    UnfinishedError("what", [RESULT], remedy="do"),
    UnfinishedError("what", [RESULT]),
    ConnectError("what", remedy="do", failure=FAILURE),
    AmbiguousColumnsError("what", candidates=("Work Email", "Personal Email")),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_pickle_has_all_of_an_error(error: BatchsendError) -> None:
    require_survival(error)


def test_so_it_has_of_every_kind_of_error() -> None:
    for info in pkgutil.walk_packages(batchsend.__path__, "batchsend."):
        if info.name.rpartition(".")[2] not in ("__main__", "_build") and ".django" not in info.name:
            importlib.import_module(info.name)
    kinds = {kind for kind in kinds_of(BatchsendError) if kind.__module__.startswith("batchsend.")}
    assert {type(error) for error in ERRORS} < kinds
    for kind in kinds:
        for error in (kind("what"), kind("what", remedy="do")):
            require_survival(error)
            again = kind(*json.loads(json.dumps(error.args)))
            assert (again.message, again.remedy) == (error.message, error.remedy)


def kinds_of(kind: type[BatchsendError]) -> set[type[BatchsendError]]:
    """A class of errors, and all those below it."""
    return {kind}.union(*(kinds_of(below) for below in kind.__subclasses__()))


def require_survival(error: BatchsendError) -> None:
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
