"""What an experiment ran on."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import jax

__all__ = ["device_in_words", "installed_versions"]

_PACKAGES = ("twinjax", "jax", "jaxlib", "equinox", "optimistix", "lineax", "numpy", "scipy")


def device_in_words() -> str:
    """The device that JAX computes on; for a CPU with its name and the cores we may use."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{device.platform}: {device.device_kind}"
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"cpu: {_processor()}, {cores} cores"


def installed_versions(peers: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python, of what twinjax rests on and of the named peers."""
    versions = {"python": platform.python_version()}
    for package in (*_PACKAGES, *peers):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
