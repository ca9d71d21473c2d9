"""How a run ends that does not end well: as one error of the tree, with its details in the log."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from render.errors import (
    TOO_LITTLE_MEMORY,
    ConfigError,
    Interrupted,
    OtherPlan,
    RenderError,
    short_of_memory,
)
from render.files.atomic import BLOCK_BYTES, NO_ROOM, no_room
from render.report.events import Ended
from render.run.session import Session
from render.run.undo import Before
from render.text import one_line


@contextmanager
def ending(run: Session) -> Iterator[None]:
    """Turn what the block raises into an error of the tree, and close the log at its end.

    A run that is refused after it began leaves its folder as it was.

    Raises:
        RenderError: the block ended badly; what was finished stays.
    """
    film = run.film
    before = Before(film.config.root, film.folder, film.store)
    try:
        yield
    except (RenderError, KeyboardInterrupt) as error:
        announce(error, run)
        if isinstance(error, ConfigError) and not isinstance(error, OtherPlan):
            with suppress(RenderError, OSError):
                before.put_back()
        raise
    except OSError as error:
        raise announce(error_of_a_run(error, run), run) from error
    except Exception as error:
        raise announce(unexpected(error, run), run) from error
    finally:
        run.events.log.close()


Error = TypeVar("Error", bound=RenderError | KeyboardInterrupt)


def announce(error: Error, run: Session) -> Error:
    """Send the event of an error or a signal that ends the run."""
    code = error.exit_code if isinstance(error, RenderError) else Interrupted(2).exit_code
    with suppress(RenderError):
        run.events.emit(Ended(str(error), code))
    return error


def error_of_a_run(error: OSError, run: Session) -> RenderError:
    """A refusal of the file system, as a line; its traceback stands in the log."""
    note_traceback(run)
    where = one_line(str(error.filename or run.film.folder))
    if error.errno in NO_ROOM:
        return no_room(Path(where), f"it needs {BLOCK_BYTES:,} bytes")
    return RenderError(f"{where}: {error.strerror or error}; mend that, or give another root=")


def unexpected(error: Exception, run: Session) -> RenderError:
    """An error that nobody foresaw, as a line; its traceback stands in the log."""
    log = note_traceback(run)
    if short_of_memory(error):
        return RenderError(TOO_LITTLE_MEMORY)
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"
    where = f"; the details are in {log}" if log else ""
    return RenderError(f"this is a bug in render ({what}){where}")


def note_traceback(run: Session) -> Path | None:
    """Write the traceback into render.log, whatever the mode; its path, if it could be written."""
    path, log = run.film.folder / "render.log", run.events.log
    with suppress(RenderError, OSError):
        if not log.is_open:
            path.parent.mkdir(parents=True, exist_ok=True)
            log.open(path)
        for line in traceback.format_exc().splitlines():
            log.write(line)
        return path
    return None
