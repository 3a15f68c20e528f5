"""Finite-strain mechanics of the heart's wall: elements, energies, loads, equilibria."""

from twinjax.mechanics._axes import at_points
from twinjax.mechanics._carry import carried
from twinjax.mechanics._deform import deform
from twinjax.mechanics._elements import Quadratic
from twinjax.mechanics._ellipsoid import Ellipsoid
from twinjax.mechanics._energy import AbstractEnergy, Strain
from twinjax.mechanics._filled import Inflated
from twinjax.mechanics._guccione import Guccione
from twinjax.mechanics._holzapfel_ogden import HolzapfelOgden
from twinjax.mechanics._inflate import inflate
from twinjax.mechanics._mooney_rivlin import MooneyRivlin
from twinjax.mechanics._move import Moving, move
from twinjax.mechanics._segment_strain import WallStrain, fibre_stretch, segment_strain, strain
from twinjax.mechanics._springs import Springs
from twinjax.mechanics._stored import stored_energy
from twinjax.mechanics._unload import Unloaded, unload
from twinjax.mechanics._usyk import Usyk
from twinjax.mechanics._volume import AbstractVolumeLaw, LogarithmicVolume, QuadraticVolume
from twinjax.mechanics._wall import (
    AbstractContraction,
    Contraction,
    Deformation,
    Load,
    Motion,
    Wall,
)

__all__ = [
    "AbstractContraction",
    "AbstractEnergy",
    "AbstractVolumeLaw",
    "Contraction",
    "Deformation",
    "Ellipsoid",
    "Guccione",
    "HolzapfelOgden",
    "Inflated",
    "Load",
    "LogarithmicVolume",
    "MooneyRivlin",
    "Motion",
    "Moving",
    "Quadratic",
    "QuadraticVolume",
    "Springs",
    "Strain",
    "Unloaded",
    "Usyk",
    "Wall",
    "WallStrain",
    "at_points",
    "carried",
    "deform",
    "fibre_stretch",
    "inflate",
    "move",
    "segment_strain",
    "stored_energy",
    "strain",
    "unload",
]
