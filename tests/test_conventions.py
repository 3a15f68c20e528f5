"""The house rules hold in the project, and each rule can fail: it refuses a small bad example."""

import dataclasses
import importlib
import json
import math
import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import equinox as eqx
import jax.numpy as jnp
import pytest

import twinjax
from tests._conventions import LAYERS, LONGEST_MODULE, PROJECT, RULES, Source
from twinjax import units
from twinjax._parameters import ParameterInfo, component, parameter


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds_in_the_project(rule):
    sources = RULES[rule]()
    assert sources
    complaints = list(rule(sources))
    assert not complaints, "\n".join(["", *complaints])


def test_every_layer_is_walked():
    walked = {source.path for source in RULES[_rule("imports_go_one_way")]()}
    assert {f"{layer}/__init__.py" for layer in LAYERS} <= walked


CLASSES = """
import abc
import equinox as eqx
class AbstractChamber(eqx.Module):
    @abc.abstractmethod
    def pressure(self, volume): ...
    def twice(self, volume):
        return 2 * self.pressure(volume)
class Elastance(AbstractChamber):
    slope: float
    def pressure(self, volume):
        return self.slope * volume
"""

# rule, path, text that it must refuse, part of the complaint
BAD = [
    ("imports_go_one_way", "twinjax/a.py", "import training.fit", "must not import training"),
    ("imports_go_one_way", "twinjax/a.py", "from surrogates import runtime", "import surrogates"),
    ("imports_go_one_way", "surrogates/a.py", "def f():\n    from training import b", ":2:"),
    ("imports_go_one_way", "training/a.py", "from experiments._report import main", "experiments"),
    ("imports_go_one_way", "training/a.py", "from tests._shared import shared", "import tests"),
    (
        "imports_go_one_way",
        "twinjax/a.py",
        "import importlib\nimportlib.import_module('training.cli')",
        ":2:",
    ),
    (
        "abstract_or_final",
        "twinjax/a.py",
        CLASSES + "class Stiff(Elastance): ...",
        "not named Abstract",
    ),
    (
        "abstract_or_final",
        "twinjax/a.py",
        CLASSES
        + "class Other(AbstractChamber):\n"
        + "    def pressure(self, volume): return volume\n"
        + "    def twice(self, volume): return 0",
        "overrides AbstractChamber.twice",
    ),
    (
        "abstract_or_final",
        "twinjax/a.py",
        CLASSES
        + "class Other(AbstractChamber):\n"
        + "    def pressure(self, volume): return super().pressure(volume)",
        "calls super()",
    ),
    (
        "abstract_or_final",
        "twinjax/a.py",
        "import equinox as eqx\nclass AbstractNothing(eqx.Module):\n    def f(self): return 1",
        "has nothing abstract",
    ),
    (
        "abstract_or_final",
        "twinjax/a.py",
        "from equinox import AbstractVar, Module\n"
        "class AbstractA(Module):\n    x: float\n    y: AbstractVar[float]\n"
        "class B(AbstractA):\n    y: float",
        "belong in one class",
    ),
    (
        "abstract_or_final",
        "surrogates/a.py",
        "class Reader:\n    def read(self): return 1\nclass Other(Reader):\n"
        "    def read(self): return 2",
        "overrides Reader.read",
    ),
    ("no_print", "surrogates/a.py", "print('x')", "no print"),
    ("no_print", "experiments/a.py", "import sys\nsys.stdout.write('x')", ":2:"),
    ("no_pickle_or_eval", "training/a.py", "import pickle", "pickle"),
    ("no_pickle_or_eval", "training/a.py", "from joblib import dump", "joblib"),
    ("no_pickle_or_eval", "training/a.py", "eval('1')", "no eval"),
    ("no_pickle_or_eval", "training/a.py", "exec('1')", "no exec"),
    (
        "no_pickle_or_eval",
        "training/a.py",
        "import numpy as np\nnp.load('f', allow_pickle=True)",
        "allow_pickle",
    ),
    (
        "no_global_flags",
        "twinjax/a.py",
        "import jax\njax.config.update('jax_enable_x64', True)",
        ":2:",
    ),
    (
        "no_global_flags",
        "training/a.py",
        "from jax import config as c\nc.update('jax_enable_x64', True)",
        ":2:",
    ),
    ("no_global_flags", "training/a.py", "import jax\njax.config.jax_enable_x64 = True", ":2:"),
    ("modules_are_short", "twinjax/a.py", "\n" * (LONGEST_MODULE + 1), "two modules"),
    ("docstrings", "twinjax/a.py", "x = 1", "module has no docstring"),
    ("docstrings", "twinjax/a.py", '"""A."""\ndef f(): ...', "f is public"),
    ("docstrings", "twinjax/a.py", '"""A."""\nclass C: ...', "C is public"),
    ("no_forbidden_words", "docs/a.md", "see /" + "root/venv", "one machine"),
    ("no_forbidden_words", "tests/a.py", "open('/" + "work/data.csv')", "one machine"),
    ("no_forbidden_words", "docs/a.md", "from https://pypi" + ".org/simple", "package host"),
    ("no_forbidden_words", "docs/a.md", "as issue" + " 12 asks", "work item"),
]

