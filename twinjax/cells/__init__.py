"""Cell models: one published equation set a file."""

from collections.abc import Callable

from twinjax.cells._biomarkers import biomarkers, cycle_length
from twinjax.cells._cell import About, AbstractCell, Gate, gate
from twinjax.cells._courtemanche_1998 import Courtemanche1998
from twinjax.cells._luo_rudy_1991 import LuoRudy1991
from twinjax.cells._ohara_rudy_2011 import OHaraRudy2011, ohara_rudy_2011_epi, ohara_rudy_2011_m
from twinjax.cells._orbit import periodic
from twinjax.cells._pace import (
    ACCURATE,
    DEFAULT,
    NET,
    Grid,
    Setting,
    beat_grid,
    calcium,
    even_grid,
    join,
    net_current,
    pace,
)
from twinjax.cells._schemes import (
    AbstractScheme,
    ForwardEuler,
    GeneralisedRushLarsen,
    GeneralisedRushLarsen2,
    RushLarsen,
    RushLarsen2,
)

# Constructors, by the names under which the models are listed and run.
MODELS: dict[str, Callable[[], AbstractCell]] = {
    "courtemanche-1998": Courtemanche1998,
    "luo-rudy-1991": LuoRudy1991,
    "ohara-rudy-2011-endo": OHaraRudy2011,
    "ohara-rudy-2011-epi": ohara_rudy_2011_epi,
    "ohara-rudy-2011-m": ohara_rudy_2011_m,
}

__all__ = [
    "ACCURATE",
    "DEFAULT",
    "MODELS",
    "NET",
    "About",
    "AbstractCell",
    "AbstractScheme",
    "Courtemanche1998",
    "ForwardEuler",
    "Gate",
    "GeneralisedRushLarsen",
    "GeneralisedRushLarsen2",
    "Grid",
    "LuoRudy1991",
    "OHaraRudy2011",
    "RushLarsen",
    "RushLarsen2",
    "Setting",
    "beat_grid",
    "biomarkers",
    "calcium",
    "cycle_length",
    "even_grid",
    "gate",
    "join",
    "net_current",
    "ohara_rudy_2011_epi",
    "ohara_rudy_2011_m",
    "pace",
    "periodic",
]
