"""What a left ventricle in a closed loop does when blood, vessels, rate or drugs change.

The ventricle of `whole_heart_beat` on a coarse mesh, from ToR-ORd's calcium, beats until it is
periodic, and again after each change of one thing:

- the volume of blood, at two contractilities: Frank and Starling's law, the end-systolic relation
  of pressure and volume, and the stroke work that preload recruits;
- the systemic resistance; the heart rate, with the calcium of cells paced at it; an atrium that
  does not contract; half of the L-type calcium current blocked; half of hERG blocked.

Spec: the directions, and sizes where the literature gives them; sources are with the rows. Not
tried, for the ventricle is one and contracts at once: bundle branch blocks, and pacing.

With --quick: one change of blood on a coarser mesh in long steps, directions alone.
"""

import dataclasses
import time
from typing import Any

import equinox as eqx
import numpy as np
from rich.console import Console

from twinjax.cells import ToRORd, beat_grid, biomarkers, pace, scaled
from twinjax.heart import CalciumTransient, HeartState, WholeHeart, settle
from twinjax.units import factor

from ._report import Report, main
from ._ventricle import Watch, ventricle
from .whole_heart_beat import steps

SPACING, CELL_BEATS, BEATS, RTOL = 13.0, 100, 8, 0.003
REST, FAST = 60.0, 90.0  # bpm
LITTLE, MUCH = 0.92, 1.08  # of the blood
STRONG = 1.15  # of the tension
STARLING = "Patterson and Starling 1914, J Physiol 48:357"
GLOWER = "Glower et al. 1985, Circulation 71:994: linear in each of their dogs"
SUGA = "Suga and Sagawa 1974, Circ Res 35:117: linear, steeper with contractility"
CHEN = "Chen et al. 2001, J Am Coll Cardiol 38:2028: adults at rest"
PETERSEN = "Petersen et al. 2017, J Cardiovasc Magn Reson 19:18: 58 ± 5 % and 61 ± 5 %, 2 SD"
WEISSLER = "Weissler et al. 1968, Circulation 37:149: systolic time intervals"


@dataclasses.dataclass(frozen=True)
class Beat:
    """Indices of a periodic beat: mL, mmHg, ms, J, degrees."""

    end_diastolic: float
    end_systolic: float
    at_closure: tuple[float, float]  # volume and pressure as ejection ends
    peak: float
    rise: float  # mmHg/s
    mean_arterial: float
    filling: float  # pressure at the end of diastole
    work: float
    rate: float
    isovolumic_contraction: float
    ejection_time: float
    isovolumic_relaxation: float
    twist: float
    thickening: float
    shortening: float
    residual: float

    @property
    def stroke(self) -> float:
        return self.end_diastolic - self.end_systolic

    @property
    def fraction(self) -> float:
        return 100 * self.stroke / self.end_diastolic

    @property
    def output(self) -> float:
        return self.stroke * self.rate * factor("mL", "L")


def run(quick: bool, report: Report) -> None:
    """The beat at rest, then one change after the other."""
    laboratory = Laboratory(25.0 if quick else SPACING, 2 if quick else CELL_BEATS, quick)
    rest = laboratory.beat("at rest")
    much = laboratory.beat("more blood", blood=MUCH)
    report.at_least("stroke volume, more blood", much.stroke - rest.stroke, 0.0, **_ml(STARLING))
    report.at_least(
        "end-diastolic volume, more blood",
        much.end_diastolic - rest.end_diastolic,
        0.0,
        **_ml(STARLING),
    )
    if quick:
        return
    little = laboratory.beat("less blood", blood=LITTLE)
    sizes(report, rest)
    preload(report, laboratory, little, rest, much)
    afterload(report, laboratory, rest)
    rate(report, laboratory, rest)
    atrium(report, laboratory, rest)
    drugs(report, laboratory, rest)
    greatest = max(beat.residual for beat in laboratory.seen)
    words = "of the largest volume or pressure, over all beats"
    report.at_most("change over a beat", greatest, 2 * RTOL, unit="1", source=words)


def _ml(source: str) -> dict[str, str]:
    return {"unit": "mL", "source": source}


