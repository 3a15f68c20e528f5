"""Cell models: one published equation set a file."""

from collections.abc import Callable

from twinjax.cells._cell import About, AbstractCell, Gate, gate
from twinjax.cells._courtemanche_1998 import Courtemanche1998
from twinjax.cells._luo_rudy_1991 import LuoRudy1991

# Constructors, by the names under which the models are listed and run.
MODELS: dict[str, Callable[[], AbstractCell]] = {
    "courtemanche-1998": Courtemanche1998,
    "luo-rudy-1991": LuoRudy1991,
}

__all__ = ["MODELS", "About", "AbstractCell", "Courtemanche1998", "Gate", "LuoRudy1991", "gate"]
