"""Other programs for the slab of `electro_speed`: a C program, Finitewave and TorchCor."""

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from twinjax.geometry import slab
from twinjax.io import write_mesh

from ._shared import ReferenceAbsent, shared_path

__all__ = ["CProgram", "Peer", "finitewave", "torchcor"]

# Finitewave wants another NumPy than JAX, so it may live in an environment of its own.
_VARIABLES = {"finitewave": "TWINJAX_FINITEWAVE_PYTHON", "torchcor": "TWINJAX_TORCHCOR_PYTHON"}


class CProgram:
    """`peers/tt2006_slab.c` of the shared folder, compiled as its header says; double precision.

    Raises `ReferenceAbsent` without it or without gcc.
    """

    def __init__(self, folder: Path):
        source = shared_path("peers/tt2006_slab.c")
        if shutil.which("gcc") is None:
            raise ReferenceAbsent("gcc is not installed, and the C program is to be compiled")
        self.path = folder / "slab"
        flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp"]
        subprocess.run(["gcc", *flags, str(source), "-o", str(self.path), "-lm"], check=True)

    def __call__(self, spacing: float, step: float, end: float, threads: int) -> dict[str, float]:
        """Seconds of the loop alone, by the clock; of processors, all in all; and the activation.

        That is of the node at (20, 0, 0) mm, in ms, -1 where it did not come.
        """
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [str(self.path), str(spacing), str(step), str(end)],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        wall = re.search(r"wall ([\d.]+) s", done.stdout)
        far = re.search(r"^20\.00 +0\.00 +0\.00 +(\S+)", done.stdout, re.MULTILINE)
        assert wall is not None
        assert far is not None
        return {
            "seconds": float(wall[1]),
            "processor": processor,
            "activation": float(far[1]),
        }


class Peer:
    """A program in a process of its own, that answers questions one by one."""

    def __init__(self, name: str, arguments: Sequence[Any], threads: int):
        self._connection, theirs = Pipe()
        script = Path(__file__).with_name(f"_{name}_slab.py")
        self._process = subprocess.Popen(
            [_python(name), str(script), *map(str, arguments), str(theirs.fileno())],
            env=os.environ | {"NUMBA_NUM_THREADS": str(threads)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()  # so that the end of the process is seen

    def __call__(self, question: str) -> float:
        """`time`, processor seconds of a number of steps, or `activation` [ms]."""
        self._connection.send_bytes(question.encode())
        return float(self._connection.recv_bytes())

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._connection.close()


def finitewave(spacing: float, step: float, end: float, threads: int, timed: int) -> Peer | None:
    """Finitewave on the slab; none where it is not installed."""
    if not _installed("finitewave"):
        return None
    return Peer("finitewave", (spacing, step, end, threads, timed), threads)


def torchcor(
    folder: Path, spacing: float, step: float, end: float, threads: int, timed: int
) -> Peer | None:
    """TorchCor on tetrahedra between the same nodes; none where it is not installed."""
    if not _installed("torchcor"):
        return None
    size, cube = (20.0, 7.0, 3.0), 1.5
    mesh = slab(size, spacing)
    write_mesh(mesh, folder / "slab.pts")
    # Fibres alone: TorchCor does not read sheets.
    rows = "1 0 0\n" * len(mesh.cells)
    (folder / "slab.lon").write_text(f"1\n{rows}")
    points = np.asarray(mesh.points)
    stimulated = np.flatnonzero((points <= cube + 1e-6).all(axis=1))
    rows = "".join(f"{node}\n" for node in stimulated)
    (folder / "stimulated.vtx").write_text(f"{len(stimulated)}\nextra\n{rows}")
    far = int(np.argmin(np.sum((points - np.array([20.0, 0.0, 0.0])) ** 2, axis=1)))
    return Peer("torchcor", (folder, far, step, end, threads, timed), threads)


def _python(name: str) -> str:
    return os.environ.get(_VARIABLES[name]) or sys.executable


def _installed(name: str) -> bool:
    return (
        subprocess.run([_python(name), "-c", f"import {name}"], capture_output=True).returncode == 0
    )
