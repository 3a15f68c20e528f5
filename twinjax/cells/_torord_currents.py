"""Channels of the ToR-ORd models: gates, and currents that need more than one line.

Tomek et al. 2019, eLife 8:e48890, appendix. Potentials in mV, time constants in ms, concentrations
in mM; u = V F / (R T).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from twinjax.cells._cell import Gate, gate
from twinjax.cells._functions import boltzmann, linoid
from twinjax.cells._markov import Occupancy, markov

# Debye-Hückel constant of water at 37 °C, dielectric constant 74.
_A = 1.82e6 * (74.0 * 310.0) ** -1.5


class Driving(NamedTuple):
    """The two factors of the Goldman-Hodgkin-Katz flux, which many ions share at one potential."""

    outwards: Any
    inwards: Any

    @staticmethod
    def at(u: Any) -> "Driving":
        return Driving(linoid(-u), linoid(u))

    def flux(self, inside: Any, outside: Any) -> Any:
        """u (inside eᵘ - outside) / (eᵘ - 1)."""
        return self.outwards * inside - self.inwards * outside


def activity(sodium: Any, potassium: Any, chloride: Any, calcium: Any) -> Any:
    """Activity coefficient of a monovalent ion (Davies 1962); that of calcium is its 4th power."""
    strength = 0.5e-3 * (sodium + potassium + chloride + 4 * calcium)  # [M]
    root = jnp.sqrt(strength)
    return jnp.exp(-_A * (root / (1 + root) - 0.3 * strength))


def sodium_gates(v: Any) -> dict[str, Gate]:
    """INa after Grandi et al. 2010, INaL after O'Hara et al. 2011; p: phosphorylated."""
    opening = 0.1292 * jnp.exp(-(((v + 45.79) / 15.54) ** 2))
    opening = opening + 0.06487 * jnp.exp(-(((v - 4.823) / 51.12) ** 2))
    resting = v < -40  # the rates of h and j change form there
    # Exponents of the branch that is not taken are kept from overflowing.
    low, high = jnp.minimum(v, -40.0), jnp.maximum(v, -40.0)
    h_rate = jnp.where(
        resting,
        0.057 * jnp.exp(-(low + 80) / 6.8)
        + 2.7 * jnp.exp(0.079 * low)
        + 3.1e5 * jnp.exp(0.3485 * low),
        0.77 / (0.13 * (1 + jnp.exp(-(high + 10.66) / 11.1))),
    )
    j_rate = jnp.where(
        resting,
        (-2.5428e4 * jnp.exp(0.2444 * low) - 6.948e-6 * jnp.exp(-0.04391 * low))
        * (low + 37.78)
        / (1 + jnp.exp(0.311 * (low + 79.23)))
        + 0.02424 * jnp.exp(-0.01052 * low) / (1 + jnp.exp(-0.1378 * (low + 40.14))),
        0.6 * jnp.exp(0.057 * high) / (1 + jnp.exp(-0.1 * (high + 32))),
    )
    available = boltzmann(v, -71.55, 7.43) ** 2
    return {
        "m": Gate(boltzmann(v, -56.86, -9.03) ** 2, opening),
        "h": Gate(available, 1 / h_rate),
        "j": Gate(available, 1 / j_rate),
        "hp": Gate(boltzmann(v, -77.55, 7.43) ** 2, 1 / h_rate),
        "jp": Gate(available, 1.46 / j_rate),
        "ml": Gate(boltzmann(v, -42.85, -5.264), opening),
        "hl": Gate(boltzmann(v, -87.61, 7.488), 200.0),
        "hlp": Gate(boltzmann(v, -93.81, 7.488), 600.0),
    }


def transient_outward_gates(v: Any, quickening: Any) -> dict[str, Gate]:
    """Ito of O'Hara et al. 2011; inactivation is up to 1 / (1 - quickening) times as fast."""
    tau = 1.0515 / (boltzmann(v, 18.4099, -29.3814) / 1.2089 + 3.5 * boltzmann(v, -100.0, 29.3814))
    kind = 1 - quickening * boltzmann(v, -70.0, 5.0)
    fast = kind * (
        4.562 + 1 / (0.3933 * jnp.exp(-(v + 100) / 100) + 0.08004 * jnp.exp((v + 50) / 16.59))
    )
    slow = kind * (
        23.62
        + 1 / (0.001416 * jnp.exp(-(v + 96.52) / 59.05) + 1.78e-8 * jnp.exp((v + 114.1) / 8.079))
    )
    # The second exponent passes 600 at -120 mV, where its reciprocal has long been nothing.
    steep = jnp.exp(jnp.minimum((12.23 - v) / 0.2154, 80.0))
    develop = 1.354 + 1e-4 / (jnp.exp((v - 167.4) / 15.89) + steep)
    slower = develop * (1 - 0.5 * boltzmann(v, -70.0, 20.0))
    inactive = boltzmann(v, -43.94, 5.711)
    return {
        "a": Gate(boltzmann(v, 14.34, -14.82), tau),
        "i_f": Gate(inactive, fast),
        "i_s": Gate(inactive, slow),
        "ap": Gate(boltzmann(v, 24.34, -14.82), tau),
        "i_fp": Gate(inactive, slower * fast),
        "i_sp": Gate(inactive, slower * slow),
    }