def sizes(report: Report, rest: Beat) -> None:
    """Of the beat at rest."""
    interval(report, "ejection fraction", rest.fraction, (48.0, 71.0), "%", PETERSEN)
    interval(report, "twist", rest.twist, (10.0, 15.0), "deg", "10 to 15 degrees of healthy adults")
    interval(report, "wall thickening", rest.thickening, (30.0, 50.0), "%", "30 to 50 %")
    interval(report, "long-axis shortening", rest.shortening, (12.0, 18.0), "%", "about 15 %")
    words = "30 to 80 ms of healthy adults"
    interval(
        report, "isovolumic contraction", rest.isovolumic_contraction, (30.0, 80.0), "ms", words
    )
    words = "60 to 100 ms of healthy adults"
    interval(
        report, "isovolumic relaxation", rest.isovolumic_relaxation, (60.0, 100.0), "ms", words
    )
    low, high = 413 - 1.7 * rest.rate - 20, 413 - 1.7 * rest.rate + 20
    words = f"{WEISSLER}: 413 - 1.7 HR ± 10 ms (men), 2 SD"
    interval(report, "ejection time", rest.ejection_time, (low, high), "ms", words)
    report.information("rise of pressure", rest.rise, unit="mmHg/s", source="greatest")
    report.information("peak pressure", rest.peak, unit="mmHg", source="at rest")
    report.information("end-diastolic pressure", rest.filling, unit="mmHg", source="at rest")


def preload(report: Report, laboratory: "Laboratory", little: Beat, rest: Beat, much: Beat) -> None:
    """Blood, at two contractilities."""
    report.at_least("stroke volume, less blood", rest.stroke - little.stroke, 0.0, **_ml(STARLING))
    usual = [little, rest, much]
    volumes = [beat.end_diastolic for beat in usual]
    straight = np.corrcoef(volumes, [beat.work for beat in usual])[0, 1] ** 2
    report.at_least("stroke work over end-diastolic volume, r²", straight, 0.97, **_one(GLOWER))
    slope, start, straight = relation(usual)
    report.at_least("end-systolic relation, r²", straight, 0.97, **_one(SUGA))
    interval(report, "end-systolic elastance", slope, (1.0, 4.5), "mmHg/mL", CHEN)
    report.information("its volume at no pressure", start, **_ml("extrapolated"))
    strong = [
        laboratory.beat(f"stronger, {name}", blood=blood, strength=STRONG)
        for name, blood in (("less blood", LITTLE), ("same blood", 1.0), ("more blood", MUCH))
    ]
    steeper, _, _ = relation(strong)
    words = {"unit": "mmHg/mL", "source": f"{SUGA}; tension {STRONG:g} times"}
    report.at_least("end-systolic elastance, stronger", steeper - slope, 0.0, **words)
    report.at_least(
        "rise of pressure, stronger",
        strong[1].rise - rest.rise,
        0.0,
        unit="mmHg/s",
        source=SUGA,
    )


def relation(beats: list[Beat]) -> tuple[float, float, float]:
    """Slope [mmHg/mL], volume at no pressure [mL] and r² of pressures as ejection ends."""
    volume, pressure = np.array([beat.at_closure for beat in beats], float).T
    slope, height = np.polyfit(volume, pressure, 1)
    return float(slope), float(-height / slope), float(np.corrcoef(volume, pressure)[0, 1] ** 2)


def afterload(report: Report, laboratory: "Laboratory", rest: Beat) -> None:
    """A third more resistance."""
    high = laboratory.beat("resistance", resistance=1.33)
    words = "Suga and Sagawa 1974: less is ejected against more"
    report.at_least(
        "stroke volume, more resistance: loss", rest.stroke - high.stroke, 0.0, **_ml(words)
    )
    report.at_least(
        "mean arterial pressure, more resistance",
        high.mean_arterial - rest.mean_arterial,
        0.0,
        unit="mmHg",
        source=words,
    )


def rate(report: Report, laboratory: "Laboratory", rest: Beat) -> None:
    """Faster, with the calcium of cells at that rate."""
    fast = laboratory.beat("90 bpm", rate=FAST)
    words = "Mulieri et al. 1992, Circulation 85:1743: force rises with frequency in healthy muscle"
    report.at_least(
        "rise of pressure, 90 bpm", fast.rise - rest.rise, 0.0, unit="mmHg/s", source=words
    )
    report.at_least("output, 90 bpm", fast.output - rest.output, 0.0, unit="L/min", source=words)
    words = "less time to fill"
    report.at_least("stroke volume, 90 bpm: loss", rest.stroke - fast.stroke, 0.0, **_ml(words))
    shorter = rest.ejection_time - fast.ejection_time
    report.at_least("ejection time, 90 bpm: loss", shorter, 0.0, unit="ms", source=WEISSLER)


