"""A figure of one beat: pressures, flows, volumes and pressure-volume loops, with intervals."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

# waveform, colour
_PANELS = {
    "left heart: pressure [mmHg]": (
        ("left_ventricle.pressure", "#b2182b"),
        ("systemic_arteries.pressure", "#ef8a62"),
        ("left_atrium.pressure", "#8073ac"),
    ),
    "right heart: pressure [mmHg]": (
        ("right_ventricle.pressure", "#2166ac"),
        ("pulmonary_arteries.pressure", "#67a9cf"),
        ("right_atrium.pressure", "#5aae61"),
    ),
    "volume [mL]": (
        ("left_ventricle.volume", "#b2182b"),
        ("right_ventricle.volume", "#2166ac"),
        ("left_atrium.volume", "#8073ac"),
        ("right_atrium.volume", "#5aae61"),
    ),
    "flow through the left valves [mL/s]": (
        ("mitral.flow", "#8073ac"),
        ("aortic.flow", "#b2182b"),
    ),
    "flow through the right valves [mL/s]": (
        ("tricuspid.flow", "#5aae61"),
        ("pulmonary.flow", "#2166ac"),
    ),
}
Band = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


def draw_beat(
    time: np.ndarray,
    waves: dict[str, Band],
    path: Path,
    reference: dict[str, np.ndarray] | None = None,
) -> None:
    """Draws waveforms (mean, lower, upper) over time [s]; bounds may be absent.

    Waveforms of `reference` are drawn over them as dashed black lines.
    """
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"a figure is .png, .pdf or .svg, not '{path.suffix or path.name}'")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {path.absolute().parent} to write {path.name} in")
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(12, 6.5), layout="constrained")
        axes = figure.subplots(2, 3).ravel()
        for axis, (title, rows) in zip(axes, _PANELS.items(), strict=False):
            for name, colour in rows:
                mean, low, high = waves[name]
                label = name.split(".")[0].replace("_", " ")
                axis.plot(time, mean, color=colour, lw=1.6, label=label)
                if low is not None and high is not None:
                    axis.fill_between(time, low, high, color=colour, alpha=0.25, lw=0)
                if reference is not None:
                    axis.plot(time, reference[name], color="black", lw=0.8, ls="--")
            axis.set_title(title, fontsize=10, loc="left")
            axis.set_xlabel("time [s]", fontsize=9)
            axis.legend(frameon=False, fontsize=8)
        for side, colour in (("left", "#b2182b"), ("right", "#2166ac")):
            volume, pressure = (
                waves[f"{side}_ventricle.{what}"][0] for what in ("volume", "pressure")
            )
            axes[5].plot(
                np.append(volume, volume[0]),
                np.append(pressure, pressure[0]),
                color=colour,
                lw=1.6,
                label=f"{side} ventricle",
            )
        axes[5].set_title("pressure-volume loops", fontsize=10, loc="left")
        axes[5].set_xlabel("volume [mL]", fontsize=9)
        axes[5].set_ylabel("pressure [mmHg]", fontsize=9)
        axes[5].legend(frameon=False, fontsize=8)
        temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
        try:
            figure.savefig(temporary, dpi=150)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