def calcium_gates(v: Any, jca: Any, cass: Any, cai: Any, tau_jca: Any) -> dict[str, Gate]:
    """ICaL: voltage (f) and calcium (fca, jca, nca) inactivation, fast and slow."""
    # The paper switches to 1 at 31.4978 mV, 0.07 mV before its curve gets there: a step of 4e-4
    # that no derivative sees, though a peak that grazes it feels it. The smaller is continuous.
    steady = jnp.minimum(1.0763 * jnp.exp(-1.007 * jnp.exp(-0.0829 * v)), 1.0)
    fast = 7 + 1 / (0.0045 * (jnp.exp(-(v + 20) / 10) + jnp.exp((v + 20) / 10)))
    slow = 1000 + 1 / (3.5e-5 * (jnp.exp(-(v + 5) / 4) + jnp.exp((v + 5) / 6)))
    fast_ca = 7 + 1 / (0.04 * (jnp.exp(-(v - 4) / 7) + jnp.exp((v - 4) / 7)))
    slow_ca = 100 + 1 / (0.00012 * (jnp.exp(-v / 3) + jnp.exp(v / 7)))
    inactive = boltzmann(v, -19.58, 3.696)

    def calmodulin(calcium: Any) -> Gate:
        # d nca/dt = k a - jca nca, a = 1 / (k / jca + (1 + 2 µM / Ca)⁴), k = 500/ms.
        return Gate(500 / (500 + jca * (1 + 0.002 / calcium) ** 4), 1 / jca)

    return {
        "d": Gate(steady, 0.6 + 1 / (jnp.exp(-0.05 * (v + 6)) + jnp.exp(0.09 * (v + 14)))),
        "ff": Gate(inactive, fast),
        "fs": Gate(inactive, slow),
        "fcaf": Gate(inactive, fast_ca),
        "fcas": Gate(inactive, slow_ca),
        "jca": Gate(boltzmann(v, -18.08, 2.7916), tau_jca),
        "ffp": Gate(inactive, 2.5 * fast),
        "fcafp": Gate(inactive, 2.5 * fast_ca),
        "nca_ss": calmodulin(cass),
        "nca_i": calmodulin(cai),
    }


def calcium_open(s: Any, phosphorylated: Any) -> tuple[Any, Any]:
    """Open fractions of ICaL in the subspace and beside the cytosol, times permeability."""
    share = 0.3 + 0.6 * boltzmann(s.v, 10.0, 10.0)
    f, fp = 0.6 * s.ff + 0.4 * s.fs, 0.6 * s.ffp + 0.4 * s.fs
    fca = s.jca * (share * s.fcaf + (1 - share) * s.fcas)
    fcap = s.jca * (share * s.fcafp + (1 - share) * s.fcas)
    plain, more = (1 - phosphorylated) * s.d, 1.1 * phosphorylated * s.d

    def fraction(nca: Any) -> Any:
        return plain * (f * (1 - nca) + fca * nca) + more * (fp * (1 - nca) + fcap * nca)

    return 0.8 * fraction(s.nca_ss), 0.2 * fraction(s.nca_i)


def rapid_rectifier(u: Any, s: Any) -> dict[str, Occupancy]:
    """IKr after Lu et al. 2001: C3 - C2 - C1 - O - I, and C1 - I directly.

    The rate from I to C1 follows from microscopic reversibility of the loop C1 - O - I.
    """
    c1_o, o_c1 = 0.0578 * jnp.exp(0.971 * u), 0.349e-3 * jnp.exp(-1.062 * u)
    o_i, i_o = 0.2533 * jnp.exp(0.5953 * u), 1.25 * 0.0522 * jnp.exp(-0.8209 * u)
    c1_i = 0.52e-4 * jnp.exp(1.525 * u)
    transitions = {
        ("kr_c3", "kr_c2"): 0.1161 * jnp.exp(0.299 * u),
        ("kr_c2", "kr_c3"): 0.2442 * jnp.exp(-1.604 * u),
        ("kr_c2", "kr_c1"): 1.25 * 0.1235,
        ("kr_c1", "kr_c2"): 0.1911,
        ("kr_c1", "kr_o"): c1_o,
        ("kr_o", "kr_c1"): o_c1,
        ("kr_o", "kr_i"): o_i,
        ("kr_i", "kr_o"): i_o,
        ("kr_c1", "kr_i"): c1_i,
        ("kr_i", "kr_c1"): o_c1 * i_o * c1_i / (c1_o * o_i),
    }
    return markov(s, transitions)


def slow_rectifier_gates(v: Any) -> dict[str, Gate]:
    """IKs of O'Hara et al. 2011."""
    steady = boltzmann(v, -11.6, -8.932)
    first = 2.326e-4 * jnp.exp((v + 48.28) / 17.8) + 0.001292 * jnp.exp(-(v + 210) / 230)
    second = 0.01 * jnp.exp((v - 50) / 20) + 0.0193 * jnp.exp(-(v + 66.54) / 31)
    return {"xs1": Gate(steady, 817.3 + 1 / first), "xs2": Gate(steady, 1 / second)}


def inward_rectifier(x: Any) -> Any:
    """The open fraction of IK1 at x = V - E_K."""
    a = 4.094 * boltzmann(x, 49.934, 1 / 0.1217)
    b = 15.72 * jnp.exp(0.0674 * (x - 3.257)) + jnp.exp(0.0618 * (x - 594.31))
    return gate(a, b * boltzmann(x, -14.207, -1 / 0.1629)).steady