def atrium(report: Report, laboratory: "Laboratory", rest: Beat) -> None:
    """Without the atrial kick."""
    still = laboratory.beat("still atrium", atrium=0.0)
    lost = 100 * (1 - still.output / rest.output)
    words = "the kick gives some 10 to 30 % of filling at rest"
    interval(report, "output lost without the atrial kick", lost, (3.0, 30.0), "%", words)


def drugs(report: Report, laboratory: "Laboratory", rest: Beat) -> None:
    """Half of a current blocked."""
    weak = laboratory.beat("ICaL blocked", blocked={"ICaL": 0.5})
    words = "calcium-channel blockers weaken the heart"
    fall = {"unit": "mmHg", "source": words}
    report.at_least("peak pressure, half of ICaL: loss", rest.peak - weak.peak, 0.0, **fall)
    lost = rest.fraction - weak.fraction
    report.at_least("ejection fraction, half of ICaL: loss", lost, 0.0, unit="%", source=words)
    long = laboratory.duration({"IKr": 0.5}) - laboratory.duration({})
    words = "hERG block lengthens the action potential, and QT with it"
    report.at_least("action potential, half of IKr: longer by", long, 20.0, unit="ms", source=words)
    later = laboratory.beat("IKr blocked", blocked={"IKr": 0.5})
    words = "relaxation comes later"
    report.at_least(
        "ejection time, half of IKr",
        later.ejection_time - rest.ejection_time,
        0.0,
        unit="ms",
        source=words,
    )


def interval(
    report: Report, name: str, value: float, ends: tuple[float, float], unit: str, source: str
) -> None:
    """A row that holds between the ends."""
    report.interval(name, value, *ends, unit=unit, source=source)


def _one(source: str) -> dict[str, str]:
    return {"unit": "1", "source": source}


class Laboratory:
    """A heart that one thing is changed of at a time."""

    def __init__(self, spacing: float, cell_beats: int, quick: bool):
        self.spacing, self.cell_beats, self.quick = spacing, cell_beats, quick
        self.seen: list[Beat] = []
        self.start: HeartState | None = None
        self.console = Console(stderr=True, width=160)

    def beat(self, name: str, **changes: Any) -> Beat:
        """The periodic beat after changes, from that at rest."""
        begun = time.perf_counter()
        heart = self.heart(**changes)
        period = float(heart.circulation.period()) * factor("s", "ms")
        lengths = np.full(100, period / 100) if self.quick else steps(0.5, period)
        start = heart.filled() if self.start is None else self._begun(heart)
        found = settle(
            heart,
            start=start,
            step=lengths,
            beats=BEATS,
            rtol=RTOL,
            observe=Watch(heart),
            throw=False,
        )
        if not np.all(np.asarray(found.times)[1:] > 0) or len(found.times) <= len(lengths):
            raise RuntimeError(f"the heart stopped {float(found.times[-1]):.0f} ms into: {name}")
        if self.start is None:
            self.start = found.state
        seen = indices(found, float(heart.circulation.heart_rate))
        self.seen.append(seen)
        words = f"{seen.fraction:.0f} %, {seen.peak:.0f} mmHg, residual {seen.residual:.2g}"
        took = f"{time.perf_counter() - begun:.0f} s, {int(found.stats['beats'])} beats"
        self.console.print(f"{name}: {words}; {took}", markup=False)
        return seen

    def _begun(self, heart: WholeHeart) -> HeartState:
        """From the beat at rest, at the beginning of a beat, with the heart's own blood."""
        assert self.start is not None
        blood = heart.circulation.restore(self.start.circulation)
        at_start = eqx.tree_at(lambda s: s.circulation, self.start, blood)
        return eqx.tree_at(lambda s: s.time, at_start, np.zeros(()))

    def heart(
        self,
        *,
        blood: float = 1.0,
        strength: float = 1.0,
        resistance: float = 1.0,
        rate: float = REST,
        atrium: float = 1.0,
        blocked: dict[str, float] | None = None,
    ) -> Any:
        """Factors of what is there at rest; shares of currents."""
        heart: Any = ventricle(self.spacing, calcium=self.calcium(rate, blocked or {}), rate=rate)
        loop, tension = heart.circulation, heart.tension
        # Values in the order of the places: replace_fn takes them in that of the tree.
        return eqx.tree_at(
            lambda h: (
                h.circulation.stressed_volume,
                h.tension.t_ref,
                h.circulation.systemic_arteries.resistance,
                h.circulation.left_atrium.active_elastance,
            ),
            heart,
            (
                blood * loop.stressed_volume,
                strength * tension.t_ref,
                resistance * loop.systemic_arteries.resistance,
                atrium * loop.left_atrium.active_elastance,
            ),
        )

    def _paced(self, rate: float, blocked: dict[str, float]) -> Any:
        cell = scaled(ToRORd(), {name: 1 - share for name, share in blocked.items()})
        period, stimulus = 6e4 / rate, cell.about.stimulus
        assert stimulus is not None
        return pace(cell, beats=self.cell_beats, grid=beat_grid(period, stimulus[1])), period

    def calcium(self, rate: float, blocked: dict[str, float]) -> CalciumTransient:
        """Of cells paced at the rate."""
        cell, period = self._paced(rate, blocked)
        return CalciumTransient(cell.times[:-1], cell.observations["cai"][:-1], period=period)

    def duration(self, blocked: dict[str, float]) -> float:
        """Of the action potential, to 90 % of repolarisation [ms]."""
        cell, _ = self._paced(REST, blocked)
        return float(biomarkers(cell)["apd90"])


