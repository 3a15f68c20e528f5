"""How a command line names the surfaces of a heart: TAG=NAME."""

from collections.abc import Sequence

import typer

SURFACES = typer.Option(
    metavar="TAG=NAME",
    help="what a facet tag is: base, epi, lv_endo or rv_endo (repeatable) [found]",
)


def surface_names(given: Sequence[str]) -> dict[int, str]:
    """The name of each tag. Raises `ValueError` for what is not TAG=NAME, and unknown names."""
    from twinjax._names import unknown_name
    from twinjax.geometry import Surface

    choices = [surface.name.lower() for surface in Surface]
    names = {}
    for item in given:
        tag, equals, name = (part.strip() for part in item.partition("="))
        if not (equals and tag.isdigit()):
            raise ValueError(f"--surface needs TAG=NAME, not '{item}'")
        if name not in choices:
            raise ValueError(unknown_name("surface", name, choices))
        names[int(tag)] = name
    return names
