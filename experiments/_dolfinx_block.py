"""The block of `mechanics_speed` by FEniCSx (dolfinx), with PETSc's Newton steps and MUMPS.

python _dolfinx_block.py MESH.npz RESULT.json
"""

import json
import sys
import time

import numpy as np
import ufl
from dolfinx import fem, log, mesh, nls
from dolfinx.fem import petsc
from mpi4py import MPI
from petsc4py import PETSc


def _main() -> None:
    log.set_log_level(log.LogLevel.ERROR)
    given = np.load(sys.argv[1])
    c_1, bulk, pull = float(given["c_1"]), float(given["bulk"]), given["pull"]
    shape = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.tetrahedron, 1))
    domain = mesh.create_mesh(MPI.COMM_WORLD, given["cells"][:, :4], given["corners"], shape)
    space = fem.VectorFunctionSpace(domain, ("CG", 2))
    u, v = fem.Function(space), ufl.TestFunction(space)
    held = fem.locate_dofs_geometrical(space, lambda x: np.isclose(x[0], 0.0))
    fixed = fem.dirichletbc(np.zeros(3), held, space)
    f = ufl.Identity(3) + ufl.grad(u)
    j = ufl.det(f)
    density = c_1 * (j ** (-2 / 3) * ufl.tr(f.T * f) - 3) + bulk / 2 * (j - 1) ** 2
    energy = density - ufl.dot(fem.Constant(domain, PETSc.ScalarType(tuple(pull))), u)
    balance = ufl.derivative(energy * ufl.dx(metadata={"quadrature_degree": 4}), u, v)
    begun = time.perf_counter()
    solver = nls.petsc.NewtonSolver(domain.comm, petsc.NonlinearProblem(balance, u, [fixed]))
    first = time.perf_counter() - begun
    solver.rtol, solver.atol = 1e-8, 1e-30
    solver.convergence_criterion = "residual"
    options, krylov = PETSc.Options(), solver.krylov_solver
    prefix = krylov.getOptionsPrefix()
    options[f"{prefix}ksp_type"] = "preonly"
    options[f"{prefix}pc_type"] = "lu"
    options[f"{prefix}pc_factor_mat_solver_type"] = "mumps"
    krylov.setFromOptions()
    begun = time.perf_counter()
    steps, _ = solver.solve(u)
    seconds = time.perf_counter() - begun
    x = space.tabulate_dof_coordinates()
    end = u.x.array.reshape(-1, 3)[np.isclose(x[:, 0], x[:, 0].max()), 2]
    result = {"first": first, "seconds": seconds, "steps": steps, "end": float(end.mean())}
    with open(sys.argv[2], "w") as file:
        json.dump(result | {"phases": {}}, file)


if __name__ == "__main__":
    _main()
