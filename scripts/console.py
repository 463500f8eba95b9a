"""What the commands share: a progress bar with the time left, and errors as one sentence."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from core.labels import counted
from db.models import fitting
from services.jobs import Busy
from services.models import NoSuchVersion

if TYPE_CHECKING:
    from core.intervals import Figure
    from core.train import Epoch

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class TellTraining(Protocol):
    """core.train.Progress, and of which fold."""

    def __call__(self, done: int, total: int, loss: float, epoch: "Epoch | None", of: str = "") -> None: ...


def user() -> str:
    """Who runs this, as far as the system knows them."""
    try:
        return fitting(getpass.getuser())
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return "command line"


@contextmanager
def sentences() -> Iterator[None]:
    """Errors a user can mend are said in one sentence, exit 2; all others keep their traceback."""
    try:
        yield
    except (NoSuchVersion, Busy, OSError, ValueError) as error:
        errors.print(f"{error}", style="bold", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print(
            "Interrupted. What had been stored by then stays; a training goes on after its last whole epoch "
            "(train.py: --resume)."
        )
        sys.exit(130)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar told (done, total); on stderr, so that what a command prints can be piped."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def training_bar(*, simulated: bool = False) -> Iterator[TellTraining]:
    """A bar for `core.train.fit`, or for each of several at a time, with a line per epoch above. `simulated`: simulated
    scans are among those validated on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    on = "validation, simulated scans among it:" if simulated else "validation"
    with Progress(*columns, console=errors) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(done: int, total: int, loss: float, epoch: "Epoch | None", of: str = "") -> None:
            if of not in tasks:
                tasks[of] = progress.add_task("training", total=total)
            description = f"training {of}, loss {loss:.3f}"
            progress.update(tasks[of], completed=done, description=description, visible=done < total)
            if epoch:
                validated = (
                    f", {on} loss {epoch.validation_loss:.3f}, accuracy {epoch.validation_accuracy:.3f}"
                    if epoch.validation_loss == epoch.validation_loss
                    else ""
                )
                progress.console.print(
                    f"{f'{of} epoch'.strip()} {epoch.number}: training loss {epoch.train_loss:.3f}{validated}, "
                    f"{epoch.seconds:.1f} s"
                )

        yield tell


def figure_line(name: str, figure: "Figure") -> str:
    """A figure with its interval and its n, as one line of a table."""
    patients = "" if figure.patients is None else f", {counted(figure.patients, 'patient')}"
    if figure.value != figure.value:
        return f"{name:<32} not defined here (n = {figure.n}{patients})"
    return f"{name:<32} {figure.value:.4f}  ({figure.ends(4, ' to ')}, n = {figure.n}{patients})"


def writable(path: Path | None) -> None:
    """Raise ValueError where `path` could not be written, before the work that would be lost."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file to write.")
    if not path.resolve().parent.is_dir() or not os.access(path.resolve().parent, os.W_OK):
        raise ValueError(f"{path} cannot be written: its folder does not exist or is closed to you.")
