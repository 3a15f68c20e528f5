"""JAX's flags, as every program of twinjax sets them; a library must leave them alone."""

import os
from pathlib import Path

import jax

__all__ = ["configure", "keep_compiled_code"]

_WIDTH = "xla_cpu_prefer_vector_width"


def configure(*, compilation_cache: bool = True) -> None:
    """Sets what the command line and the experiments run under; call it before any computation.

    Double precision. No asynchronous dispatch on CPU: with it more than one program is in flight,
    and two of them on XLA's own pool of threads were seen to wait for each other forever. Vectors
    of 512 bits where the processor has them, of which XLA uses half as a rule: cells step 1.4 times
    as fast. Neither has an effect once JAX has computed something.

    **Arguments:** with `compilation_cache` compiled code is kept from run to run
    (`keep_compiled_code`); without it nothing is read from a cache either.
    """
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    flags = os.environ.get("XLA_FLAGS", "")
    if _WIDTH not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{_WIDTH}=512".strip()
    if compilation_cache:
        keep_compiled_code()
    else:
        jax.config.update("jax_enable_compilation_cache", False)


def keep_compiled_code() -> None:
    """Switches on JAX's persistent cache, in the folder that `JAX_COMPILATION_CACHE_DIR` names.

    Without that variable it is `twinjax/jax` in the user's cache folder.
    """
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if not cache:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = str(Path(base) / "twinjax" / "jax")
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