GOOD = [
    (
        "imports_go_one_way",
        "training/a.py",
        "import twinjax\nfrom . import b\nfrom surrogates import c",
    ),
    ("imports_go_one_way", "twinjax/flow/a.py", "from ..training_like import b"),
    ("abstract_or_final", "twinjax/a.py", CLASSES),
    (
        "abstract_or_final",
        "twinjax/a.py",
        "class AError(ValueError): ...\nclass BError(AError):\n"
        "    def __init__(self, x): super().__init__(x)",
    ),
    ("no_print", "training/a.py", "from rich.console import Console\nConsole().print('x')"),
    ("no_pickle_or_eval", "training/a.py", "import numpy as np\nnp.load('f', allow_pickle=False)"),
    ("no_global_flags", "training/cli.py", "import jax\njax.config.update('jax_enable_x64', True)"),
    ("no_global_flags", "twinjax/a.py", "import jax\nx = jax.config.jax_enable_x64"),
    ("modules_are_short", "twinjax/a.py", "\n" * LONGEST_MODULE),
    ("docstrings", "twinjax/a.py", '"""A."""\ndef _f(): ...\ndef g():\n    """G."""'),
    ("no_forbidden_words", "docs/a.md", "the framework/parts of the root/branch, ../shared/data"),
]


def _rule(name):
    return next(rule for rule in RULES if rule.__name__ == name)


@pytest.mark.parametrize(("name", "path", "text", "complaint"), BAD)
def test_rule_refuses(name, path, text, complaint):
    complaints = list(_rule(name)([Source(path, text)]))
    assert len(complaints) == 1
    assert complaint in complaints[0]


@pytest.mark.parametrize(("name", "path", "text"), GOOD)
def test_rule_admits(name, path, text):
    assert list(_rule(name)([Source(path, text)])) == []


def test_every_rule_is_shown_to_fail():
    assert {name for name, *_ in BAD} == {rule.__name__ for rule in RULES}


def test_inheritance_is_followed_across_modules_and_re_exports():
    abstract = Source("twinjax/flow/_chamber.py", CLASSES)
    front = Source("twinjax/flow/__init__.py", "from ._chamber import Elastance")
    for line in (
        "from twinjax.flow._chamber import Elastance",
        "from twinjax.flow import Elastance",
        "from .flow import Elastance",
    ):
        user = Source("twinjax/heart.py", f"{line}\nclass Stiff(Elastance): ...")
        complaints = list(_rule("abstract_or_final")([abstract, front, user]))
        assert len(complaints) == 1, line
        assert "Stiff inherits from Elastance" in complaints[0]


# Parameters are checked as objects: their metadata exist only at run time.


