"""Both ventricles of a person in the closed loop, in coordinates z of broad priors."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.geometry import Mesh
from twinjax.heart import CalciumTransient, ClosedLoop, HeartState, WholeHeart
from twinjax.mechanics import Load, unload
from twinjax.units import factor

from ._biventricle import wall_of
from ._cine_lumped import CHAMBERS
from ._ventricle import sarcomeres

# Chosen: tension by which a wall that is thinner beside its cavity than the experiments' ventricle
# bears the same pressure, and the right ventricle's, of that; a stiffness, and the modulus with
# which cells of a coarse mesh, one through the wall, do not fold [kPa].
TENSION, RIGHT = 1.5, 0.5
STIFFNESS, LOCAL = 0.6, 300.0
ACTIVATED = 0.0  # ms
# SDs of logarithms, but of the activation [ms]: priors, broad and assumed.
FREE = {
    "tension": 0.5,
    "right tension": 0.4,
    "ca50": 0.2,
    "calcium duration": 0.2,
    "crossbridge speed": 0.4,
    "troponin speed": 0.4,
    "distortion": 0.4,
    "stiffness": 0.4,
    "activation": 15.0,
    "systemic_arteries.resistance": 0.3,
    "systemic_arteries.compliance": 0.3,
    "pulmonary_arteries.resistance": 0.5,
    "stressed_volume": 0.15,
    "atrial elastances": 0.35,
}
NAMES = tuple(FREE)
SPEEDS = ("k_u", "k_uw", "k_ws")  # of the sarcomere, which one factor scales
ATRIA = tuple(
    f"{side}_atrium.{kind}_elastance"
    for side in ("left", "right")
    for kind in ("active", "passive")
)


class CineHeart(eqx.Module):
    """The heart at the priors' centre, and how z moves it."""

    heart: WholeHeart
    right: Float[Array, "cell 1"]  # 1 in the right ventricle's free wall
    sds: Float[Array, " n"]

    def __init__(
        self,
        mesh: Mesh,
        loop: ClosedLoop,
        calcium: CalciumTransient,
        pressures: Float[np.ndarray, "2"],
    ):
        """`pressures` [mmHg] in both ventricles as imaged: the shape at rest is without them."""
        image = wall_of(mesh, STIFFNESS, LOCAL)
        rest = unload(image, Load(factor("mmHg", "kPa") * pressures)).state.wall
        self.right = jnp.asarray(mesh.regions == 2, float)[:, None]
        self.sds = jnp.array(list(FREE.values()))
        self.heart = WholeHeart(
            wall=rest,
            tension=sarcomeres(),
            calcium=calcium,
            activation=ACTIVATED,
            circulation=loop,
            chambers=CHAMBERS,
        )

    def __call__(self, z: Float[Array, " n"]) -> WholeHeart:
        """The heart of z (n)."""
        heart: Any = self.heart  # of Land's tension, a transient and Guccione's law
        by = dict(zip(NAMES, self.sds * z, strict=True))
        grown = {name: jnp.exp(value) for name, value in by.items()}
        t_ref = heart.tension.t_ref * TENSION * grown["tension"]
        t_ref = t_ref * (1 + self.right * (RIGHT * grown["right tension"] - 1))
        speed = grown["crossbridge speed"]
        lasts = grown["calcium duration"]
        loops = [name for name in NAMES if "." in name or name == "stressed_volume"]

        def leaves(h: Any) -> list[Any]:
            parts = [_leaf(h.circulation, name) for name in loops]
            speeds = [getattr(h.tension, name) for name in SPEEDS]
            moved = [h.tension.t_ref, h.tension.ca50, h.calcium.times]
            parts += [_leaf(h.circulation, name) for name in ATRIA]
            return [
                *parts,
                *speeds,
                h.tension.k_trpn,
                h.tension.a_total,
                *moved,
                h.wall.energy.stiffness,
                h.activation,
            ]

        values = [_leaf(heart.circulation, name) * grown[name] for name in loops]
        values += [_leaf(heart.circulation, name) * grown["atrial elastances"] for name in ATRIA]
        values += [getattr(heart.tension, name) * speed for name in SPEEDS]
        values += [heart.tension.k_trpn * grown["troponin speed"]]
        values += [heart.tension.a_total * grown["distortion"]]
        values += [t_ref, heart.tension.ca50 * grown["ca50"], heart.calcium.times * lasts]
        values += [heart.wall.energy.stiffness * grown["stiffness"]]
        values += [heart.activation + by["activation"]]
        return eqx.tree_at(leaves, heart, values)


def _leaf(loop: ClosedLoop, path: str) -> Any:
    leaf: Any = loop
    for name in path.split("."):
        leaf = getattr(leaf, name)
    return leaf


def goes_on(
    make: CineHeart, z: Array, state: HeartState, moves: HeartState | None
) -> tuple[HeartState, HeartState | None]:
    """The next beat's start from the end of one, with the blood of z, and its derivatives."""

    def begun(z: Array, state: HeartState) -> HeartState:
        blood = make(z).circulation.restore(state.circulation)
        state = eqx.tree_at(lambda s: s.circulation, state, blood)
        return eqx.tree_at(lambda s: s.time, state, jnp.zeros(()))

    start = begun(z, state)
    if moves is None:
        moves = jax.tree.map(lambda x: jnp.zeros((len(z), *jnp.shape(x))), state)
    along = jnp.eye(len(z))

    def one(a: Array, m: HeartState) -> HeartState:
        return jax.jvp(begun, (z, state), (a, m))[1]

    return start, jax.vmap(one)(along, moves)
