"""The block of `mechanics_speed` by JAX-FEM, with SciPy's SuperLU.

    python _jaxfem_block.py MESH.npz RESULT.json

The first of two solves compiles.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax_fem import solver as jax_fem_solver
from jax_fem.generate_mesh import Mesh
from jax_fem.problem import Problem

jax.config.update("jax_enable_x64", True)


def _main() -> None:
    given = np.load(sys.argv[1])
    c_1, bulk, pull = float(given["c_1"]), float(given["bulk"]), jnp.asarray(given["pull"])

    class Block(Problem):
        def get_tensor_map(self) -> Callable[[Any], Any]:
            def density(f: Any) -> Any:
                j = jnp.linalg.det(f)
                first = j ** (-2 / 3) * jnp.sum(f**2)
                return c_1 * (first - 3) + bulk / 2 * (j - 1) ** 2

            return lambda h: jax.grad(density)(h + jnp.eye(3))

        def get_mass_map(self) -> Callable[[Any, Any], Any]:
            return lambda u, x: -pull

    points, cells = given["points"], given["cells"]
    held = [[lambda x: jnp.isclose(x[0], 0.0)] * 3, [0, 1, 2], [lambda x: 0.0] * 3]
    problem = Block(Mesh(points, cells), vec=3, dim=3, ele_type="TET10", dirichlet_bc_info=held)
    steps = 0
    plain = jax_fem_solver.linear_incremental_solver

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        return plain(*args, **options)

    jax_fem_solver.linear_incremental_solver = counted
    options = {"umfpack_solver": {}, "rel_tol": 1e-8, "tol": 1e-30}
    taken = []
    for _ in range(2):
        steps = 0
        begun = time.perf_counter()
        found = jax_fem_solver.solver(problem, options)[0]
        jax.block_until_ready(found)
        taken.append(time.perf_counter() - begun)
    end = np.asarray(found)[np.isclose(points[:, 0], points[:, 0].max()), 2]
    result = {"first": taken[0] - taken[1], "seconds": taken[1], "steps": steps}
    with open(sys.argv[2], "w") as file:
        json.dump(result | {"end": float(end.mean()), "phases": {}}, file)


if __name__ == "__main__":
    _main()
