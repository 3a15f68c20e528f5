"""TOML files that people write: read, held to their tables, mistakes told in one sentence."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from twinjax._names import unknown_name

T = TypeVar("T", bound=BaseModel)


class Strict(BaseModel):
    """A table in which every key must be known."""

    model_config = ConfigDict(extra="forbid")


def read_text(path: Path) -> str:
    """The text of a file; `ValueError` if it is absent, empty or not text."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8") from None
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text


def has_table(text: str, name: str) -> bool:
    """Whether a TOML text has a table; a damaged one has not."""
    try:
        return name in tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False


def parse(text: str, name: str, file: type[T], tables: Mapping[str, type[BaseModel]]) -> T:
    """The content of a TOML text as `file`, whose tables have the classes `tables`.

    Raises `ValueError` with the first mistake; `name` is how the sentence calls the text.
    """
    try:
        return file.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{name} is not TOML: {error}") from None
    except ValidationError as error:
        raise ValueError(f"{name}: {_sentence(error, file, tables)}") from None


def _sentence(
    error: ValidationError, file: type[BaseModel], tables: Mapping[str, type[BaseModel]]
) -> str:
    # A misspelt key is also a missing one: the first of the two is the cause.
    errors: list[Any] = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}"
    model = tables[first["loc"][0]] if len(first["loc"]) > 1 else file
    return f"{unknown_name('key', str(first['loc'][-1]), model.model_fields)} (in {where})"
