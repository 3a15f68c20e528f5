"""The house rules that a program can check, as functions from sources to complaints.

Each rule takes sources, not the project, so that a test can feed it a small bad example.
"""

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
LAYERS = ("twinjax", "surrogates", "training", "experiments")  # each knows those before it
LONGEST_MODULE = 400
_PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Written so that the patterns do not match their own text.
_FORBIDDEN = {
    r"(?<![\w.])/(?:work|root|home/\w+)/": "a path of one machine",
    r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.org|debian\.org|jsdelivr\.net|unpkg\.com)": (
        "a package host"
    ),
    r"\b(?:issue|ticket)s? #?\d": "a work item",
}
_TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".cfg", ".csv", ".json", ".txt", ".css", ".sh", ""}
_NOT_OURS = {".git", ".venv", "venv", "build", "dist", "site", "demo", "__pycache__"}


@dataclass(frozen=True)
class Source:
    """One file by its path from the project's root, with `/` between the parts."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def package(self) -> str:
        return self.path.split("/")[0]

    @property
    def is_cli(self) -> bool:
        return re.search(r"/_?cli\b|/_cli_|/_application\b", self.path) is not None

    def imports(self) -> Iterator[tuple[int, str, str]]:
        """Line, local name and full dotted origin of everything imported anywhere in the file."""
        folder = self.path.removesuffix(".py").split("/")[:-1]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    bound = name.name if name.asname else name.name.split(".")[0]
                    yield node.lineno, name.asname or bound, bound
            elif isinstance(node, ast.ImportFrom):
                above = folder[: len(folder) - node.level + 1] if node.level else []
                origin = ".".join([*above, *filter(None, [node.module])])
                for name in node.names:
                    yield node.lineno, name.asname or name.name, f"{origin}.{name.name}"


def project_sources(packages: Iterable[str] = LAYERS) -> list[Source]:
    paths = sorted(path for name in packages for path in (PROJECT / name).rglob("*.py"))
    return [Source(path.relative_to(PROJECT).as_posix(), path.read_text("utf-8")) for path in paths]


def project_texts() -> list[Source]:
    """Every text file of the project, whatever it is for."""
    found = []
    for folder, inside, names in os.walk(PROJECT):
        inside[:] = sorted(
            name for name in inside if name not in _NOT_OURS and "_cache" not in name
        )
        for path in sorted(Path(folder) / name for name in names):
            if path.suffix in _TEXT:
                text = path.read_text("utf-8", errors="replace")
                found.append(Source(path.relative_to(PROJECT).as_posix(), text))
    return found


def imports_go_one_way(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        above = {*LAYERS[LAYERS.index(source.package) + 1 :], "tests"}
        origins = [(line, origin) for line, _, origin in source.imports()]
        for call in _calls(source):
            named = call.args and isinstance(call.args[0], ast.Constant)
            if named and _dotted(call.func).endswith(("import_module", "__import__")):
                origins.append((call.lineno, str(call.args[0].value)))
        for line, origin in origins:
            root = origin.split(".")[0]
            if root in above:
                yield f"{source.path}:{line}: {source.package} must not import {root}."


def no_print(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        for call in _calls(source):
            if _dotted(call.func) in {"print", "pprint", "pprint.pprint", "sys.stdout.write"}:
                yield f"{source.path}:{call.lineno}: no print: return it, or show it in the CLI."


def no_pickle_or_eval(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        for line, _, origin in source.imports():
            if origin.split(".")[0] in _PICKLES:
                yield f"{source.path}:{line}: {origin.split('.')[0]} can run code from a file."
        for call in _calls(source):
            if _dotted(call.func) in {"eval", "exec"}:
                yield f"{source.path}:{call.lineno}: no {_dotted(call.func)}."
            for keyword in call.keywords:
                refused = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "allow_pickle" and not refused:
                    yield f"{source.path}:{call.lineno}: allow_pickle must be False."


def no_global_flags(sources: Sequence[Source]) -> Iterator[str]:
    """Applications set JAX's flags; a library that does so changes its user's other results."""
    for source in sources:
        if source.package == "experiments" or source.is_cli:
            continue
        origins = {local: origin for _, local, origin in source.imports()}
        for node in ast.walk(source.tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.Call):
                targets = [node.func]
            for target in targets:
                root, _, rest = _dotted(target).partition(".")
                name = f"{origins.get(root, root)}.{rest}"
                if name.startswith("jax.config.") and name != "jax.config.read":
                    yield f"{source.path}:{node.lineno}: only applications set JAX's flags."


def modules_are_short(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        lines = len(source.text.splitlines())
        if lines > LONGEST_MODULE:
            yield f"{source.path}: {lines} lines, above {LONGEST_MODULE}: is it two modules?"


def docstrings(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        if ast.get_docstring(source.tree) is None:
            yield f"{source.path}: the module has no docstring."
        for node in source.tree.body:
            named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if named and not node.name.startswith("_") and ast.get_docstring(node) is None:
                yield f"{source.path}:{node.lineno}: {node.name} is public and has no docstring."


def no_forbidden_words(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        for number, line in enumerate(source.text.splitlines(), 1):
            for pattern, what in _FORBIDDEN.items():
                if found := re.search(pattern, line):
                    yield f"{source.path}:{number}: {found.group()!r} is {what}."


@dataclass(frozen=True)
class _Class:
    source: Source
    node: ast.ClassDef
    bases: tuple[str, ...]  # full dotted origins

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def place(self) -> str:
        return f"{self.source.path}:{self.node.lineno}: {self.name}"

    @property
    def is_abstract(self) -> bool:
        return self.name.lstrip("_").startswith("Abstract")

    @cached_property
    def methods(self) -> dict[str, bool]:
        """The methods in the class's own body, and whether each is abstract."""
        return {
            node.name: any("abstract" in _dotted(mark) for mark in node.decorator_list)
            for node in self.node.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    @cached_property
    def annotations(self) -> dict[str, str]:
        return {
            node.target.id: ast.unparse(node.annotation)
            for node in self.node.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }

    @property
    def holds_data(self) -> bool:
        kinds = self.annotations.values()
        return "__init__" in self.methods or any(
            not re.match(r"(?:\w+\.)?(?:Abstract(?:Class)?Var|ClassVar)\b", kind) for kind in kinds
        )

    @property
    def asks_for_something(self) -> bool:
        asked = any("Abstract" in kind for kind in self.annotations.values())
        return asked or any(self.methods.values())


def abstract_or_final(sources: Sequence[Source]) -> Iterator[str]:
    """Equinox's pattern: a class is an abstract base or final, and each method is written once.

    Exceptions and enumerations inherit as they please, as long as they override nothing.
    """
    classes = _classes(sources)
    for name, cls in classes.items():
        chain = list(_ancestors(name, classes))
        own = [classes[base] for base in chain if base in classes]
        is_module = any(base in {"equinox.Module", "equinox._module.Module"} for base in chain)
        is_exception = any(re.search(r"(Error|Exception|Warning)$", base) for base in chain)
        yield from _overrides(cls, own)
        if not is_exception and (is_module or own) and _calls_super(cls):
            yield f"{cls.place} calls super(): compose by a field instead."
        if not is_module:
            continue
        for base in own:
            if not base.is_abstract:
                yield f"{cls.place} inherits from {base.name}, which is not named Abstract…"
        if cls.is_abstract and not any(base.asks_for_something for base in [cls, *own]):
            yield f"{cls.place} is named abstract and has nothing abstract."
        holders = [base.name for base in [cls, *own] if base.holds_data]
        if len(holders) > 1:
            yield f"{cls.place}: fields and __init__ belong in one class, not in {holders}."


RULES: dict[Callable[[Sequence[Source]], Iterator[str]], Callable[[], list[Source]]] = {
    imports_go_one_way: project_sources,
    abstract_or_final: project_sources,
    no_print: project_sources,
    no_pickle_or_eval: project_sources,
    no_global_flags: project_sources,
    modules_are_short: project_sources,
    docstrings: project_sources,
    no_forbidden_words: project_texts,
}


def _overrides(cls: _Class, own: Sequence[_Class]) -> Iterator[str]:
    for method in cls.methods.keys() - {"__check_init__"}:  # Equinox calls every one of these
        for base in own:
            if base.methods.get(method) is False:
                yield f"{cls.place} overrides {base.name}.{method}, which is not abstract."


def _calls_super(cls: _Class) -> bool:
    calls = (node for node in ast.walk(cls.node) if isinstance(node, ast.Call))
    return any(_dotted(call.func) == "super" for call in calls)


def _classes(sources: Sequence[Source]) -> dict[str, _Class]:
    found = {}
    for source in sources:
        module = source.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        origins = {local: origin for _, local, origin in source.imports()}
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ClassDef):
                continue
            bases = []
            for base in node.bases:
                root, _, rest = _dotted(base).partition(".")
                origin = origins.get(root, f"{module}.{root}")
                bases.append(f"{origin}.{rest}" if rest else origin)
            found[f"{module}.{node.name}"] = _Class(source, node, tuple(bases))
    return found


def _ancestors(name: str, classes: dict[str, _Class]) -> Iterator[str]:
    for base in classes[name].bases:
        # A public name may be imported from the package that re-exports it.
        package, _, last = base.rpartition(".")
        inside = [
            key for key in classes if key.startswith(f"{package}.") and key.endswith(f".{last}")
        ]
        known = base if base in classes else inside[0] if inside else base
        yield known
        if known in classes:
            yield from _ancestors(known, classes)


def _calls(source: Source) -> Iterator[ast.Call]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of a name, an attribute, a call or a subscript of one; else an empty string."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{_dotted(node.value)}.{node.attr}"
        case ast.Subscript():
            return _dotted(node.value)
        case ast.Call():
            return _dotted(node.func)
    return ""
