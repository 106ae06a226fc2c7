"""The one place that turns errors raised on purpose into exit codes."""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from autotiny.errors import AutotinyError, UserError, shown
from autotiny.interrupts import none_lost
from autotiny.machine import disk_is_full

USER_ERROR, OTHER_ERROR, INTERRUPTED = 2, 1, 130
DIFFERS = 3
"""A recipe was applied, and gave other figures or other bytes than it records."""

OF_A_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EROFS, errno.ENOTDIR)
"""What the system says of a path that a user gave."""


class Commands(TyperGroup):
    """The commands, and the one place that turns errors raised on purpose into exit codes."""

    def invoke(self, ctx: Any) -> object:
        """Run a command; what is no error of ours keeps its traceback."""
        if not sys.warnoptions:
            # of the libraries below us, in the middle of the live view; -W brings them back
            warnings.simplefilter("ignore")
            logging.getLogger().setLevel(logging.ERROR)
        try:
            with none_lost():
                return super().invoke(ctx)
        except UserError as error:
            complain(str(error))
            raise typer.Exit(USER_ERROR) from None
        except AutotinyError as error:
            complain(str(error))
            raise typer.Exit(OTHER_ERROR) from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in OF_A_PATH and error.filename:
                complain(f"cannot use {shown(str(error.filename))}: {error.strerror}")
                raise typer.Exit(USER_ERROR) from None
            if not disk_is_full(error):
                raise
            complain("the disk is full; free some space and start the same command again")
            raise typer.Exit(OTHER_ERROR) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None


def complain(message: str) -> None:
    """One line on stderr, red where that is a terminal."""
    # A message that quotes another library may hold line breaks; the promise is one line.
    line = f"error: {' '.join(message.split())}"
    typer.secho(line, err=True, fg=typer.colors.RED)
