"""`twinjax info`: what a file is, and where it came from."""

import json
import zipfile
from pathlib import Path
from typing import Annotated, Any

import typer

from training.cli._output import key_values, show, show_json


def info(
    file: Annotated[
        Path,
        typer.Argument(
            help="a dataset, surrogate, twin, beat, prediction, cell, tissue, wall or heart"
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what a file is, and where it came from."""
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty")
    told = _surrogate(file) if zipfile.is_zipfile(file) else _hdf5(file)
    if as_json:
        show_json(told)
        return
    shown = {k: v for k, v in told.items() if k != "case"}
    show(key_values(str(file), {name: _short(value) for name, value in shown.items()}))
    if "case" in told:
        show(told["case"].strip().replace("[", "\\["))


def _surrogate(file: Path) -> dict[str, Any]:
    from surrogates.runtime import load

    card = load(file).card
    errors = {name: e["mean"] for name, e in card["errors"]["waveforms"].items()}
    worst = max(errors, key=lambda name: errors[name])
    return {
        "kind": "surrogate",
        "use": card["use"],
        "box": {
            f"{name} [{unit}]": f"{low:.4g} to {high:.4g}"
            for name, unit, (low, high) in zip(
                card["names"], card["units"], card["box"], strict=True
            )
        },
        "runs": card["runs"],
        "training": card["training"],
        "worst waveform": f"{worst}: {100 * errors[worst]:.2f} % (one member, runs not seen)",
        "mean error of all waveforms": f"{100 * sum(errors.values()) / len(errors):.2f} %",
        "baselines": {
            name: f"{100 * sum(e.values()) / len(e):.2f} %"
            for name, e in card.get("baselines", {}).items()
        },
        "dataset_sha256": card["dataset_sha256"],
        "versions": card["versions"],
        "case": card["case"],
    }


def _hdf5(path: Path) -> dict[str, Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            kind = file.attrs.get("twinjax_kind")
            if kind is None:
                raise ValueError(f"{path} is an HDF5 file of another program")
            provenance = json.loads(file.attrs.get("provenance", "{}"))
            told = {"kind": str(kind), "format": int(file.attrs.get("format", 1))}
            if "theta" in file:
                told |= {
                    "runs": file["theta"].shape[0],
                    "failed": int(file.attrs["failed"]),
                    "parameters": ", ".join(file["names"].asstr()[:]),
                    "sensitivities": "sensitivities" in file,
                }
            if kind == "cell":
                told["biomarkers"] = {
                    f"{name} [{item.attrs['unit']}]": f"{item[()]:.4g}"
                    for name, item in file["scalars"].items()
                }
            if kind == "tissue":
                told |= {
                    "model": str(file.attrs["model"]),
                    "nodes": file["mesh/points"].shape[0],
                    "snapshots": file["snapshots/time"].shape[0] if "snapshots" in file else 0,
                    "ecg": "ecg" in file,
                }
            if kind == "mechanics":
                told |= {
                    "energy": str(file.attrs["energy"]),
                    "nodes": file["mesh/points"].shape[0],
                    "complete": bool(file.attrs["complete"]),
                    "share of the load": float(file["share"][-1]),
                    "strain": "strain" in file,
                }
            if kind == "heart":
                told |= {
                    "energy": str(file.attrs["energy"]),
                    "cell": str(file.attrs["cell"]),
                    "nodes": file["mesh/points"].shape[0],
                    "complete": bool(file.attrs["complete"]),
                    "time": f"{file['time'][-1]:g} ms",
                    "shapes": file["shapes/time"].shape[0],
                }
                if "ecg" in file:
                    told["ECG"] = {
                        "leads": ", ".join(json.loads(file["ecg/values"].attrs["leads"])),
                        "QRS duration [ms]": float(file["ecg/qrs_duration"][()]),
                        "largest deflection [mV]": float(f"{abs(file['ecg/values'][:]).max():.4g}"),
                    }
                told["last beat"] = {
                    f"{name} [{item.attrs['unit']}]": float(f"{item[()]:.4g}")
                    for name, item in file["scalars"].items()
                } or "none was reached whole"
            if kind == "activation":
                summary = json.loads(file.attrs["summary"])
                told |= {
                    "nodes": file["mesh/points"].shape[0],
                    "qrs_correlation": summary["qrs_correlation"],
                    "maps": f"{summary['accepted']} of {summary['members']}",
                }
            if "draws" in file:
                told |= {
                    "draws": file["draws"].shape[0],
                    "parameters": ", ".join(file["names"].asstr()[:]),
                }
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path} is truncated or not a file of twinjax: it is neither HDF5 nor a surrogate"
        ) from error
    return told | provenance


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{_short(name)}: {_short(item)}" for name, item in value.items())
    return str(value).replace("[", "\\[")
