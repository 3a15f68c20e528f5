"""CiPA v1: O'Hara-Rudy 2011 with a hERG channel that traps drugs."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell
from twinjax.cells._functions import boltzmann, power
from twinjax.cells._markov import Occupancy, markov
from twinjax.cells._ohara_rudy_2011 import CITE as ORD
from twinjax.cells._ohara_rudy_2011 import CONDUCTANCES
from twinjax.cells._ohara_rudy_equations import all_currents, charge, common_rates

CITE = "Dutta et al. 2017, Front Physiol 8:616"
HERG = "Li et al. 2017, Circ Arrhythm Electrophysiol 10:e004628"

# Transitions of hERG as a e^{b V} q^{(37 - 20)/10} [1/ms]: Li et al. 2017, supplement.
_TRANSITIONS = {
    (origin, target): (a * q**1.7, b)
    for origin, target, a, b, q in (
        ("c1", "c2", 0.0264, 4.631e-5, 4.843),
        ("c2", "c1", 4.986e-6, -0.004226, 4.23),
        ("ic2", "io", 0.001214, 0.008516, 4.962),
        ("io", "ic2", 1.854e-5, -0.04641, 3.769),
        ("ic1", "ic2", 0.0007868, 1.535e-8, 4.942),
        ("ic2", "ic1", 5.455e-6, -0.1688, 4.156),
        ("c2", "o", 0.005509, 7.771e-9, 4.22),
        ("o", "c2", 0.001416, -0.02877, 1.459),
        ("c1", "ic1", 0.4492, 0.008595, 5.0),
        ("ic1", "c1", 0.01241, 0.1725, 5.568),
        ("c2", "ic2", 0.3181, 3.613e-8, 4.663),
        ("ic2", "c2", 0.3226, -0.0006575, 5.0),
        ("o", "io", 0.149, 0.004668, 2.412),
        ("io", "o", 0.008978, -0.02215, 5.682),
    )
}


class State(NamedTuple):
    """That of `OHaraRudy2011`, with the nine states of hERG (their fractions) for its two gates."""

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
    ic1: Any
    ic2: Any
    c1: Any
    c2: Any
    o: Any
    io: Any
    io_bound: Any
    o_bound: Any
    c_bound: Any


class CipaV1(AbstractCell):
    """O'Hara-Rudy 2011 with the hERG channel of Li et al. 2017, rescaled by Dutta et al. 2017.

    IKr = g_kr √(K_o/5.4) O (V - E_K), where O is the open fraction of

        IC1 ⇄ IC2 ⇄ IO ⇄ IO*
         ⇅     ⇅     ⇅       ⇅ C*
        C1  ⇄  C2 ⇄  O  ⇄  O*

    A drug binds to O and IO at k_max k_u Dⁿ / (Dⁿ + half_max) and leaves O* at k_u, IO* at k_u
    times the ratio of the rates O → IO and IO → O. Channels close upon it: O*, IO* → C* at k_t, and
    reopen at k_t / (1 + exp(-(V - v_half) / 6.789)). D is `concentration`; half_max is in nM to the
    power n. All else is `OHaraRudy2011`, with g_na_l, p_ca, g_kr, g_ks and g_k1 of Dutta et al.
    """

    about: ClassVar[About] = About(
        title="CiPA v1 (O'Hara-Rudy with dynamic hERG)",
        species="human",
        tissue="ventricle",
        cite=f"{CITE}; {HERG}; {ORD}",
        current_unit="A/F",
        stimulus=(-80.0, 0.5),
        conductances=CONDUCTANCES,
    )

    g_na: Float[Array, ""] = parameter(75.0, unit="mS/µF", bounds=(0, 300), cite=ORD)
    g_na_l: Float[Array, ""] = parameter(2.661 * 0.0075, unit="mS/µF", bounds=(0, 0.2), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.02, unit="mS/µF", bounds=(0, 0.8), cite=ORD)
    p_ca: Float[Array, ""] = parameter(1.007 * 1e-4, unit="cm/s", bounds=(0, 1e-3), cite=CITE)
    # 1.013 is the paper's factor; the model as distributed holds this one.
    g_kr: Float[Array, ""] = parameter(
        0.04658545454545456, unit="mS/µF", bounds=(0, 0.5), cite=CITE
    )
    g_ks: Float[Array, ""] = parameter(1.870 * 0.0034, unit="mS/µF", bounds=(0, 0.06), cite=CITE)
    g_k1: Float[Array, ""] = parameter(1.698 * 0.1908, unit="mS/µF", bounds=(0, 3), cite=CITE)
    g_naca: Float[Array, ""] = parameter(0.0008, unit="µC/µF", bounds=(0, 0.01), cite=ORD)
    p_nak: Float[Array, ""] = parameter(30.0, unit="µC/µF", bounds=(0, 200), cite=ORD)
    p_nab: Float[Array, ""] = parameter(3.75e-10, unit="cm/s", bounds=(0, 4e-9), cite=ORD)
    p_cab: Float[Array, ""] = parameter(2.5e-8, unit="cm/s", bounds=(0, 2.5e-7), cite=ORD)
    g_kb: Float[Array, ""] = parameter(0.003, unit="mS/µF", bounds=(0, 0.03), cite=ORD)
    g_pca: Float[Array, ""] = parameter(0.0005, unit="A/F", bounds=(0, 0.01), cite=ORD)
    release: Float[Array, ""] = parameter(1.0, unit="1", bounds=(0, 10), cite=ORD)
    uptake: Float[Array, ""] = parameter(0.004375, unit="mM/ms", bounds=(0, 0.04), cite=ORD)
    leak: Float[Array, ""] = parameter(0.0039375 / 15, unit="1/ms", bounds=(0, 3e-3), cite=ORD)
    calmodulin: Float[Array, ""] = parameter(0.05, unit="mM", bounds=(0, 0.5), cite=ORD)
    troponin: Float[Array, ""] = parameter(0.07, unit="mM", bounds=(0, 0.7), cite=ORD)
    calsequestrin: Float[Array, ""] = parameter(10.0, unit="mM", bounds=(0, 100), cite=ORD)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50, 200), cite=ORD)
    ca_o: Float[Array, ""] = parameter(1.8, unit="mM", bounds=(0.2, 10), cite=ORD)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1, 20), cite=ORD)
    concentration: Float[Array, ""] = parameter(0.0, unit="nM", bounds=(0, 1e12), cite=HERG)
    k_max: Float[Array, ""] = parameter(0.0, unit="1", bounds=(0, 1e9), cite=HERG)
    k_u: Float[Array, ""] = parameter(0.0, unit="1/ms", bounds=(0, 10), cite=HERG)
    n: Float[Array, ""] = parameter(1.0, unit="1", bounds=(0.1, 5), cite=HERG)
    half_max: Float[Array, ""] = parameter(1.0, unit="1", bounds=(1e-6, 1e12), cite=HERG)
    v_half: Float[Array, ""] = parameter(1.0, unit="mV", bounds=(-300, 300), cite=HERG)
    k_t: Float[Array, ""] = parameter(3.5e-5, unit="1/ms", bounds=(1e-9, 1), cite=HERG)

    def initial_state(self) -> State:
        return State(
            v=-88.00190465,
            camkt=0.0125840447,
            nai=7.268004498,
            nass=7.268089977,
            ki=144.6555918,
            kss=144.6555651,
            cai=8.6e-05,
            cass=8.49e-05,
            cansr=1.619574538,
            cajsr=1.571234014,
            m=0.007344121102,
            hf=0.6981071913,
            hs=0.6980895801,
            j=0.6979908432,
            hsp=0.4549485525,
            jp=0.6979245865,
            ml=0.0001882617273,
            hl=0.5008548855,
            hlp=0.2693065357,
            a=0.001001097687,
            i_f=0.9995541745,
            i_s=0.5865061736,
            ap=0.0005100862934,
            i_fp=0.9995541823,
            i_sp=0.6393399482,
            d=2.34e-09,
            ff=0.9999999909,
            fs=0.9102412777,
            fcaf=0.9999999909,
            fcas=0.9998046777,
            jca=0.9999738312,
            nca=0.002749414044,
            ffp=0.9999999909,
            fcafp=0.9999999909,
            xs1=0.2707758025,
            xs2=0.0001928503426,
            xk1=0.9967597594,
            jrelnp=2.5e-07,
            jrelp=3.12e-07,
            ic1=0.999637,
            ic2=6.83208e-05,
            c1=1.80145e-08,
            c2=8.26619e-05,
            o=0.00015551,
            io=5.67623e-05,
            io_bound=0.0,
            o_bound=0.0,
            c_bound=0.0,
        )

    def currents(self, state: State) -> dict[str, Any]:
        return all_currents(self, state, state.o)[0]

    def rates(self, state: State, stimulus: Any) -> State:
        return State(
            **common_rates(self, state, stimulus, *all_currents(self, state, state.o)),
            **_herg(self, state),
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        free = state.ic1 + state.ic2 + state.c1 + state.c2 + state.o + state.io
        return charge(self, state), free + state.io_bound + state.o_bound + state.c_bound


def _herg(cell: CipaV1, s: State) -> dict[str, Occupancy]:
    rates = {pair: a * jnp.exp(b * s.v) for pair, (a, b) in _TRANSITIONS.items()}
    effect = power(cell.concentration, cell.n)
    binding = cell.k_max * cell.k_u * effect / (effect + cell.half_max)
    opening = cell.k_t * boltzmann(s.v, cell.v_half, -6.789)
    return markov(
        s,
        rates
        | {
            ("o", "o_bound"): binding,
            ("o_bound", "o"): cell.k_u,
            ("io", "io_bound"): binding,
            ("io_bound", "io"): cell.k_u * rates["o", "io"] / rates["io", "o"],
            ("o_bound", "c_bound"): cell.k_t,
            ("c_bound", "o_bound"): opening,
            ("io_bound", "c_bound"): cell.k_t,
            ("c_bound", "io_bound"): opening,
        },
    )
