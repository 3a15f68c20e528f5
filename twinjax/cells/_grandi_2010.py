"""Grandi, Pasqualini and Bers 2010: the human ventricular cell."""

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell, Gate
from twinjax.cells._functions import boltzmann, ghk, nernst
from twinjax.cells._grandi_2010_currents import (
    FARADAY,
    RTF,
    binding,
    calcium_gates,
    depleting,
    exchange,
    inward_rectifier,
    potassium_gates,
    sodium_gates,
)

CITE = "Grandi, Pasqualini and Bers 2010, J Mol Cell Cardiol 48:112"

_CELL = math.pi * 10.25**2 * 100 * 1e-15  # [L]
_MYO, _SR, _SL, _JUNCTION = 0.65 * _CELL, 0.035 * _CELL, 0.02 * _CELL, 5.39e-4 * _CELL
# Diffusion between junction, sarcolemmal space and cytosol [L/ms].
_CA_J_SL, _CA_SL_I = 1 / 1.2134e12, 1 / 2.68510e11
_NA_J_SL, _NA_SL_I = 3 / 1.6382e14, 3 / 1.8308e12
_IN_J, _IN_SL = 0.11, 0.89  # shares of the membrane's channels
_CAL_J, _CAL_SL = 0.9, 0.1  # shares of the L-type channels

# Low- and high-affinity sites of the membrane [mM], in the cleft and below the sarcolemma.
_SLL_J, _SLH_J = 4.6e-4 * _MYO / _JUNCTION, 1.65e-4 * _MYO / _JUNCTION
_SLL_SL, _SLH_SL = 0.0374 * _MYO / _SL, 0.0134 * _MYO / _SL
_AT_MEMBRANE = ("sll_j", "slh_j", "sll_sl", "slh_sl")


class State(NamedTuple):
    """Potential [mV]; gates; release channels; what buffers hold [mM]; concentrations [mM].

    Suffixes: `_j` junctional cleft, `_sl` below the sarcolemma, `sr` store, `i` cytosol. Of the
    calcium of store and cytosol the state holds the total, free and bound, where the paper has
    the free one: that settles with its buffers within 0.003 ms and 0.2 ms, while the total moves
    slowly and is kept exactly. What is free is an attribute (`ca_sr`, `cai`).
    """

    v: Any
    m: Any
    h: Any
    j: Any
    d: Any
    f: Any
    fca_j: Any
    fca_sl: Any
    xtos: Any
    ytos: Any
    xtof: Any
    ytof: Any
    xkr: Any
    xks: Any
    ryr_r: Any
    ryr_o: Any
    ryr_i: Any
    nab_j: Any
    nab_sl: Any
    tnc_l: Any
    tnc_hc: Any
    tnc_hm: Any
    cam: Any
    myo_c: Any
    myo_m: Any
    srb: Any
    sll_j: Any
    sll_sl: Any
    slh_j: Any
    slh_sl: Any
    csqn: Any
    sr_total: Any
    na_j: Any
    na_sl: Any
    nai: Any
    ca_j: Any
    ca_sl: Any
    i_total: Any

    @property
    def ca_sr(self) -> Any:
        return self.sr_total - self.csqn

    @property
    def cai(self) -> Any:
        return self.i_total - self.tnc_l - self.tnc_hc - self.cam - self.myo_c - self.srb


