"""Why Jinja2 is pinned below its next minor release: `message/bounds.py` changes how its compiler writes code.

`BoundedEnvironment` bounds what a template may take by subclassing `jinja2.compiler.CodeGenerator`, which is no part of
Jinja2's public interface. Were a method that it overrides renamed, or called no longer, templates without an end would
run again and no error would say so. A minor release may do that, so each is tried by this suite before it is allowed.
"""

from __future__ import annotations

import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes
from packaging.requirements import Requirement
from packaging.version import Version

from batchsend.message.bounds import BoundedEnvironment
from batchsend.message.budget import Excess

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def test_the_next_minor_release_is_not_taken_untried() -> None:
    (pin,) = (need for need in map(Requirement, PROJECT["dependencies"]) if need.name == "jinja2")
    installed = Version(version("jinja2"))
    assert installed in pin.specifier
    assert Version(f"{installed.major}.{installed.minor}.999") in pin.specifier
    assert Version(f"{installed.major}.{installed.minor + 1}") not in pin.specifier


def test_what_is_overridden_in_the_compiler_is_there_and_takes_the_same() -> None:
    generator = BoundedEnvironment.code_generator_class
    parent = jinja2.Environment.code_generator_class
    overridden = {name for name in vars(generator) if callable(getattr(generator, name)) and not name.startswith("__")}
    assert overridden == {"visit_Template", "visit_Concat"}
    for name in overridden:
        ours, theirs = (inspect.signature(getattr(where, name)) for where in (generator, parent))
        assert list(ours.parameters) == list(theirs.parameters), name
        assert hasattr(nodes, name.removeprefix("visit_")), name


@pytest.mark.parametrize("template", ["{% for i in v %}{% endfor %}", "{{ v ~ v }}"], ids=["a loop", "a concatenation"])
def test_the_compiler_still_calls_it(template: str) -> None:
    """Both are seen to spend from the budget; neither Jinja2's sandbox nor a filter would stop them."""
    environment = BoundedEnvironment()
    before = jinja2.Environment().compile(template, raw=True)
    assert environment.compile(template, raw=True) != before
    with pytest.raises(Excess):
        environment.from_string(template).render(v="x" * 50_000_000)
