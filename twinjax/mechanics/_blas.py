"""Dense factors and products in place, on parts of matrices: the BLAS and LAPACK that SciPy has.

SciPy's own functions copy what is not a whole array, and let no other thread run meanwhile.
Matrices here are row by row, each row without gaps. BLAS, which has them column by column, sees
the transposes.
"""

import ctypes
import functools
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cython_blas, cython_lapack

_KINDS = {"float32": "s", "float64": "d"}


def cholesky(a: Float[np.ndarray, "n n"]) -> bool:
    """Writes L of A = L Lᵀ over the lower triangle; whether A is definite."""
    failed = ctypes.c_int(0)
    _routine("potrf", a)(b"U", _int(len(a)), _at(a), _row(a), ctypes.byref(failed))
    return not failed.value


def lower_solve(
    low: Float[np.ndarray, "n n"], rows: Float[np.ndarray, "m n"], *, transpose: bool = False
) -> None:
    """Writes L⁻¹ r, or L⁻ᵀ r, over each row r."""
    count, size = rows.shape
    one, trans = _number(1.0, rows), b"N" if transpose else b"T"
    _routine("trsm", rows)(
        *(b"L", b"U", trans, b"N", _int(size), _int(count), one),
        *(_at(low), _row(low), _at(rows), _row(rows)),
    )


def lu(a: Float[np.ndarray, "n n"]) -> Int[np.ndarray, " n"] | None:
    """Writes factors of Aᵀ over A; the interchanges, or None where A is singular."""
    swaps, failed = np.zeros(len(a), np.intc), ctypes.c_int(0)
    size = _int(len(a))
    _routine("getrf", a)(size, size, _at(a), _row(a), _at(swaps), ctypes.byref(failed))
    return None if failed.value else swaps


def lu_solve(
    factors: Float[np.ndarray, "n n"],
    swaps: Int[np.ndarray, " n"],
    rows: Float[np.ndarray, "m n"],
    *,
    transpose: bool = False,
) -> None:
    """Writes A⁻¹ r, or A⁻ᵀ r if `transpose`, over each row r."""
    count, size = rows.shape
    _routine("getrs", rows)(
        *(b"N" if transpose else b"T", _int(size), _int(count), _at(factors), _row(factors)),
        *(_at(swaps), _at(rows), _row(rows), ctypes.byref(ctypes.c_int(0))),
    )


def subtract_product(
    c: Float[np.ndarray, "m k"],
    b: Float[np.ndarray, "k n"] | Float[np.ndarray, "n k"],
    d: Float[np.ndarray, "m n"],
    *,
    transpose: bool = False,
) -> None:
    """D - C B over D, or D - C Bᵀ."""
    (m, n), k = d.shape, c.shape[1]
    _routine("gemm", d)(
        *(b"T" if transpose else b"N", b"N", _int(n), _int(m), _int(k), _number(-1.0, d)),
        *(_at(b), _row(b), _at(c), _row(c), _number(1.0, d), _at(d), _row(d)),
    )


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _row(array: np.ndarray) -> Any:
    """From one row to the next; of a single row NumPy may say anything."""
    return _int(max(array.strides[0] // array.itemsize, array.shape[1], 1))


def _int(value: int) -> Any:
    return ctypes.byref(ctypes.c_int(value))


def _number(value: float, like: np.ndarray) -> Any:
    kind = ctypes.c_float if like.dtype == np.float32 else ctypes.c_double
    return ctypes.byref(kind(value))


def _routine(name: str, like: np.ndarray) -> Any:
    return _found(_KINDS[like.dtype.name] + name)


@functools.cache
def _found(name: str) -> Any:
    """By the addresses that SciPy publishes for compiled code."""
    library: Any = cython_blas if name[1:] in ("gemm", "trsm") else cython_lapack
    capsule = library.__pyx_capi__[name]
    interface = ctypes.pythonapi
    interface.PyCapsule_GetName.restype = ctypes.c_char_p
    interface.PyCapsule_GetName.argtypes = [ctypes.py_object]
    interface.PyCapsule_GetPointer.restype = ctypes.c_void_p
    interface.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = interface.PyCapsule_GetPointer(capsule, interface.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None)(address)