class Grandi2010(AbstractCell):
    """Grandi et al. 2010, J Mol Cell Cardiol 48:112, supplement; the epicardium by default.

    dV/dt = -(ΣI + Istim) [A/F]. 11 % of each channel, and 90 % of the L-type calcium channels, face
    the cleft at the junctions; the rest face the space below the sarcolemma:

        INa = g_na m³ h j (V - E_Na)             ICaL, ICaNa, ICaK = p · 0.45 d f (1 - f_Ca) GHK(V)
        Ito = g_to (s xtos ytos + (1 - s) xtof ytof) (V - E_K),   s = slow_share
        IKr = g_kr √(K_o/5.4) xkr R (V - E_K)    IKs = g_ks xks² (V - E_Ks)
        IK1 = g_k1 √(K_o/5.4) K1∞ (V - E_K)      IKp, INaK, INaCa, IpCa, IClCa, backgrounds

    Potassium of the cell is constant, so the charge is not conserved.

    Calcium settles in the cleft within 0.01 ms, so steps are to be small: with `Setting(0.01, 5.0,
    0.02)` apd90 and the peak of calcium are within 0.15 ms and 0.6 % of their limits, with steps
    to 0.25 ms within 3 ms and 9 %; steps of 1 ms fail.

    As published, magnesium that leaves troponin and myosin counts as calcium that leaves them; the
    authors corrected that in their program in 2019. `magnesium_as_calcium` restores it.
    """

    about: ClassVar[About] = About(
        title="Grandi-Pasqualini-Bers 2010",
        species="human",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-9.5, 5.0),
        longest_step=0.02,  # calcium and its buffers in the cleft
        conductances={
            "INa": "g_na",
            "INab": "g_nab",
            "INaK": "i_nak_max",
            "IKr": "g_kr",
            "IKs": "g_ks",
            "IKp": "g_kp",
            "Ito": "g_to",
            "IK1": "g_k1",
            "IClCa": "g_clca",
            "IClb": "g_clb",
            "ICaL": "p_ca",
            "ICaNa": "p_na",
            "ICaK": "p_k",
            "INaCa": "i_naca_max",
            "IpCa": "i_pca_max",
            "ICab": "g_cab",
        },
    )

    g_na: Float[Array, ""] = parameter(23.0, unit="mS/µF", bounds=(0.0, 80.0), cite=CITE)
    g_nab: Float[Array, ""] = parameter(5.97e-4, unit="mS/µF", bounds=(0.0, 0.006), cite=CITE)
    i_nak_max: Float[Array, ""] = parameter(1.8, unit="A/F", bounds=(0.0, 18.0), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.035, unit="mS/µF", bounds=(0.0, 0.35), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.0035, unit="mS/µF", bounds=(0.0, 0.07), cite=CITE)
    g_kp: Float[Array, ""] = parameter(0.002, unit="mS/µF", bounds=(0.0, 0.02), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.13, unit="mS/µF", bounds=(0.0, 1.3), cite=CITE)
    slow_share: Float[Array, ""] = parameter(0.12, unit="1", bounds=(0.0, 1.0), cite=CITE)
    g_k1: Float[Array, ""] = parameter(0.35, unit="mS/µF", bounds=(0.0, 3.5), cite=CITE)
    g_clca: Float[Array, ""] = parameter(0.0548125, unit="mS/µF", bounds=(0.0, 0.5), cite=CITE)
    g_clb: Float[Array, ""] = parameter(0.009, unit="mS/µF", bounds=(0.0, 0.09), cite=CITE)
    p_ca: Float[Array, ""] = parameter(2.7e-4, unit="cm/s", bounds=(0.0, 0.0027), cite=CITE)
    p_na: Float[Array, ""] = parameter(7.5e-9, unit="cm/s", bounds=(0.0, 7.5e-8), cite=CITE)
    p_k: Float[Array, ""] = parameter(1.35e-7, unit="cm/s", bounds=(0.0, 1.35e-6), cite=CITE)
    i_naca_max: Float[Array, ""] = parameter(4.5, unit="A/F", bounds=(0.0, 45.0), cite=CITE)
    i_pca_max: Float[Array, ""] = parameter(0.0673, unit="A/F", bounds=(0.0, 0.67), cite=CITE)
    g_cab: Float[Array, ""] = parameter(5.513e-4, unit="mS/µF", bounds=(0.0, 0.0055), cite=CITE)
    v_up: Float[Array, ""] = parameter(5.3114e-3, unit="mM/ms", bounds=(0.0, 0.05), cite=CITE)
    k_rel: Float[Array, ""] = parameter(25.0, unit="1/ms", bounds=(0.0, 250.0), cite=CITE)
    k_leak: Float[Array, ""] = parameter(5.348e-6, unit="1/ms", bounds=(0.0, 5e-5), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    ca_o: Float[Array, ""] = parameter(1.8, unit="mM", bounds=(0.2, 10.0), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1.0, 20.0), cite=CITE)
    k_i: Float[Array, ""] = parameter(120.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    cl_o: Float[Array, ""] = parameter(150.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    cl_i: Float[Array, ""] = parameter(15.0, unit="mM", bounds=(3.0, 60.0), cite=CITE)
    mg_i: Float[Array, ""] = parameter(1.0, unit="mM", bounds=(0.2, 5.0), cite=CITE)
    cm: Float[Array, ""] = parameter(138.1, unit="pF", bounds=(30.0, 500.0), cite=CITE)
    magnesium_as_calcium: bool = eqx.field(static=True, default=False)

    def initial_state(self) -> State:
        return State(
            v=-81.4552030513,
            m=0.00379308741444,
            h=0.626221949492,
            j=0.62455357249,
            d=2.92407183949e-06,
            f=0.995135796704,
            fca_j=0.0246760872106,
            fca_sl=0.0152723084239,
            xtos=0.000440445885643,
            ytos=0.785115828275,
            xtof=0.000440438103759,
            ytof=0.999995844039,
            xkr=0.0210022533039,
            xks=0.00428016666259,
            ryr_r=0.890806040818,
            ryr_o=7.40481128854e-07,
            ryr_i=9.07666168961e-08,
            nab_j=3.45437733033,
            nab_sl=0.753740951478,
            tnc_l=0.00893455096919,
            tnc_hc=0.117412025937,
            tnc_hm=0.0106160166693,
            cam=0.000295573424135,
            myo_c=0.00192322252438,
            myo_m=0.137560495023,
            srb=0.00217360235649,
            sll_j=0.0074052452168,
            sll_sl=0.00990339304377,
            slh_j=0.0735890020284,
            slh_sl=0.114583623437,
            csqn=1.19723145924,
            sr_total=0.554760499828 + 1.19723145924,
            na_j=8.40537012593,
            na_sl=8.40491910001,
            nai=8.40513364345,
            ca_j=1.75882395147e-4,
            ca_sl=1.06779509977e-4,
            # Free, and bound to what the fields above say.
            i_total=8.72509677797e-5
            + 0.00893455096919
            + 0.117412025937
            + 0.000295573424135
            + 0.00192322252438
            + 0.00217360235649,
        )

    def currents(self, state: State) -> dict[str, Any]:
        parts = self._parts(state)
        return {
            name: sum(part) if isinstance(part, tuple) else part for name, part in parts.items()
        }

    def _parts(self, s: State) -> dict[str, Any]:
        """Currents [A/F]; where ions go into two spaces, that of the junction and the other."""
        v, root = s.v, jnp.sqrt(self.k_o / 5.4)
        to_k, to_cl = v - nernst(RTF, self.k_o, self.k_i), v - nernst(RTF, self.cl_i, self.cl_o)
        to_ks = v - RTF * jnp.log((self.k_o + 0.01833 * self.na_o) / (self.k_i + 0.01833 * s.nai))
        to_na = [v - nernst(RTF, self.na_o, na) for na in (s.na_j, s.na_sl)]
        sodium = self.g_na * s.m**3 * s.h * s.j
        sigma = jnp.expm1(self.na_o / 67.3) / 7
        pump = (
            self.i_nak_max
            / (1 + 0.1245 * jnp.exp(-0.1 * v / RTF) + 0.0365 * sigma * jnp.exp(-v / RTF))
            * self.k_o
            / (self.k_o + 1.5)
        )
        slow, fast = self.slow_share * s.xtos * s.ytos, (1 - self.slow_share) * s.xtof * s.ytof
        u = v / RTF
        open_j, open_sl = (
            0.45 * FARADAY * share * s.d * s.f * (1 - bound)
            for share, bound in ((_CAL_J, s.fca_j), (_CAL_SL, s.fca_sl))
        )
        potassium = self.p_k * 0.75 * ghk(u, self.k_i, self.k_o)
        spaces = ((_IN_J, s.na_j, s.ca_j), (_IN_SL, s.na_sl, s.ca_sl))
        return {
            "INa": (_IN_J * sodium * to_na[0], _IN_SL * sodium * to_na[1]),
            "INab": (_IN_J * self.g_nab * to_na[0], _IN_SL * self.g_nab * to_na[1]),
            "INaK": tuple(share * pump / (1 + (11 / na) ** 4) for share, na, _ in spaces),
            "IKr": self.g_kr * root * s.xkr * boltzmann(v, -74.0, 24.0) * to_k,
            "IKs": self.g_ks * s.xks**2 * to_ks,
            "IKp": self.g_kp / (1 + jnp.exp(7.488 - v / 5.98)) * to_k,
            "Ito": self.g_to * (slow + fast) * to_k,
            "IK1": self.g_k1 * root * inward_rectifier(to_k) * to_k,
            "IClCa": sum(self.g_clca * share * ca / (ca + 0.1) for share, _, ca in spaces) * to_cl,
            "IClb": self.g_clb * to_cl,
            "ICaL": (
                open_j * self.p_ca * 2 * 0.341 * ghk(2 * u, s.ca_j, self.ca_o),
                open_sl * self.p_ca * 2 * 0.341 * ghk(2 * u, s.ca_sl, self.ca_o),
            ),
            "ICaNa": (
                open_j * self.p_na * 0.75 * ghk(u, s.na_j, self.na_o),
                open_sl * self.p_na * 0.75 * ghk(u, s.na_sl, self.na_o),
            ),
            "ICaK": (open_j + open_sl) * potassium,
            "INaCa": tuple(
                share * self.i_naca_max * exchange(v, na, ca, self.na_o, self.ca_o)
                for share, na, ca in spaces
            ),
            "IpCa": tuple(
                share * self.i_pca_max / (1 + (0.5e-3 / ca) ** 1.6) for share, _, ca in spaces
            ),
            "ICab": tuple(
                share * self.g_cab * (v - nernst(RTF / 2, self.ca_o, ca)) for share, _, ca in spaces
            ),
        }

    def rates(self, state: State, stimulus: Any) -> State:
        s, i = state, self._parts(state)
        total = sum(_whole(part) for part in i.values())
        buffers = self._buffers(s)
        # As published, what magnesium leaves behind is calcium.
        magnesium = (
            buffers["tnc_hm"].rate(s.tnc_hm) + buffers["myo_m"].rate(s.myo_m)
            if self.magnesium_as_calcium
            else 0.0
        )
        charge = self.cm * 1e-12 / FARADAY  # [mol/V]: times A/F and over litres it is mM/ms

        release = self.k_rel * s.ryr_o * (s.ca_sr - s.ca_j)
        leak = self.k_leak * (s.ca_sr - s.ca_j) * _MYO
        forward, backward = (s.cai / 0.246e-3) ** 1.787, (s.ca_sr / 1.7) ** 1.787
        uptake = self.v_up * (forward - backward) / (1 + forward + backward)

        na_j, na_sl = (
            i["INa"][k] + i["INab"][k] + 3 * i["INaCa"][k] + 3 * i["INaK"][k] + i["ICaNa"][k]
            for k in (0, 1)
        )
        ca_j, ca_sl = (
            i["ICaL"][k] + i["ICab"][k] + i["IpCa"][k] - 2 * i["INaCa"][k] for k in (0, 1)
        )
        na_flow, ca_flow = _NA_J_SL * (s.na_sl - s.na_j), _CA_J_SL * (s.ca_sl - s.ca_j)
        na_deep, ca_deep = _NA_SL_I * (s.nai - s.na_sl), _CA_SL_I * (s.cai - s.ca_sl)
        bound = {name: buffers[name].rate(getattr(s, name)) for name in _AT_MEMBRANE}
        cleft = (
            (ca_flow - charge * ca_j / 2 + release * _SR + leak) / _JUNCTION
            - bound["sll_j"]
            - bound["slh_j"]
        )
        shell = (ca_deep - ca_flow - charge * ca_sl / 2) / _SL - bound["sll_sl"] - bound["slh_sl"]
        # How steeply these fall with the calcium itself, the membrane's currents left out.
        free_j = _SLL_J + _SLH_J - s.sll_j - s.slh_j
        free_sl = _SLL_SL + _SLH_SL - s.sll_sl - s.slh_sl
        fast_j = 100 * free_j + (_CA_J_SL + self.k_rel * s.ryr_o * _SR) / _JUNCTION
        fast_sl = 100 * free_sl + (_CA_J_SL + _CA_SL_I) / _SL
        return State(
            v=-(total + stimulus),
            **sodium_gates(s.v),
            **potassium_gates(s.v),
            **calcium_gates(s.v, s.ca_j, s.ca_sl),
            **_release_channels(s),
            **buffers,
            sr_total=uptake - leak / _SR - release,
            na_j=(na_flow - charge * na_j) / _JUNCTION - buffers["nab_j"].rate(s.nab_j),
            na_sl=(na_deep - na_flow - charge * na_sl) / _SL - buffers["nab_sl"].rate(s.nab_sl),
            nai=-na_deep / _MYO,
            ca_j=_relaxing(s.ca_j, cleft, fast_j),
            ca_sl=_relaxing(s.ca_sl, shell, fast_sl),
            i_total=-(uptake * _SR + ca_deep) / _MYO - magnesium,
        )

    def _buffers(self, s: State) -> dict[str, Gate]:
        ca_sr, cai = s.ca_sr, s.cai
        troponin, myosin = 0.14, 0.14  # [mM], sites that magnesium shares
        return {
            "nab_j": binding(1e-4, s.na_j, 7.561, 1e-3),
            "nab_sl": binding(1e-4, s.na_sl, 1.65, 1e-3),
            "tnc_l": depleting(32.7, cai, s.tnc_l, 0.07, 0.0196),
            "tnc_hc": depleting(2.37, cai, s.tnc_hc, troponin - s.tnc_hm, 3.2e-5),
            "tnc_hm": binding(3e-3, self.mg_i, troponin - s.tnc_hc, 3.33e-3),
            "cam": depleting(34.0, cai, s.cam, 0.024, 0.238),
            "myo_c": depleting(13.8, cai, s.myo_c, myosin - s.myo_m, 4.6e-4),
            "myo_m": binding(0.0157, self.mg_i, myosin - s.myo_c, 5.7e-5),
            "srb": depleting(100.0, cai, s.srb, 0.0171, 0.06),
            "sll_j": binding(100.0, s.ca_j, _SLL_J, 1.3),
            "sll_sl": binding(100.0, s.ca_sl, _SLL_SL, 1.3),
            "slh_j": binding(100.0, s.ca_j, _SLH_J, 0.03),
            "slh_sl": binding(100.0, s.ca_sl, _SLH_SL, 0.03),
            "csqn": depleting(100.0, ca_sr, s.csqn, 0.14 * _MYO / _SR, 65.0),
        }

    def conserved(self, state: State) -> tuple[Any, ...]:
        return ()


def _relaxing(value: Any, rate: Any, speed: Any) -> Gate:
    """A rate that falls by `speed` with its own variable, as a gate."""
    return Gate(value + rate / speed, 1 / speed)


def _whole(part: Any) -> Any:
    return sum(part) if isinstance(part, tuple) else part


def _release_channels(s: State) -> dict[str, Gate]:
    """Ryanodine receptors: rested R, open O, inactivated I, and RI = 1 - R - O - I."""
    luminal = 15 - 14 / (1 + (0.45 / s.ca_sr) ** 2.5)
    opening, inactivation = 10 / luminal * s.ca_j**2, 0.5 * luminal * s.ca_j
    closing, recovery = 0.06, 0.005
    rested = opening + inactivation + recovery
    opened = closing + inactivation
    shut = opening + closing + recovery
    return {
        "ryr_r": Gate(
            (recovery * (1 - s.ryr_o - s.ryr_i) + closing * s.ryr_o) / rested, 1 / rested
        ),
        "ryr_o": Gate((opening * s.ryr_r + recovery * s.ryr_i) / opened, 1 / opened),
        "ryr_i": Gate(
            (inactivation * s.ryr_o + opening * (1 - s.ryr_r - s.ryr_o)) / shut, 1 / shut
        ),
    }


def grandi_2010_epi() -> Grandi2010:
    """The epicardial cell."""
    return Grandi2010()


def grandi_2010_endo() -> Grandi2010:
    """The endocardial cell: less transient outward current, most of it slow."""
    return Grandi2010(g_to=0.039, slow_share=0.964)
