"""Balls of tetrahedra, and the exact lead fields of homogeneous and of two concentric spheres."""

import numpy as np

from twinjax.geometry import Mesh, divided

__all__ = ["ball", "homogeneous_field", "refined", "two_sphere_gradient"]

_GOLDEN = (1 + 5**0.5) / 2


def ball(refinements: int, radius: float = 1.0) -> Mesh:
    """A ball of 20 · 8^refinements tetrahedra, with nodes on 2^refinements equal shells."""
    corners = np.array(
        [(0, s, t * _GOLDEN) for s in (-1, 1) for t in (-1, 1)]
        + [(s, t * _GOLDEN, 0) for s in (-1, 1) for t in (-1, 1)]
        + [(t * _GOLDEN, 0, s) for s in (-1, 1) for t in (-1, 1)]
    )
    far = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    near = (far > 0) & (far < 2.1)
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    points = np.concatenate([np.zeros((1, 3)), corners])
    # The gauge of the icosahedron: 0 in the middle, 1 on the surface, linear in every tetrahedron.
    gauge = np.concatenate([[0.0], np.ones(12)])
    cells = np.array([(0, i + 1, j + 1, k + 1) for i, j, k in faces])
    for _ in range(refinements):
        points, gauge, cells = refined(points, gauge, cells)
    length = np.linalg.norm(points, axis=1)
    points = points * (radius * gauge / np.where(length > 0, length, 1.0))[:, None]
    return Mesh(points, _upright(points, cells))


def refined(
    points: np.ndarray, field: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points and cells of the divided mesh, and a field of nodes interpolated linearly."""
    fine, ends = divided(Mesh(points, cells))
    return np.asarray(fine.points), np.concatenate([field, field[ends].mean(axis=1)]), fine.cells


def _upright(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The same cells, two nodes swapped where the volume was negative."""
    a, b, c, d = np.moveaxis(points[cells], 1, 0)
    inverted = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) < 0
    return np.where(inverted[:, None], cells[:, [1, 0, 2, 3]], cells)


def homogeneous_field(
    places: np.ndarray, electrode: np.ndarray, sigma: float, radius: float
) -> np.ndarray:
    """The potential [kΩ] of a current of 1 µA into a point of the surface of a ball [mm, S/m].

    The current leaves evenly through the whole surface. With d the distance from the electrode e,
    Z = (2 / d + ln(2 R² / (R² - r·e + R d)) / R) / (4π σ), up to a constant: Neumann's function of
    the ball, the reciprocal of Frank's potential of a dipole (1952, J Appl Phys 23:1225).
    """
    d = np.linalg.norm(places - electrode, axis=-1)
    logarithm = np.log(2 * radius**2 / (radius**2 - places @ electrode + radius * d))
    return (2 / d + logarithm / radius) / (4 * np.pi * sigma)


def two_sphere_gradient(
    places: np.ndarray,
    electrode: np.ndarray,
    inside: float,
    outside: float,
    inner: float,
    radius: float,
    terms: int = 200,
) -> np.ndarray:
    """∇Z [kΩ/mm] within the inner of two concentric spheres of conductivities [S/m].

    Z = Σ aₙ rⁿ Pₙ(cos γ), where with k = inside / outside, q = (a/R)^(2n+1)

        aₙ = (2n+1)² / (4π outside n R^(n+1) (n k + n + 1 + (n+1) (k - 1) q)) :

    the solution of Laplace's equation with a point current and a uniform sink at R, a potential
    and a normal current that are continuous at a (as in Rush and Driscoll 1969, IEEE Trans
    Biomed Eng 16:15).
    """
    e = electrode / np.linalg.norm(electrode)
    r = np.linalg.norm(places, axis=-1)
    x = places @ e / r
    k = inside / outside
    gradient = np.zeros_like(places)
    before, legendre = np.ones_like(x), x
    derivative = np.ones_like(x)  # of P_1
    for n in range(1, terms + 1):
        q = (inner / radius) ** (2 * n + 1)
        factor = (2 * n + 1) ** 2 / (
            4 * np.pi * outside * n * radius * (n * k + n + 1 - (n + 1) * (1 - k) * q)
        )
        power = (r / radius) ** n / r
        along = n * legendre[..., None] * places / r[..., None]
        across = derivative[..., None] * (e - x[..., None] * places / r[..., None])
        gradient += (factor * power)[..., None] * (along + across)
        after = ((2 * n + 1) * x * legendre - n * before) / (n + 1)
        derivative = x * derivative + (n + 1) * legendre
        before, legendre = legendre, after
    return gradient
