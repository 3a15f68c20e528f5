"""Finite elements: linear tetrahedra, operators in padded rows, and Laplace's equation."""

from twinjax.fem._neumann import solve_neumann
from twinjax.fem._p1 import P1, gradients
from twinjax.fem._rows import PaddedRows, Pattern
from twinjax.fem._solve import solve_dirichlet

__all__ = [
    "P1",
    "PaddedRows",
    "Pattern",
    "gradients",
    "solve_dirichlet",
    "solve_neumann",
]
