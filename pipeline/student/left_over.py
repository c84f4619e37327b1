"""What attempts that came to no end have left, as their runs were killed or stopped: proposals whose coins have fallen.

Whoever decides next takes over what is about the prompts of its own table, be it for another output or of another night;
the rest stays as it is. Which prompts these are is up to the table, and which ones join them to whether anything was ever
proposed for them: neither depends on a coin. So the coins of those who are together in the end are still independent and
uniform, whatever was seen of the answers by then.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from pipeline.student.coin import draw_secret
from pipeline.student.store import READING, Night, Proposal, StudentStore

JOINING = ""
"""The night of proposals that are to join: it never comes, and what has it is forgotten if the run is killed before it does."""


class LeftOver:
    """What is left over about one table.

    Attributes:
        nights: The attempts that came to no end.
        answered: How often prompts with an answer were seen among those that are left over.
        unanswered: How often others were.
    """

    def __init__(self, store: StudentStore) -> None:
        """Look for it; that changes nothing, and waits for nobody, so that a plan may while a run decides."""
        self._store, self.answered, self.unanswered = store, 0, 0
        with store.changing(READING) as file:
            file.execute(
                "CREATE TEMP TABLE IF NOT EXISTS there (key BLOB PRIMARY KEY, seen INTEGER) WITHOUT ROWID"
            )
            file.execute("DELETE FROM there")
            self.nights = self._nights("night.outcome IS NULL")

    @property
    def secret(self) -> bytes:
        """What coins depend on: one secret as long as any attempt is without an end, so that none falls twice."""
        return self.nights[0].secret if self.nights else draw_secret()

    def see(self, keys: Sequence[bytes | None]) -> dict[bytes, Proposal]:
        """Count rows of the table that have these *keys*; returns what is left over for them."""
        rows = Counter(key for key in keys if key is not None)
        found = {each.key: each for each in self._store.undecided(list(rows))} if self.nights else {}
        with self._store.changing(READING) as file:
            file.executemany(
                "INSERT INTO there VALUES (?, ?) ON CONFLICT DO UPDATE SET seen = seen + excluded.seen",
                ((key, rows[key]) for key in found),
            )
        return found

    def count(self, found: Collection[bytes], known: Collection[bytes]) -> None:
        """Take note that of the prompts that something was *found* for the *known* ones have an answer."""
        self.answered += len(known)
        self.unanswered += len(found) - len(known)

    def here(self) -> list[Night]:
        """Return the attempts that have proposed something for the table."""
        return self._nights(
            "night.outcome IS NULL AND night.run IN (SELECT night FROM proposal JOIN there USING (key))"
        )

    def tidy(self) -> None:
        """Remove what was proposed and never fixed."""
        with self._store.changing() as file:
            file.execute("DELETE FROM proposal WHERE night NOT IN (SELECT run FROM night)")

    def forget(self) -> None:
        """Remove what is left over about the table: it is decided otherwise."""
        with self._store.changing() as file:
            file.execute("DELETE FROM proposal WHERE key IN (SELECT key FROM there)")
            file.execute("DELETE FROM there")
            self._forget_empty()

    def hand_over(self, run: str, most_rows: float) -> None:
        """Give *run* what is left over about the table, and what is to join it; none of it if it stands for too many rows."""
        with self._store.changing() as file:
            file.execute(
                "DELETE FROM proposal WHERE key IN (SELECT key FROM there WHERE seen > ?)", [most_rows]
            )
            file.execute("DELETE FROM proposal WHERE night = ? AND rows > ?", [JOINING, most_rows])
            file.execute(
                "UPDATE proposal SET night = ?, rows = (SELECT seen FROM there WHERE there.key = proposal.key) "
                "WHERE key IN (SELECT key FROM there)",
                [run],
            )
            file.execute("UPDATE proposal SET night = ? WHERE night = ?", [run, JOINING])
            self._forget_empty()

    def kinds(self, most_rows: float) -> dict[int, int]:
        """Return how many proposals of each kind would be handed over."""
        with self._store.changing(READING) as file:
            query = "SELECT kind, count(*) FROM proposal JOIN there USING (key) WHERE seen <= ? GROUP BY kind"
            return dict(file.execute(query, [most_rows]).fetchall())

    def _nights(self, which: str) -> list[Night]:
        with self._store.changing(READING) as file:
            query = f"SELECT run FROM night WHERE {which} ORDER BY rowid"  # noqa: S608 - no value of anybody's
            runs = [run for (run,) in file.execute(query).fetchall()]
        return [night for run in runs if (night := self._store.night(run)) is not None]

    def _forget_empty(self) -> None:
        with self._store.changing() as file:
            file.execute(
                "DELETE FROM night WHERE outcome IS NULL AND run NOT IN (SELECT night FROM proposal)"
            )
