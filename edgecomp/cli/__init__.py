"""The command line: parse, call one function, print. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import signal
import sys

from edgecomp.cli import devices, embed, make, measuring, parity, report, serve_demo, use  # noqa: F401, they add their commands
from edgecomp.cli.app import app
from edgecomp.cli.options import recipe_named, say
from edgecomp.errors import EdgecompError

__all__ = ["app", "main", "recipe_named"]


class Stopped(BaseException):
    """The user pressed Ctrl-C. Not KeyboardInterrupt, which Typer answers itself, and differently in each version."""


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    before = signal.signal(signal.SIGINT, _stop)
    try:
        app(prog_name="edgecomp")
    except EdgecompError as why:
        say(f"error: {why}")
        sys.exit(why.exit_code)
    except Stopped:
        say("stopped; finished steps are kept, and the same command goes on from there")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stderr.close()
        sys.exit(0)
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(*_: object) -> None:
    raise Stopped
