"""Finite elements: linear tetrahedra and trilinear hexahedra, operators in padded rows, solves."""

from twinjax.fem._neumann import solve_neumann
from twinjax.fem._p1 import P1, gradients
from twinjax.fem._q1 import Q1
from twinjax.fem._rows import PaddedRows, Pattern
from twinjax.fem._solve import solve_dirichlet, solve_symmetric

__all__ = [
    "P1",
    "Q1",
    "PaddedRows",
    "Pattern",
    "gradients",
    "solve_dirichlet",
    "solve_neumann",
    "solve_symmetric",
]
