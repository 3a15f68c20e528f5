"""The block of `mechanics_speed` by scikit-fem and SciPy's SuperLU.

python _skfem_block.py MESH.npz RESULT.json
"""

import json
import sys
import time
from typing import Any

import numpy as np
from skfem import Basis, BilinearForm, ElementTetP2, ElementVector, LinearForm, MeshTet, condense
from skfem import solve as solve_linear
from skfem.helpers import det, grad, inv, transpose


def _laws(c_1: float, bulk: float, slope: Any) -> tuple[Any, Any]:
    """First Piola-Kirchhoff stress (3, 3, cell, q) and its derivative (3, 3, 3, 3, cell, q)."""
    eye = np.eye(3)
    f = eye[:, :, None, None] + slope
    g, j = transpose(inv(f)), det(f)
    first, share = np.einsum("ij...,ij...", f, f), 2 * c_1 * j ** (-2 / 3)
    stress = share * (f - first / 3 * g) + bulk * (j - 1) * j * g
    gg = np.einsum("ij...,kl...->ijkl...", g, g)
    back = np.einsum("il...,kj...->ijkl...", g, g)
    fg = np.einsum("ij...,kl...->ijkl...", f, g)
    same = np.einsum("ik,jl->ijkl", eye, eye)[..., None, None]
    turned = np.einsum("ijkl...->klij...", fg)
    isochoric = same - 2 / 3 * (fg + turned) + 2 / 9 * first * gg + first / 3 * back
    return stress, share * isochoric + bulk * j * ((2 * j - 1) * gg - (j - 1) * back)


def _main() -> None:
    given = np.load(sys.argv[1])
    c_1, bulk, pull = float(given["c_1"]), float(given["bulk"]), given["pull"]

    @LinearForm
    def out_of_balance(v: Any, w: Any) -> Any:
        work = np.einsum("ij...,ij...", w["stress"], grad(v))
        return work - np.einsum("i,i...->...", pull, v)

    @BilinearForm
    def stiffness(u: Any, v: Any, w: Any) -> Any:
        return np.einsum("ijkl...,kl...,ij...", w["tangent"], grad(u), grad(v))

    mesh = MeshTet(given["corners"].T.copy(), given["cells"][:, :4].T.copy().astype(np.int64))
    basis = Basis(mesh, ElementVector(ElementTetP2()), intorder=4)
    held = basis.get_dofs(lambda x: np.isclose(x[0], 0.0)).all()
    end = basis.get_dofs(lambda x: np.isclose(x[0], mesh.p[0].max())).all("u^3")

    def solved() -> dict[str, Any]:
        phases = {"assembly": 0.0, "solve": 0.0}
        u, first, steps = np.zeros(basis.N), None, 0
        begun = time.perf_counter()
        while True:
            start = time.perf_counter()
            stress, tangent = _laws(c_1, bulk, basis.interpolate(u).grad)
            left = out_of_balance.assemble(basis, stress=stress)
            left[held] = 0
            size = np.linalg.norm(left)
            first = size if first is None else first
            if size <= 1e-8 * first:
                break
            matrix = stiffness.assemble(basis, tangent=tangent)
            middle = time.perf_counter()
            u = u - solve_linear(*condense(matrix, left, D=held, x=np.zeros(basis.N)))
            phases["assembly"] += middle - start
            phases["solve"] += time.perf_counter() - middle
            steps += 1
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "steps": steps, "end": float(u[end].mean()), "phases": phases}

    with open(sys.argv[2], "w") as file:
        json.dump({"first": 0.0} | solved(), file)


if __name__ == "__main__":
    _main()
