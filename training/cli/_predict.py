"""`twinjax predict`: a surrogate's beat with intervals, without JAX where parameters are given."""

import csv
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from surrogates.runtime import Runtime, load
from training.cli._output import replacing, show, show_json


def predict(
    surrogate: Annotated[Path, typer.Argument(help="heart.surrogate")],
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TWIN_OR_THETA",
            help="twin.h5; or a TOML or JSON file of name = {value, unit}; or name=value ...",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help=".csv, .h5, .json, .png, .pdf or .svg")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Predict a beat; parameters that are not given keep the values of the trained model."""
    runtime = load(surrogate)
    what = what or []
    if len(what) == 1 and "=" not in what[0] and Path(what[0]).suffix in (".h5", ".hdf5"):
        result = _of_twin(runtime, Path(what[0]))
    else:
        result = _of_theta(runtime, _theta(runtime, what))
    if output is not None:
        _write(output, result)
    if as_json:
        show_json(_plain(result))
        return
    show(_table(result))
    if result["outside"]:
        show(
            "[bold red]outside the trained box[/]: "
            + ", ".join(result["outside"])
            + "; the intervals do not hold"
        )


def _theta(runtime: Runtime, what: list[str]) -> dict[str, float]:
    values = dict(zip(runtime.names, runtime.card["defaults"], strict=True))
    if len(what) == 1 and "=" not in what[0]:
        given = _table_of(Path(what[0]))
    else:
        given = {}
        for item in what:
            name, equals, value = item.partition("=")
            if not equals:
                raise ValueError(f"'{item}' is not name=value, and there is more than one argument")
            text, _, unit = value.strip().partition(" ")
            given[name.strip()] = (_number(name, text), unit.strip() or None)
    for name, (number, told) in given.items():
        if name not in values:
            raise ValueError(_unknown(runtime, name))
        own = runtime.units[runtime.names.index(name)]
        values[name] = number if told is None or told == own else _convert(name, number, told, own)
    return values


def _unknown(runtime: Runtime, name: str) -> str:
    if name in runtime.card["fixed"]:
        value = runtime.card["fixed"][name]
        return f"'{name}' is fixed at {value:g} in this surrogate: it was not varied in training"
    try:
        runtime({name: 0.0})
    except ValueError as error:
        return str(error)
    return f"unknown parameter '{name}'"


def _convert(name: str, value: float, unit: Any, own: str) -> float:
    from twinjax.units import convert  # loads JAX: only where it is needed

    try:
        return float(convert(value, unit, own))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _number(name: str, text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {text!r} is not a number") from None


def _table_of(path: Path) -> dict[str, tuple[float, str | None]]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    text = path.read_text("utf-8")
    if not text.strip():
        raise ValueError(f"{path} is empty")
    try:
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} is not {path.suffix or 'TOML'}: {error}") from None
    rows: dict[str, tuple[float, str | None]] = {}
    for name, entry in _flat(table):
        if not isinstance(entry, dict) or set(entry) != {"value", "unit"}:
            raise ValueError(f"{path}: {name} needs {{value = ..., unit = ...}}")
        rows[name] = (_number(name, entry["value"]), str(entry["unit"]))
    return rows


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Names such as `aorta.resistance`, whether quoted or nested by TOML's dots."""
    rows = []
    for name, entry in table.items():
        nested = isinstance(entry, dict) and not {"value", "unit"} & set(entry)
        rows += _flat(entry, f"{prefix}{name}.") if nested else [(prefix + name, entry)]
    return rows


def _of_theta(runtime: Runtime, values: dict[str, float]) -> dict[str, Any]:
    beat = runtime(values)
    return {
        "waves": {n: beat.waveform(n) for n in runtime.waveform_names},
        "scalars": {n: beat.scalar(n) for n in runtime.scalar_names},
        "outside": list(beat.outside),
        **_context(runtime),
    }


