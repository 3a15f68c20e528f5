"""Land et al. 2017: active tension of human cardiomyocytes at body temperature."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, Gate, gate
from twinjax.cells._tension import AbstractActiveTension
from twinjax.units import factor

CITE = "Land et al. 2017, J Mol Cell Cardiol 106:68"
_SLOWER = "Margara et al. 2021, Prog Biophys Mol Biol 159:58, with O'Hara's and Rudy's calcium"
_TO_MICROMOLAR = factor("mM", "µM")  # the calcium of the cells into the unit of the paper


class State(NamedTuple):
    """Calcium on troponin; shares of sites blocked, strongly and weakly bound; distortions.

    The share of unblocked sites without a crossbridge is 1 - blocked - strong - weak.
    """

    troponin: Any
    blocked: Any
    strong: Any
    weak: Any
    zeta_s: Any
    zeta_w: Any


class Land2017(AbstractActiveTension):
    """Land et al. 2017, J Mol Cell Cardiol 106:68, with the parameters of intact cells at 37 °C.

    But for tropomyosin, whose `n_tm` and `k_u` are those of Margara et al. 2021 and make tension
    follow calcium smoothly and late; Land et al. have 5 and 1 / ms, a switch that turns fast.

    With calcium c, stretch λ, its rate λ' and U = 1 - B - S - W:

        dT/dt = k_trpn ((c / c50)^n_trpn (1 - T) - T),  c50 = ca50 + beta_1 (min(λ, 1.2) - 1)
        dB/dt = k_b T^{-n_tm/2} U - k_u T^{n_tm/2} B,   k_b = k_u T50^n_tm / ((1 - r_s) (1 - r_w))
        dW/dt = k_uw U - (k_wu + k_ws + γ_w |ζ_w|) W,   k_wu = k_uw (1/r_w - 1) - k_ws
        dS/dt = k_ws W - (k_su + γ_su) S,               k_su = k_ws r_w (1/r_s - 1)
        dζ/dt = A λ' - c ζ for ζ_w and ζ_s,             A = a_total r_s / ((1 - r_s) r_w + r_s)

    c_w = φ k_uw (1 - r_w)/r_w, c_s = φ k_ws (1 - r_s) r_w / r_s; γ_su = γ_s ζ_s above 0,
    γ_s (-ζ_s - 1) below -1, else 0; T^{-n_tm/2} is at most 100. The tension is

        h(λ) t_ref / r_s ((ζ_s + 1) S + ζ_w W),  h = max(0, 1 + beta_0 (λ + min(λ, 0.87) - 1.87))

    with λ at most 1.2. Calcium comes in mM, c50 is in µM as published.
    """

    about: ClassVar[About] = About(
        title="Land 2017", species="human", tissue="ventricle", cite=CITE, current_unit="1"
    )

    t_ref: Float[Array, ""] = parameter(120.0, unit="kPa", bounds=(10.0, 400.0), cite=CITE)
    ca50: Float[Array, ""] = parameter(0.805, unit="µM", bounds=(0.05, 3.0), cite=CITE)
    beta_0: Float[Array, ""] = parameter(2.3, unit="1", bounds=(0.0, 6.0), cite=CITE)
    beta_1: Float[Array, ""] = parameter(-2.4, unit="µM", bounds=(-4.0, 0.0), cite=CITE)
    k_trpn: Float[Array, ""] = parameter(0.1, unit="1/ms", bounds=(0.01, 1.0), cite=CITE)
    n_trpn: Float[Array, ""] = parameter(2.0, unit="1", bounds=(1.0, 4.0), cite=CITE)
    trpn50: Float[Array, ""] = parameter(0.35, unit="1", bounds=(0.1, 0.9), cite=CITE)
    n_tm: Float[Array, ""] = parameter(2.4, unit="1", bounds=(1.0, 8.0), cite=_SLOWER)
    k_u: Float[Array, ""] = parameter(0.04, unit="1/ms", bounds=(0.004, 2.0), cite=_SLOWER)
    k_uw: Float[Array, ""] = parameter(0.182, unit="1/ms", bounds=(0.026, 1.8), cite=CITE)
    k_ws: Float[Array, ""] = parameter(0.012, unit="1/ms", bounds=(0.001, 0.12), cite=CITE)
    r_w: Float[Array, ""] = parameter(0.5, unit="1", bounds=(0.1, 0.9), cite=CITE)
    r_s: Float[Array, ""] = parameter(0.25, unit="1", bounds=(0.05, 0.8), cite=CITE)
    gamma_s: Float[Array, ""] = parameter(0.0085, unit="1/ms", bounds=(0.0, 0.085), cite=CITE)
    gamma_w: Float[Array, ""] = parameter(0.615, unit="1/ms", bounds=(0.0, 6.0), cite=CITE)
    phi: Float[Array, ""] = parameter(2.23, unit="1", bounds=(0.2, 20.0), cite=CITE)
    a_total: Float[Array, ""] = parameter(25.0, unit="1", bounds=(1.0, 100.0), cite=CITE)

    def initial_state(self) -> State:
        return State(troponin=0.01, blocked=1.0, strong=0.0, weak=0.0, zeta_s=0.0, zeta_w=0.0)

    def rates(self, state: State, calcium: Any, stretch: Any, stretch_rate: Any) -> State:
        s = state
        c50 = self.ca50 + self.beta_1 * (jnp.minimum(stretch, 1.2) - 1)
        bound = (calcium * _TO_MICROMOLAR / c50) ** self.n_trpn

        # The bound on T^(-n/2) as one on T: the power of a small T is never taken.
        blocking = jnp.maximum(s.troponin, 100 ** (-2 / self.n_tm)) ** (-self.n_tm / 2)
        share = (1 - self.r_s) * (1 - self.r_w)
        block = self.k_u * self.trpn50**self.n_tm / share * blocking
        unblock = self.k_u * s.troponin ** (self.n_tm / 2)

        k_wu = self.k_uw * (1 / self.r_w - 1) - self.k_ws
        k_su = self.k_ws * self.r_w * (1 / self.r_s - 1)
        lost_w = self.gamma_w * jnp.abs(s.zeta_w)
        lost_s = self.gamma_s * jnp.where(s.zeta_s < -1, -s.zeta_s - 1, jnp.maximum(s.zeta_s, 0.0))
        c_w = self.phi * self.k_uw * (1 - self.r_w) / self.r_w
        c_s = self.phi * self.k_ws * (1 - self.r_s) * self.r_w / self.r_s
        distortion = self.a_total * self.r_s / ((1 - self.r_s) * self.r_w + self.r_s) * stretch_rate

        from_weak = k_wu + self.k_ws + lost_w + self.k_uw
        from_strong = k_su + lost_s
        return State(
            troponin=gate(self.k_trpn * bound, self.k_trpn),
            blocked=_linear(block * (1 - s.strong - s.weak), block + unblock),
            strong=_linear(self.k_ws * s.weak, from_strong),
            weak=_linear(self.k_uw * (1 - s.blocked - s.strong), from_weak),
            zeta_s=_linear(distortion, c_s),
            zeta_w=_linear(distortion, c_w),
        )

    def tension(self, state: State, stretch: Any) -> Any:
        stretch = jnp.minimum(stretch, 1.2)
        overlap = 1 + self.beta_0 * (stretch + jnp.minimum(stretch, 0.87) - 1.87)
        bridges = (state.zeta_s + 1) * state.strong + state.zeta_w * state.weak
        return jnp.maximum(overlap, 0.0) * self.t_ref / self.r_s * bridges


def _linear(inflow: Any, speed: Any) -> Gate:
    """dx/dt = inflow - speed x."""
    return Gate(inflow / speed, 1 / speed)
