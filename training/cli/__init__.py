"""The command line: `twinjax VERB`."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from training.cli._output import complain

# verb -> its module, which has a function, or an application of verbs, of the same name; only the
# verb in use is imported, so that `predict` starts without JAX.
VERBS = {
    name: f"training.cli._{name.replace('-', '_')}"
    for name in (
        "demo",
        "simulate",
        "fit",
        "fit-ecg",
        "dataset",
        "train",
        "predict",
        "cell",
        "trial",
        "mesh",
        "info",
    )
}
# The class of all mistakes on a command line, whether typer brings its own click or not.
_USAGE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
_WITHOUT_JAX = {"predict", "info"}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one verb and ends the process: 0, 2 after a mistake, 130 if interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments and arguments[0] in VERBS else None
    if verb and verb not in _WITHOUT_JAX and "--help" not in arguments:
        from training._application import configure

        configure()
    sys.exit(_run(_application([verb] if verb else list(VERBS)), arguments))


def _application(verbs: Sequence[str]) -> typer.Typer:
    application = typer.Typer(
        name="twinjax",
        help="A digital twin of a person's heart and circulation. Research use only.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # A callback keeps the verb in the command line even if only one is registered.
    application.callback()(_twinjax)
    for verb in verbs:
        if importlib.util.find_spec(VERBS[verb]):
            found = getattr(importlib.import_module(VERBS[verb]), verb.replace("-", "_"))
            if isinstance(found, typer.Typer):
                application.add_typer(found, name=verb)
            else:
                application.command(verb)(found)
    return application


def _twinjax() -> None:
    """A digital twin of a person's heart and circulation. Research use only."""


def _run(application: typer.Typer, arguments: list[str]) -> int:
    try:
        outcome = application(arguments, standalone_mode=False, prog_name="twinjax")
        return outcome if isinstance(outcome, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        # These are quick and keep nothing on disk; all other long work resumes.
        begins = arguments[:1] in (["cell"], ["mesh"], ["fit-ecg"])
        how = "starts again, nothing was written" if begins else "goes on where it was"
        complain(f"interrupted; the same command {how}")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _USAGE as error:
        # Without arguments the help has been shown, and there is nothing to add.
        return complain(error.format_message()) if arguments else 2
    except (ValueError, OSError) as error:
        return complain(str(error))


if __name__ == "__main__":
    main()
