"""What every test runs under: float64, strict shapes and types, checked annotations."""

import os
from pathlib import Path

import jax
import jaxtyping
import pytest

from tests._shared import shared as _shared

# In the environment too, so that the programs a test starts share the cache of compiled code.
_CACHE = os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("MPLBACKEND", "Agg")
# XLA's own choice, here and in programs that a test starts, which as applications would choose
# otherwise: what both compute is compared to the last digit.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_prefer_vector_width=256")

jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_enable_x64", True)
# As applications have it: two programs in flight can wait for each other forever.
jax.config.update("jax_cpu_enable_async_dispatch", False)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Not also dtype promotion "strict": blackjax and optax mix booleans, integers and floats.

# Annotated shapes and types are checked at every call, in tests only: users pay nothing.
# The numeric tower lets an int stand for a float, as type checkers do.
jaxtyping.install_import_hook(
    ["twinjax", "surrogates", "training"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)


@pytest.fixture(scope="session")
def shared():
    """`shared(relative) -> Path` of reference data; skips where they are absent."""
    return _shared


@pytest.fixture(autouse=True, scope="module")
def _few_memory_maps():
    """Drops compiled programs before they exhaust what Linux lets a process map.

    Each takes several maps, and where the limit (vm.max_map_count, 65,530 as a rule) is reached
    the compiler crashes. The cache on disk keeps most of what has to be loaded again.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 35_000:
        jax.clear_caches()
