"""A mutant put into a program that is running: the code of its functions is replaced by that of the changed source."""

from __future__ import annotations

import gc
import inspect
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Replaced(NamedTuple):
    """What becomes of the code of a file's functions.

    Attributes:
        codes: The new code by the old one, where they differ.
        outside: Whether anything else of the file is changed, such as a constant or a default: that is computed when
            the file is imported, so the file has to be imported anew.
    """

    codes: dict[CodeType, CodeType]
    outside: bool


def replaced(file: str, before: str, after: str) -> Replaced:
    """Compare two sources of a file.

    Args:
        file: The file's name, as the functions of the running program have it.
        before: What it was imported from.
        after: What it is to be.
    """
    codes: dict[CodeType, CodeType] = {}
    old, new = (compile(source, file, "exec", dont_inherit=True) for source in (before, after))
    return Replaced(codes, outside=not _pair(old, new, codes))


def _pair(old: CodeType, new: CodeType, codes: dict[CodeType, CodeType]) -> bool:
    """Collect the functions that differ; returns whether all else is the same."""
    olds, news = _inner(old), _inner(new)
    same = len(olds) == len(news) and _without_inner(old) == _without_inner(new)
    for one, other in zip(olds, news, strict=False):
        if not one.co_flags & inspect.CO_OPTIMIZED:  # the body of a class
            same = _pair(one, other, codes) and same
        elif one != other:
            same = same and one.co_freevars == other.co_freevars
            codes[one] = other
            _pair(one, other, codes)  # some of what is in it may have been made when the file was imported
    return same


def _inner(code: CodeType) -> list[CodeType]:
    return [one for one in code.co_consts if isinstance(one, CodeType)]


def _without_inner(code: CodeType) -> CodeType:
    """The code without the functions and classes in it, and without its places in the source, such as their ends."""
    consts = tuple(one for one in code.co_consts if not isinstance(one, CodeType))
    return code.replace(co_consts=consts, co_linetable=b"")


def functions(files: Iterable[str]) -> dict[str, list[FunctionType]]:
    """The functions of the running program, by the file that each is from."""
    found: dict[str, list[FunctionType]] = {file: [] for file in files}
    gc.unfreeze()  # what is frozen is not looked through
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__.co_filename in found:
            found[one.__code__.co_filename].append(one)
    gc.freeze()
    return found


def put_in(codes: dict[CodeType, CodeType], there: Iterable[FunctionType]) -> None:
    """Give functions their new code."""
    for function in there:
        function.__code__ = codes.get(function.__code__, function.__code__)