def _modules(package) -> Iterator[type[eqx.Module]]:
    """Every Equinox class that the package defines."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
    waiting = [eqx.Module]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.split(".")[0] == package.__name__:
                yield cls


def _parameters(cls: type[eqx.Module]):
    """Name and information of every parameter of a class, and of the components it sets up."""
    for field in dataclasses.fields(cls):
        if "parameter" in field.metadata:
            yield field.name, field.metadata["parameter"]
        for name, info in field.metadata.get("specific", {}).items():
            yield f"{field.name}.{name}", info


def _parameter_complaints(info) -> Iterator[str]:
    try:
        units.normalise(info.unit)
    except units.UnitError as error:
        yield f"its unit: {error}"
    low, high = info.bounds
    if not low < high:
        yield f"its bounds are empty: {low} is not below {high}"
    if not low <= info.default <= high:
        yield f"its default {info.default} is outside [{low}, {high}]"
    if not str(info.cite or "").strip():
        yield "it cites nothing"


def test_every_parameter_has_unit_bounds_and_citation():
    found = [(cls, *pair) for cls in _modules(twinjax) for pair in _parameters(cls)]
    assert found
    complaints = [
        f"{cls.__module__}.{cls.__name__}.{name}: {complaint}"
        for cls, name, info in found
        for complaint in _parameter_complaints(info)
    ]
    assert not complaints, "\n".join(["", *complaints])


GOOD_PARAMETER = {
    "default": 1.0,
    "unit": "mmHg",
    "bounds": (0.0, 2.0),
    "prior": None,
    "cite": "Someone 2000",
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"unit": "furlong"}, "its unit"),
        ({"bounds": (2.0, 0.0)}, "are empty"),
        ({"bounds": (math.nan, 2.0)}, "are empty"),
        ({"default": 3.0}, "outside"),
        ({"default": math.nan}, "outside"),
        ({"cite": " "}, "cites nothing"),
    ],
)
def test_a_bad_parameter_is_refused(change, complaint):
    assert list(_parameter_complaints(ParameterInfo(**GOOD_PARAMETER))) == []
    complaints = list(_parameter_complaints(ParameterInfo(**GOOD_PARAMETER | change)))
    assert any(complaint in text for text in complaints)


def test_parameters_of_a_made_up_model_are_found():
    class Toy(eqx.Module):
        stiffness: float = parameter(**GOOD_PARAMETER)
        name: str = "toy"

    class Pair(eqx.Module):
        left: Toy = component(Toy, stiffness=parameter(**GOOD_PARAMETER | {"cite": "Other 2001"}))

    assert [(name, info.cite) for name, info in _parameters(Toy)] == [("stiffness", "Someone 2000")]
    assert [(name, info.cite) for name, info in _parameters(Pair)] == [
        ("left.stiffness", "Other 2001")
    ]


# Imports are checked in a fresh interpreter: this one has loaded everything already.


def _loaded_by(statement: str) -> set[str]:
    program = f"import sys, json; before = set(sys.modules); {statement}; " + (
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def _beyond_numpy(loaded: set[str]) -> set[str]:
    # A module with a leading underscore is the standard library's build data, such as _sysconfig…
    return {
        name
        for name in loaded - {"numpy", "surrogates"} - set(sys.stdlib_module_names)
        if not name.startswith("_sysconfigdata")
    }


def test_the_runtime_loads_numpy_only():
    assert _beyond_numpy(_loaded_by("import surrogates.runtime")) == set()


def test_a_runtime_with_more_would_be_noticed():
    assert "jax" in _beyond_numpy(_loaded_by("import jax"))
    assert "rich" in _beyond_numpy(_loaded_by("import rich"))
    assert _beyond_numpy(_loaded_by("import numpy")) == set()


def test_importing_the_packages_leaves_the_global_flags_alone():
    program = (
        "import jax; before = dict(jax.config.values); import importlib, pkgutil\n"
        f"for name in {LAYERS[:3]}:\n"
        "    package = importlib.import_module(name)\n"
        "    for found in pkgutil.walk_packages(package.__path__, name + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "changed = [k for k, v in jax.config.values.items() if k in before and before[k] != v]\n"
        "assert not changed, changed"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_float64_and_strict_promotion_are_on_in_tests():
    assert jnp.asarray(1.0).dtype == jnp.float64
    with pytest.raises(ValueError, match=r"rank.promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)
