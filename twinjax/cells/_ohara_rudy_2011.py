"""O'Hara, Virag, Varro and Rudy 2011: the undiseased human ventricular cell."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax._parameters import parameter, set_parameters
from twinjax.cells._cell import About, AbstractCell, Gate
from twinjax.cells._functions import boltzmann
from twinjax.cells._ohara_rudy_equations import all_currents, charge, common_rates

CITE = "O'Hara, Virag, Varro and Rudy 2011, PLoS Comput Biol 7:e1002061"
# What differs from the endocardial cell.
_REGIONS: dict[str, dict[str, float]] = {
    "endo": {},
    "epi": {
        "g_na_l": 0.6 * 0.0075,
        "g_to": 4 * 0.02,
        "p_ca": 1.2 * 1e-4,
        "g_kr": 1.3 * 0.046,
        "g_ks": 1.4 * 0.0034,
        "g_k1": 1.2 * 0.1908,
        "g_naca": 1.1 * 0.0008,
        "p_nak": 0.9 * 30.0,
        "g_kb": 0.6 * 0.003,
        "uptake": 1.3 * 0.004375,
        "calmodulin": 1.3 * 0.05,
    },
    "M": {
        "g_to": 4 * 0.02,
        "p_ca": 2.5 * 1e-4,
        "g_kr": 0.8 * 0.046,
        "g_k1": 1.3 * 0.1908,
        "g_naca": 1.4 * 0.0008,
        "p_nak": 0.7 * 30.0,
        "release": 1.7,
    },
}
CONDUCTANCES = {
    "INa": "g_na",
    "INaL": "g_na_l",
    "Ito": "g_to",
    "ICaL": "p_ca",
    "IKr": "g_kr",
    "IKs": "g_ks",
    "IK1": "g_k1",
    "INaCa": "g_naca",
    "INaK": "p_nak",
    "INab": "p_nab",
    "ICab": "p_cab",
    "IKb": "g_kb",
    "IpCa": "g_pca",
}


class State(NamedTuple):
    """Potential [mV]; trapped CaMK; concentrations [mM]; gates, `…p` of phosphorylated channels."""

    v: Any
    camkt: Any
    nai: Any
    nass: Any
    ki: Any
    kss: Any
    cai: Any
    cass: Any
    cansr: Any
    cajsr: Any
    m: Any
    hf: Any
    hs: Any
    j: Any
    hsp: Any
    jp: Any
    ml: Any
    hl: Any
    hlp: Any
    a: Any
    i_f: Any
    i_s: Any
    ap: Any
    i_fp: Any
    i_sp: Any
    d: Any
    ff: Any
    fs: Any
    fcaf: Any
    fcas: Any
    jca: Any
    nca: Any
    ffp: Any
    fcafp: Any
    xs1: Any
    xs2: Any
    xk1: Any
    jrelnp: Any  # [mM/ms]
    jrelp: Any
    xrf: Any
    xrs: Any


class OHaraRudy2011(AbstractCell):
    """O'Hara, Virag, Varro and Rudy 2011, PLoS Comput Biol 7:e1002061, equations of its supplement.

    dV/dt = -(sum of currents + Istim) at 1 µF/cm², with Istim carried by K. Cytosol, subspace (ss),
    network (nsr) and junctional SR (jsr) exchange ions by diffusion, release, uptake and transfer;
    calcium buffers are in instantaneous equilibrium. Of the proteins that CaMK phosphorylates, a
    fraction f = CaMK / (CaMK + 0.15) is, with gates of its own (p):

        INa   = g_na m³ ((1 - f) h j + f hp jp) (V - E_Na),   h = 0.99 hf + 0.01 hs
        INaL  = g_na_l mL ((1 - f) hL + f hLp) (V - E_Na)
        Ito   = g_to ((1 - f) a i + f ap ip) (V - E_K)
        ICaL  = p_ca d ((1 - f) s + 1.1 f sp) Ψ(Ca),   s = f_V (1 - n) + f_Ca j_Ca n
        ICaNa, ICaK: the same with Ψ(Na) and Ψ(K), times 1.25e-3 and 3.574e-4
        IKr   = g_kr √(K_o/5.4) x_r R_r (V - E_K)
        IKs   = g_ks (1 + 0.6 / (1 + (3.8e-5/Ca_i)^1.4)) xs1 xs2 (V - E_Ks)
        IK1   = g_k1 √K_o x_K1 R_K1 (V - E_K),   IKb = g_kb x_Kb (V - E_K)
        INab, ICab: constant fields;   IpCa = g_pca Ca_i / (Ca_i + 5e-4)
        INaCa = g_naca (0.8 at Ca_i, 0.2 at Ca_ss),   INaK = p_nak (…): cycles of four states

    Ψ is the constant-field flux. The defaults are those of the `region`, "endo", "epi" or "M",
    with the supplement's factors; one of them, on the inactivation of Ito in the epicardium,
    depends on V and is no parameter.
    """

    about: ClassVar[About] = About(
        title="O'Hara-Rudy 2011",
        species="human",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-80.0, 0.5),
        conductances=CONDUCTANCES,
    )

    region: str = eqx.field(static=True)

    g_na: Float[Array, ""] = parameter(75.0, unit="mS/µF", bounds=(0, 300), cite=CITE)
    g_na_l: Float[Array, ""] = parameter(0.0075, unit="mS/µF", bounds=(0, 0.2), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.02, unit="mS/µF", bounds=(0, 0.8), cite=CITE)
    p_ca: Float[Array, ""] = parameter(1e-4, unit="cm/s", bounds=(0, 1e-3), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.046, unit="mS/µF", bounds=(0, 0.5), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.0034, unit="mS/µF", bounds=(0, 0.06), cite=CITE)
    g_k1: Float[Array, ""] = parameter(0.1908, unit="mS/µF", bounds=(0, 3), cite=CITE)
    g_naca: Float[Array, ""] = parameter(0.0008, unit="µC/µF", bounds=(0, 0.01), cite=CITE)
    p_nak: Float[Array, ""] = parameter(30.0, unit="µC/µF", bounds=(0, 200), cite=CITE)
    p_nab: Float[Array, ""] = parameter(3.75e-10, unit="cm/s", bounds=(0, 4e-9), cite=CITE)
    p_cab: Float[Array, ""] = parameter(2.5e-8, unit="cm/s", bounds=(0, 2.5e-7), cite=CITE)
    g_kb: Float[Array, ""] = parameter(0.003, unit="mS/µF", bounds=(0, 0.03), cite=CITE)
    g_pca: Float[Array, ""] = parameter(0.0005, unit="A/F", bounds=(0, 0.01), cite=CITE)
    release: Float[Array, ""] = parameter(1.0, unit="1", bounds=(0, 10), cite=CITE)
    uptake: Float[Array, ""] = parameter(0.004375, unit="mM/ms", bounds=(0, 0.04), cite=CITE)
    leak: Float[Array, ""] = parameter(0.0039375 / 15, unit="1/ms", bounds=(0, 3e-3), cite=CITE)
    calmodulin: Float[Array, ""] = parameter(0.05, unit="mM", bounds=(0, 0.5), cite=CITE)
    troponin: Float[Array, ""] = parameter(0.07, unit="mM", bounds=(0, 0.7), cite=CITE)
    calsequestrin: Float[Array, ""] = parameter(10.0, unit="mM", bounds=(0, 100), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50, 200), cite=CITE)
    ca_o: Float[Array, ""] = parameter(1.8, unit="mM", bounds=(0.2, 10), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1, 20), cite=CITE)

    def __init__(self, region: str = "endo", **values: Any) -> None:
        """Parameters that are not among `values` are those of the region.

        Raises `ValueError` for an unknown region.
        """
        if region not in _REGIONS:
            raise ValueError(unknown_name("region", region, _REGIONS))
        self.region = region
        set_parameters(self, _REGIONS[region], values)

    def initial_state(self) -> State:
        closed = dict.fromkeys(("m", "ml", "a", "ap", "d", "nca", "xs1", "xs2", "xrf", "xrs"), 0.0)
        ions = {"nai": 7.0, "nass": 7.0, "ki": 145.0, "kss": 145.0, "cai": 1e-4, "cass": 1e-4}
        known = {"v": -87.0, "camkt": 0.0, **ions, "cansr": 1.2, "cajsr": 1.2, **closed}
        known |= {"jrelnp": 0.0, "jrelp": 0.0}
        # All other gates are open at rest.
        return State(**{name: known.get(name, 1.0) for name in State._fields})

    def currents(self, state: State) -> dict[str, Any]:
        return all_currents(self, state, _rapid_open(state))[0]

    def rates(self, state: State, stimulus: Any) -> State:
        v = state.v
        fast = 12.98 + 1 / (
            0.3652 * jnp.exp((v - 31.66) / 3.869) + 4.123e-5 * jnp.exp(-(v - 47.78) / 20.38)
        )
        slow = 1.865 + 1 / (
            0.06629 * jnp.exp((v - 34.70) / 7.355) + 1.128e-5 * jnp.exp(-(v - 29.74) / 25.94)
        )
        steady = boltzmann(v, -8.337, -6.789)
        return State(
            **common_rates(
                self,
                state,
                stimulus,
                *all_currents(self, state, _rapid_open(state)),
                epicardial=self.region == "epi",
            ),
            xrf=Gate(steady, fast),
            xrs=Gate(steady, slow),
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        return (charge(self, state),)


def ohara_rudy_2011_epi() -> OHaraRudy2011:
    """The epicardial cell: the supplement's factors on conductances, uptake and calmodulin."""
    return OHaraRudy2011("epi")


def ohara_rudy_2011_m() -> OHaraRudy2011:
    """The mid-myocardial (M) cell: the supplement's factors on conductances and release."""
    return OHaraRudy2011("M")


def _rapid_open(s: State) -> Any:
    """Open fraction of hERG times its instantaneous rectification."""
    v = s.v
    fast = boltzmann(v, -54.81, 38.21)
    rectified = boltzmann(v, -55.0, 75.0) * boltzmann(v, 10.0, 30.0)
    return (fast * s.xrf + (1 - fast) * s.xrs) * rectified
