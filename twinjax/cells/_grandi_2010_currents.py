"""Gates and currents of Grandi, Pasqualini and Bers 2010, as functions of the potential."""

from typing import Any

import jax.numpy as jnp

from twinjax.cells._cell import Gate
from twinjax.cells._functions import boltzmann, linoid

FARADAY = 96485.0  # [C/mol]
RTF = 8314.0 * 310.0 / FARADAY  # [mV], at 37 °C


def sodium_gates(v: Any) -> dict[str, Gate]:
    """m, h and j; the time constants of h and j change form at -40 mV."""
    resting = v < -40
    # Exponents of the branch that is not taken are kept from overflowing.
    low, high = jnp.minimum(v, -40.0), jnp.maximum(v, -40.0)
    h_rate = jnp.where(
        resting,
        0.057 * jnp.exp(-(low + 80) / 6.8)
        + 2.7 * jnp.exp(0.079 * low)
        + 3.1e5 * jnp.exp(0.3485 * low),
        0.77 / 0.13 * boltzmann(high, -10.66, -11.1),
    )
    j_rate = jnp.where(
        resting,
        (-2.5428e4 * jnp.exp(0.2444 * low) - 6.948e-6 * jnp.exp(-0.04391 * low))
        * (low + 37.78)
        / (1 + jnp.exp(0.311 * (low + 79.23)))
        + 0.02424 * jnp.exp(-0.01052 * low) / (1 + jnp.exp(-0.1378 * (low + 40.14))),
        0.6 * jnp.exp(0.057 * high) * boltzmann(high, -32.0, -10.0),
    )
    tau_m = 0.1292 * jnp.exp(-(((v + 45.79) / 15.54) ** 2)) + 0.06487 * jnp.exp(
        -(((v - 4.823) / 51.12) ** 2)
    )
    available = boltzmann(v, -71.55, 7.43) ** 2
    return {
        "m": Gate(boltzmann(v, -56.86, -9.03) ** 2, tau_m),
        "h": Gate(available, 1 / h_rate),
        "j": Gate(available, 1 / j_rate),
    }


def potassium_gates(v: Any) -> dict[str, Gate]:
    """Of IKr, IKs and the slow (s) and fast (f) transient outward currents."""
    activated, available = boltzmann(v, 19.0, -13.0), boltzmann(v, -19.5, 5.0)
    tau_kr = 3300 * boltzmann(v, -22.0, -9.0) * boltzmann(v, -11.0, 9.0) + 230 * boltzmann(
        v, -40.0, 20.0
    )
    return {
        "xkr": Gate(boltzmann(v, -10.0, -5.0), tau_kr),
        "xks": Gate(boltzmann(v, -3.8, -14.25), 990.1 * boltzmann(v, -2.436, -14.12)),
        "xtos": Gate(activated, 9 * boltzmann(v, -3.0, 15.0) + 0.5),
        "ytos": Gate(available, 800 * boltzmann(v, -60.0, 10.0) + 30),
        "xtof": Gate(activated, 8.5 * jnp.exp(-(((v + 45) / 50) ** 2)) + 0.5),
        "ytof": Gate(available, 85 * jnp.exp(-((v + 40) ** 2) / 220) + 7),
    }


def calcium_gates(v: Any, ca_j: Any, ca_sl: Any) -> dict[str, Gate]:
    """Of ICaL, whose inactivation binds the calcium beside the channel."""
    d = boltzmann(v, -5.0, -6.0)
    f = boltzmann(v, -35.0, 9.0) + 0.6 * boltzmann(v, 50.0, -20.0)
    tau_f = 1 / (0.0197 * jnp.exp(-((0.0337 * (v + 14.5)) ** 2)) + 0.02)
    return {
        "d": Gate(d, d / (0.035 * 6 * linoid(-(v + 5) / 6))),
        "f": Gate(f, tau_f),
        "fca_j": binding(1.7, ca_j, 1.0, 0.0119),
        "fca_sl": binding(1.7, ca_sl, 1.0, 0.0119),
    }


def binding(on: Any, ligand: Any, sites: Any, off: Any) -> Gate:
    """dx/dt = on · ligand (sites - x) - off x."""
    rate = on * ligand
    total = rate + off
    return Gate(rate * sites / total, 1 / total)


def depleting(on: Any, free: Any, bound: Any, sites: Any, off: Any) -> Gate:
    """dx/dt = on · free (sites - x) - off x, where x takes what it binds from the free ligand."""
    both = free + bound
    total = on * (both + sites - bound) + off
    return Gate(on * both * sites / total, 1 / total)


def inward_rectifier(to_k: Any) -> Any:
    """Share of open IK1 channels, as a function of V - E_K."""
    opening = 1.02 / (1 + jnp.exp(0.2385 * (to_k - 59.215)))
    closing = (0.49124 * jnp.exp(0.08032 * (to_k + 5.476)) + jnp.exp(0.06175 * (to_k - 594.31))) / (
        1 + jnp.exp(-0.5143 * (to_k + 4.753))
    )
    return opening / (opening + closing)


def exchange(v: Any, na: Any, ca: Any, na_o: Any, ca_o: Any) -> Any:
    """Turnover of the sodium-calcium exchanger, a share of its maximum."""
    outward = jnp.exp(0.27 * v / RTF)
    inward = outward * jnp.exp(-v / RTF)
    na3, na_o3 = na**3, na_o**3
    free = (
        3.59e-3 * na_o3 * (1 + (na / 12.29) ** 3)
        + 87.5**3 * ca * (1 + ca / 3.59e-3)
        + 1.3 * na3
        + na3 * ca_o
        + na_o3 * ca
    )
    allosteric = 1 / (1 + (0.15e-3 / ca) ** 2)
    return allosteric * (outward * na3 * ca_o - inward * na_o3 * ca) / (free * (1 + 0.32 * inward))
