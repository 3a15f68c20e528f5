"""Cell models: one published equation set a file."""

from collections.abc import Callable
from functools import partial

from twinjax.cells._aliev_panfilov_1996 import AlievPanfilov1996
from twinjax.cells._biomarkers import biomarkers, cycle_length
from twinjax.cells._bueno_orovio_2008 import (
    BuenoOrovio2008,
    bueno_orovio_2008_endo,
    bueno_orovio_2008_epi,
    bueno_orovio_2008_m,
)
from twinjax.cells._calibration import Calibration, calibrate_population
from twinjax.cells._cell import About, AbstractCell, Gate, gate, scaled
from twinjax.cells._cipa_v1 import CipaV1
from twinjax.cells._clamp import ClampRecord, voltage_clamp
from twinjax.cells._courtemanche_1998 import Courtemanche1998
from twinjax.cells._drugs import Binding, Block, Drug, with_drug
from twinjax.cells._fabbri_2017 import Fabbri2017
from twinjax.cells._fenton_karma_1998 import FentonKarma1998, fenton_karma_1998
from twinjax.cells._grandi_2010 import Grandi2010, grandi_2010_endo, grandi_2010_epi
from twinjax.cells._land_2017 import Land2017
from twinjax.cells._luo_rudy_1991 import LuoRudy1991
from twinjax.cells._mitchell_schaeffer_2003 import MitchellSchaeffer2003
from twinjax.cells._noble_1962 import Noble1962
from twinjax.cells._ohara_rudy_2011 import OHaraRudy2011, ohara_rudy_2011_epi, ohara_rudy_2011_m
from twinjax.cells._orbit import Near, multipliers, near_orbit, periodic
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
from twinjax.cells._populations import (
    Pacing,
    Population,
    sample_scales,
    simulate_population,
)
from twinjax.cells._protocols import (
    Spontaneous,
    SteadyPacing,
    padded,
    spontaneous,
    steady_pacing,
)
from twinjax.cells._ranges import HUMAN_VENTRICLE, Range
from twinjax.cells._restitution import Restitution, dynamic_restitution, s1_s2_restitution
from twinjax.cells._schemes import (
    AbstractScheme,
    ForwardEuler,
    GeneralisedRushLarsen,
    GeneralisedRushLarsen2,
    RushLarsen,
    RushLarsen2,
)
from twinjax.cells._sexes import female
from twinjax.cells._simulator import CellSimulator
from twinjax.cells._stewart_2009 import Stewart2009, stewart_2009_spontaneous
from twinjax.cells._tension import AbstractActiveTension, contract
from twinjax.cells._tentusscher_panfilov_2006 import (
    TenTusscherPanfilov2006,
    tentusscher_panfilov_2006_endo,
    tentusscher_panfilov_2006_m,
)
from twinjax.cells._torord import ToRORd, torord
from twinjax.cells._trovato_2020 import Trovato2020

# Constructors, by the names under which the models are listed and run.
MODELS: dict[str, Callable[[], AbstractCell]] = {
    "aliev-panfilov-1996": AlievPanfilov1996,
    "bueno-orovio-2008-endo": bueno_orovio_2008_endo,
    "bueno-orovio-2008-epi": bueno_orovio_2008_epi,
    "bueno-orovio-2008-m": bueno_orovio_2008_m,
    "courtemanche-1998": Courtemanche1998,
    "fabbri-2017-san": Fabbri2017,
    "fenton-karma-1998": fenton_karma_1998,
    "grandi-2010-endo": grandi_2010_endo,
    "grandi-2010-epi": grandi_2010_epi,
    "luo-rudy-1991": LuoRudy1991,
    "mitchell-schaeffer-2003": MitchellSchaeffer2003,
    "noble-1962": Noble1962,
    "ohara-rudy-2011-endo": OHaraRudy2011,
    "ohara-rudy-2011-epi": ohara_rudy_2011_epi,
    "ohara-rudy-2011-m": ohara_rudy_2011_m,
    "ohara-rudy-cipa-v1-2017-endo": CipaV1,
    "stewart-2009-paced": Stewart2009,
    "stewart-2009-spontaneous": stewart_2009_spontaneous,
    "tentusscher-panfilov-2006-endo": tentusscher_panfilov_2006_endo,
    "tentusscher-panfilov-2006-epi": TenTusscherPanfilov2006,
    "tentusscher-panfilov-2006-m": tentusscher_panfilov_2006_m,
    "tomek-torord-2019-fkatp-endo": partial(torord, "endo"),
    "tomek-torord-2019-fkatp-epi": partial(torord, "epi"),
    "tomek-torord-2019-fkatp-mid": partial(torord, "mid"),
    "tomek-torord-dynCl-endo": partial(torord, "endo", dynamic_chloride=True),
    "tomek-torord-dynCl-epi": partial(torord, "epi", dynamic_chloride=True),
    "tomek-torord-dynCl-mid": partial(torord, "mid", dynamic_chloride=True),
    "trovato-2020": Trovato2020,
}

__all__ = [
    "ACCURATE",
    "DEFAULT",
    "HUMAN_VENTRICLE",
    "MODELS",
    "NET",
    "About",
    "AbstractActiveTension",
    "AbstractCell",
    "AbstractScheme",
    "AlievPanfilov1996",
    "Binding",
    "Block",
    "BuenoOrovio2008",
    "Calibration",
    "CellSimulator",
    "CipaV1",
    "ClampRecord",
    "Courtemanche1998",
    "Drug",
    "Fabbri2017",
    "FentonKarma1998",
    "ForwardEuler",
    "Gate",
    "GeneralisedRushLarsen",
    "GeneralisedRushLarsen2",
    "Grandi2010",
    "Grid",
    "Land2017",
    "LuoRudy1991",
    "MitchellSchaeffer2003",
    "Near",
    "Noble1962",
    "OHaraRudy2011",
    "Pacing",
    "Population",
    "Range",
    "Restitution",
    "RushLarsen",
    "RushLarsen2",
    "Setting",
    "Spontaneous",
    "SteadyPacing",
    "Stewart2009",
    "TenTusscherPanfilov2006",
    "ToRORd",
    "Trovato2020",
    "beat_grid",
    "biomarkers",
    "bueno_orovio_2008_endo",
    "bueno_orovio_2008_epi",
    "bueno_orovio_2008_m",
    "calcium",
    "calibrate_population",
    "contract",
    "cycle_length",
    "dynamic_restitution",
    "even_grid",
    "female",
    "fenton_karma_1998",
    "gate",
    "grandi_2010_endo",
    "grandi_2010_epi",
    "join",
    "multipliers",
    "near_orbit",
    "net_current",
    "ohara_rudy_2011_epi",
    "ohara_rudy_2011_m",
    "pace",
    "padded",
    "periodic",
    "s1_s2_restitution",
    "sample_scales",
    "scaled",
    "simulate_population",
    "spontaneous",
    "steady_pacing",
    "stewart_2009_spontaneous",
    "tentusscher_panfilov_2006_endo",
    "tentusscher_panfilov_2006_m",
    "torord",
    "voltage_clamp",
    "with_drug",
]
