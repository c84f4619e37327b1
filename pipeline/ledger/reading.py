"""Reading a ledger that cannot be written to: on a read-only disk, or of a state directory that is somebody else's."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.ledger.database import OpenFile, T, Work, check_format
from pipeline.ledger.schema import BEHIND
from pipeline.ledger.store import Store
from pipeline.ledger.swap import LOG, companion, size


class ReadOnlyFile(OpenFile):
    """A ledger's file that nobody writes to: it has no log, and its index is complete."""

    def __init__(self, path: Path) -> None:
        """Open *path*.

        Raises:
            ConfigError: If it is of another format.
            sqlite3.Error: If it cannot be read, or is not a ledger.
        """
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        self.connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        try:
            check_format(self.connection, path)
        except BaseException:
            self.connection.close()
            raise

    def do(self, work: "Work[T]", *, writes: bool = False) -> T:
        """Do *work* on the file, which must not write."""
        del writes
        return work(self.connection)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


@contextmanager
def opened_to_read(path: Path) -> Iterator[Store]:
    """Open the ledger at *path* without writing beside it: as it is, or a copy if its last run was killed.

    Raises:
        ConfigError: If it is of another format.
        sqlite3.Error, OSError: If it cannot be read, or not be copied.
    """
    if path.exists() and not size(companion(path, LOG)):
        with Store.of(ReadOnlyFile(path)) as store:
            if not store.file.do(lambda connection: connection.execute(BEHIND).fetchone()[0]):
                yield store
                return
    with TemporaryDirectory(prefix="pipeline-ledger-") as folder:  # for its owner only
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copyfile(file, Path(folder) / file.name)
        with Store(Path(folder) / path.name) as store:
            yield store