def indices(done: Any, rate: float) -> Beat:
    """Of a beat from its waveforms."""
    seen, motion = done.observations, done.observations["seen"]
    times = np.asarray(done.times) - float(done.times[0])
    volume, pressure, arterial, atrial, flow = (
        np.asarray(seen[name])
        for name in (
            "left_ventricle.volume",
            "left_ventricle.pressure",
            "systemic_arteries.pressure",
            "left_atrium.pressure",
            "aortic.flow",
        )
    )
    # From the middle of diastole to that of the next beat: valves open and close within.
    middle = int(np.searchsorted(times, 0.75 * times[-1]))
    order = np.concatenate([np.arange(middle, len(times) - 1), np.arange(middle + 1)])
    when = np.where(np.arange(len(order)) < len(times) - 1 - middle, -times[-1], 0) + times[order]
    above, beyond, out = (
        (a - b)[order] for a, b in ((pressure, atrial), (pressure, arterial), (flow, 0))
    )
    top = int(pressure[order].argmax())
    closes_mitral = crossing(when, above, 0, top, last=True)
    opens = crossing(when, beyond, 0, top, last=True)
    closes = crossing(when, -out, int(out.argmax()), len(when) - 1)
    opens_mitral = crossing(when, -above, top, len(when) - 1)
    long, thick, turn = (np.asarray(motion[k]) for k in ("long_axis", "thickness", "twist"))
    small, large = int(volume.argmin()), int(volume.argmax())
    mean = (pressure[1:] + pressure[:-1]) / 2
    return Beat(
        end_diastolic=float(volume.max()),
        end_systolic=float(volume.min()),
        at_closure=(
            float(np.interp(closes, times, volume)),
            float(np.interp(closes, times, pressure)),
        ),
        peak=float(pressure.max()),
        rise=float((np.diff(pressure) / np.diff(times)).max() / factor("ms", "s")),
        mean_arterial=float(np.trapezoid(arterial, times) / times[-1]),
        filling=float(np.interp(closes_mitral, when, pressure[order])),
        work=float(-np.sum(mean * np.diff(volume)) * factor("mmHg", "kPa") * 1e-3),
        rate=rate,
        isovolumic_contraction=opens - closes_mitral,
        ejection_time=closes - opens,
        isovolumic_relaxation=opens_mitral - closes,
        twist=float(np.max(turn - turn[large])),
        thickening=float(100 * (thick[small] / thick[large] - 1)),
        shortening=float(100 * (1 - long[small] / long[large])),
        residual=float(done.stats["residual"]),
    )


def crossing(
    times: np.ndarray, values: np.ndarray, begin: int, end: int, *, last: bool = False
) -> float:
    """When values first, or last, rise above 0 between two samples, linear between samples."""
    above = values[begin : end + 1] > 0
    found = np.flatnonzero(above[1:] & ~above[:-1])
    if not len(found):
        raise RuntimeError("a valve neither opens nor closes where it should")
    k = begin + int(found[-1 if last else 0])
    share = values[k] / (values[k] - values[k + 1])
    return float(times[k] + share * (times[k + 1] - times[k]))


if __name__ == "__main__":
    main(run, name="whole_heart_physiology")
