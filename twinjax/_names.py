"""Strict names: a misspelt one is refused with the nearest match."""

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> str:
    """The sentence for a name that is not among the choices."""
    choices = list(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"unknown {kind} '{name}'; did you mean '{near[0]}'?"
    shown = ", ".join(sorted(choices)[:12]) + (", ..." if len(choices) > 12 else "")
    return f"unknown {kind} '{name}'; valid choices: {shown}"
