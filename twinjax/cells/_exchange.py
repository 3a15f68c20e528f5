"""The sodium-calcium exchanger and the sodium-potassium pump of O'Hara et al. 2011.

O'Hara, Virág, Varró and Rudy 2011, PLoS Comput Biol 7:e1002061, supplement. Later human models took
both over with other maxima: Tomek et al. 2019, Trovato et al. 2020.
"""

from typing import Any

import jax.numpy as jnp

__all__ = ["sodium_calcium_exchange", "sodium_potassium_pump"]


def sodium_calcium_exchange(u: Any, na_i: Any, ca_i: Any, na_o: Any, ca_o: Any) -> Any:
    """INaCa for a unit maximum, at u = V F / (R T) and concentrations in mM.

    Four states E1 to E4 of the carrier with rates k1 to k8; their steady occupancy gives the fluxes
    J_Na = 3 (E4 k7 - E1 k8) + E3 k4'' - E2 k3'' and J_Ca = E2 k2 - E1 k1, and

        INaCa = (J_Na + 2 J_Ca) / (1 + (0.15 µM / Ca_i)²).
    """
    opening, closing = jnp.exp(0.5224 * u), jnp.exp(0.167 * u)  # of sodium and of calcium sites
    h1 = 1 + na_i / 88.12 * (1 + opening)
    h2 = na_i * opening / (88.12 * h1)
    h4 = 1 + na_i / 15 * (1 + na_i / 5)
    h5 = na_i * na_i / (h4 * 15 * 5)
    h7 = 1 + na_o / 88.12 * (1 + 1 / opening)
    h8 = na_o / (88.12 * opening * h7)
    h10 = 12.5 + 1 + na_o / 15 * (1 + na_o / 5)
    h11 = na_o * na_o / (h10 * 15 * 5)
    k1 = ca_o * 1.5e6 / h10
    k2 = k5 = 5e3
    slip3, slip4 = h8 * 5e3, h2 * 5e3  # k3'' and k4''
    k3 = 6e4 / h7 + slip3
    k4 = 6e4 / (h1 * closing) + slip4
    k6 = ca_i * 1.5e6 / h4
    k7 = h5 * h2 * 6e4
    k8 = h8 * h11 * 6e4
    e1 = k2 * k4 * (k7 + k6) + k5 * k7 * (k2 + k3)
    e2 = k1 * k7 * (k4 + k5) + k4 * k6 * (k1 + k8)
    e3 = k1 * k3 * (k7 + k6) + k8 * k6 * (k2 + k3)
    e4 = k2 * k8 * (k4 + k5) + k3 * k5 * (k1 + k8)
    sodium = 3 * (e4 * k7 - e1 * k8) + e3 * slip4 - e2 * slip3
    calcium = e2 * k2 - e1 * k1
    square = ca_i * ca_i
    activation = square / (square + 0.15e-3**2)
    return activation * (sodium + 2 * calcium) / (e1 + e2 + e3 + e4)


def sodium_potassium_pump(u: Any, na_i: Any, k_i: Any, na_o: Any, k_o: Any) -> Any:
    """INaK for a unit maximum, at u = V F / (R T) and concentrations in mM.

    The cycle of Smith and Crampin 2004 (Prog Biophys Mol Biol 85:387), forward rates a1 to a4 and
    backward rates b1 to b4: INaK = 3 (E1 a3 - E2 b3) + 2 (E4 b1 - E3 a1).

    As published in 2011, and as in the models that followed: the weight of E1 holds b2 b3 b4 where
    the cycle's diagram has b1 b3 b4, and protons are at 10⁻⁷ mM where the pump was fitted at pH 7.
    """
    inside = na_i / (9.073 * jnp.exp(-0.155 / 3 * u))
    outside = na_o / (27.78 * jnp.exp(1.155 / 3 * u))
    inner, outer = (k_i / 0.5) ** 2, (k_o / 0.3582) ** 2
    inner_all = (1 + inside) ** 3 + (1 + k_i / 0.5) ** 2 - 1
    outer_all = (1 + outside) ** 3 + (1 + k_o / 0.3582) ** 2 - 1
    protons, atp = 1e-7, 9.8 / 1.698e-7
    phosphate = 4.2 / (1 + protons / 1.698e-7 + na_i / 224 + k_i / 292)
    a1, b1 = 949.5 * inside**3 / inner_all, 182.4 * 0.05
    a2, b2 = 687.2, 39.4 * outside**3 / outer_all
    a3, b3 = 1899 * outer / outer_all, 79300 * phosphate * protons / (1 + atp)
    a4, b4 = 639 * atp / (1 + atp), 40 * inner / inner_all
    e1 = a4 * a1 * a2 + b2 * b4 * b3 + a2 * b4 * b3 + b3 * a1 * a2
    e2 = b2 * b1 * b4 + a1 * a2 * a3 + a3 * b1 * b4 + a2 * a3 * b4
    e3 = a2 * a3 * a4 + b3 * b2 * b1 + b2 * b1 * a4 + a3 * a4 * b1
    e4 = b4 * b3 * b2 + a3 * a4 * a1 + b2 * a4 * a1 + b3 * b2 * a1
    return (3 * (e1 * a3 - e2 * b3) + 2 * (e4 * b1 - e3 * a1)) / (e1 + e2 + e3 + e4)