def _of_twin(runtime: Runtime, path: Path) -> dict[str, Any]:
    """All draws of a posterior, each with the surrogate's own uncertainty."""
    from training.twin import load_twin

    twin = load_twin(path)
    known = {**twin.fixed, **dict(zip(twin.names, twin.mode, strict=True))}
    for name, value in runtime.card["fixed"].items():
        free = name in twin.names
        if free or not np.isclose(known.get(name, value), value, rtol=1e-6):
            told = "varies it" if free else f"has {known[name]:g}"
            raise ValueError(
                f"the surrogate was trained with {name} = {value:g}, and {path} {told}"
            )
    # A surrogate's parameter that the twin does not vary keeps the twin's value.
    columns = [
        twin.draws[:, twin.names.index(n)]
        if n in twin.names
        else np.full(len(twin.draws), twin.fixed[n])
        for n in runtime.names
    ]
    rng = np.random.default_rng(0)
    waves, scalars = [], []
    outside: set[str] = set()
    for theta in np.stack(columns, axis=1):
        beat = runtime(theta)
        # One error for a whole waveform: within it errors go together.
        error = rng.standard_normal((len(runtime.waveform_names), 1)) / 1.6449
        waves.append(beat.waves + error * (beat.upper - beat.waves))
        error = rng.standard_normal(len(runtime.scalar_names)) / 1.6449
        scalars.append(beat.scalars + error * (beat.scalars_upper - beat.scalars))
        outside.update(beat.outside)
    bands = [np.quantile(np.array(a), (0.5, 0.05, 0.95), axis=0) for a in (waves, scalars)]
    return {
        "waves": {n: tuple(bands[0][:, i]) for i, n in enumerate(runtime.waveform_names)},
        "scalars": {
            n: tuple(float(v) for v in bands[1][:, i]) for i, n in enumerate(runtime.scalar_names)
        },
        "outside": sorted(outside),
        **_context(runtime),
    }


def _context(runtime: Runtime) -> dict[str, Any]:
    return {
        "phases": runtime.phases,
        "wave_units": dict(
            zip(runtime.waveform_names, runtime.card["waveform_units"], strict=True)
        ),
        "scalar_units": dict(zip(runtime.scalar_names, runtime.card["scalar_units"], strict=True)),
        "use": runtime.card["use"],
        "surrogate": runtime.card["sha256"],
    }


def _time(result: dict[str, Any]) -> np.ndarray:
    return result["phases"] * 60 / result["scalars"]["heart_rate"][0]


def _table(result: dict[str, Any]) -> Table:
    table = Table(title="prediction, 90 % intervals")
    for heading in ("quantity", "value", "lower", "upper", "unit"):
        right = heading in ("value", "lower", "upper")
        table.add_column(heading, justify="right" if right else "left")
    for name, values in result["scalars"].items():
        table.add_row(name, *(f"{v:.4g}" for v in values), result["scalar_units"][name])
    return table


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("value", "lower", "upper")
    return {
        "inside": not result["outside"],
        "outside": result["outside"],
        "scalars": {
            name: {**dict(zip(keys, values, strict=True)), "unit": result["scalar_units"][name]}
            for name, values in result["scalars"].items()
        },
        "time": {"value": _time(result).tolist(), "unit": "s"},
        "waveforms": {
            name: {
                **{k: np.asarray(v, float).tolist() for k, v in zip(keys, values, strict=True)},
                "unit": result["wave_units"][name],
            }
            for name, values in result["waves"].items()
        },
        "surrogate_sha256": result["surrogate"],
        "use": result["use"],
    }


def _write(path: Path, result: dict[str, Any]) -> None:
    writers = {".csv": _csv, ".json": _json, ".h5": _hdf5, ".hdf5": _hdf5}
    if path.suffix in (".png", ".pdf", ".svg"):
        from training._beat_figure import draw_beat

        draw_beat(_time(result), result["waves"], path)
    elif path.suffix in writers:
        with replacing(path) as temporary:
            writers[path.suffix](temporary, result)
    else:
        raise ValueError(
            f"cannot write '{path.name}': name a .csv, .h5, .json, .png, .pdf or .svg file"
        )


def _json(path: Path, result: dict[str, Any]) -> None:
    path.write_text(json.dumps(_plain(result), allow_nan=False))


def _csv(path: Path, result: dict[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["quantity", "unit", "time_s", "value", "lower", "upper"])
        for name, values in result["scalars"].items():
            numbers = (f"{v:.7g}" for v in values)
            rows.writerow([name, result["scalar_units"][name], "", *numbers])
        for name, values in result["waves"].items():
            for t, *at in zip(_time(result), *values, strict=True):
                numbers = (f"{v:.7g}" for v in at)
                rows.writerow([name, result["wave_units"][name], f"{t:.6f}", *numbers])


def _hdf5(path: Path, result: dict[str, Any]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["twinjax_kind"] = "prediction"
        file.attrs["format"] = 1
        file.attrs["provenance"] = json.dumps(
            {"surrogate_sha256": result["surrogate"], "context_of_use": result["use"]}
        )
        file.attrs["outside"] = json.dumps(result["outside"])
        file["time"] = _time(result)
        file["time"].attrs["unit"] = "s"
        for group, units in (("scalars", "scalar_units"), ("waveforms", "wave_units")):
            for name, values in result["waves" if group == "waveforms" else group].items():
                item = file.create_group(f"{group}/{name}")
                item.attrs["unit"] = result[units][name]
                for key, value in zip(("value", "lower", "upper"), values, strict=True):
                    item[key] = value
