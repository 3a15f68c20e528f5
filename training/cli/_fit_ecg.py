"""`twinjax fit-ecg`: a mesh of the ventricles and a 12-lead ECG in, activation maps out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.cli._output import key_values, progress_bar, replacing, show, show_json
from training.cli._surfaces import SURFACES, surface_names

if TYPE_CHECKING:
    from training.anatomy import AnatomyTable

STAGES = {
    "sites": "times from sites on the endocardium",
    "starts": "looking for the best activation",
    "members": "looking for others that draw the same ECG",
    "repolarisation": "action potential durations",
}


def fit_ecg(
    mesh: Annotated[Path, typer.Argument(help="openCARP, VTK, VTU, Gmsh, TetGen or XDMF")],
    ecg: Annotated[Path, typer.Argument(help="WFDB header (.hea) or CSV: time [s],I [mV],…")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the maps")] = Path("maps.h5"),
    electrodes: Annotated[
        Path | None, typer.Option(help="JSON or CSV of nine positions in mm [standard places]")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="UNIT", help="of the mesh: µm, mm, cm, m [µm or mm]")
    ] = None,
    region: Annotated[
        list[int] | None, typer.Option(metavar="TAG", help="of the ventricles (repeatable) [all]")
    ] = None,
    surface: Annotated[list[str] | None, SURFACES] = None,
    fibres: Annotated[
        str | None, typer.Option(help="file or rule [those of the file, if it has any]")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="of the maps; the ECG's has -ecg in its name [beside them]")
    ] = None,
    vtu: Annotated[Path | None, typer.Option(help="the maps on the mesh, for ParaView")] = None,
    roots: Annotated[int, typer.Option(min=1, max=30, help="where activation starts")] = 8,
    starts: Annotated[int, typer.Option(min=1, help="of the search for the best map")] = 4,
    members: Annotated[int, typer.Option(min=2, help="maps to draw for the intervals")] = 12,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Find the activation maps of a person's ventricles that draw a 12-lead ECG.

    Where activation starts, how fast it spreads and how long action potentials last, each with
    a 90 % interval, from the QRS complex and the T wave of the median beat.
    """
    figure = output.with_suffix(".png") if figure is None else figure
    for path in (output, figure, vtu):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"the folder of {path} does not exist")
    if figure.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"a figure is .png, .pdf or .svg, not '{figure.name}'")
    if output in (figure, vtu):
        raise ValueError(f"the maps and another file would both be {output}: name a .h5 file")
    if vtu is not None and vtu.suffix.lower() != ".vtu":
        raise ValueError(f"--vtu writes a .vtu file, not '{vtu.name}'")
    from training.activation import personalise, read_beat, save_maps, summary
    from training.activation.figure import draw_leads, draw_maps
    from training.anatomy import load_anatomy

    beat = read_beat(ecg)
    anatomy = load_anatomy(_table(mesh, electrodes, unit, region, surface, fibres), Path())
    with progress_bar(quiet=as_json) as update:
        found = personalise(
            anatomy,
            beat,
            roots=roots,
            starts=starts,
            members=members,
            seed=seed,
            progress=lambda stage, share: update(STAGES[stage], round(100 * share), 100),
        )
    sources = {"mesh": mesh, "ecg": ecg} | ({"electrodes": electrodes} if electrodes else {})
    with replacing(output) as temporary:
        save_maps(found, temporary, sources)
    paper = figure.with_name(f"{figure.stem}-ecg{figure.suffix}")
    for draw, path in ((draw_maps, figure), (draw_leads, paper)):
        with replacing(path) as temporary:
            draw(found, temporary)
    if vtu is not None:
        _write_vtu(found, vtu)
    told = summary(found)
    written = [str(path) for path in (output, figure, paper, vtu) if path is not None]
    if as_json:
        show_json({"files": written, **told})
        return
    show(key_values("activation from an ECG", _rows(told)))
    for note in told["notes"]:
        show(f"note: {note}")
    show(f"written: {', '.join(written)}")


def _table(
    mesh: Path,
    electrodes: Path | None,
    unit: str | None,
    region: list[int] | None,
    surface: list[str] | None,
    fibres: str | None,
) -> "AnatomyTable":
    from training.anatomy import AnatomyTable
    from twinjax._names import unknown_name

    if fibres not in (None, "file", "rule"):
        raise ValueError(unknown_name("choice of --fibres", fibres, ("file", "rule")))
    units = ("µm", "um", "mm", "cm", "m")
    if unit is not None and unit not in units:
        raise ValueError(unknown_name("unit", unit, units))
    tags: dict[str, list[int]] = {}
    for tag, name in surface_names(surface or []).items():
        tags.setdefault(name, []).append(tag)
    return AnatomyTable.model_validate(
        {
            "mesh": str(mesh),
            "unit": unit,
            "regions": region or None,
            "surfaces": tags or None,
            "fibres": fibres,
            "electrodes": None if electrodes is None else str(electrodes),
        }
    )


def _rows(told: dict[str, Any]) -> dict[str, str]:
    rows = {
        "QRS: correlation": f"{told['qrs_correlation']:.4f}",
        "QRS: error": f"{1000 * told['qrs_rms_error_mV']:.0f} µV",
        "maps that explain it": f"{told['accepted']} of {told['members']}",
    }
    for name, entry in told["velocities_m_per_s"].items():
        rows[name.replace("_", " ")] = f"{entry['best']:.2f} m/s{_between(entry, '.2f')}"
    total = told["total_activation_ms"]
    rows["total activation"] = f"{total['mean']:.0f} ms{_between(total, '.0f')}"
    if "activation_sd_ms" in told:
        rows["local activation, SD of the maps"] = f"{told['activation_sd_ms']:.1f} ms"
    if "t_correlation" in told:
        rows["T: correlation"] = f"{told['t_correlation']:.4f}"
        for name, entry in told["durations_ms"].items():
            title = "duration, " + name.replace("_", " to ")
            rows[title] = f"{entry['best']:.0f} ms{_between(entry, '.0f')}"
    return rows


def _between(entry: dict[str, float], form: str) -> str:
    if "low" not in entry:
        return ""
    return f" (90 %: {entry['low']:{form}} to {entry['high']:{form}})"


def _write_vtu(found: Any, path: Path) -> None:
    from twinjax.io import write_mesh

    best = found.fit.best
    data = {"activation": best.activation}
    if len(found.fit.accepted) > 1:
        maps = found.fit.activations()
        data |= {"activation_mean": maps.mean(axis=0), "activation_sd": maps.std(axis=0, ddof=1)}
    if found.best_durations is not None:
        data["repolarisation"] = found.best_durations.repolarisation
    write_mesh(found.anatomy.mesh, path, point_data=data)
