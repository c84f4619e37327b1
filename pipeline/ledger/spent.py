"""What each run has spent, kept up to date a set of answers at a time: reading ten million for one sum takes a minute.

The statements of `store` run it in the transaction that leads `latest` to new answers, and before that.
"""

SPENT_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (run TEXT PRIMARY KEY, usd REAL NOT NULL) STRICT, WITHOUT ROWID;
"""

# An answer that was asked again in the same run holds the sum of both, so the earlier one's is taken back.
# `coalesce`, because infinity less infinity is null. A damaged answer has no run.
ADD_SPENT = """
INSERT INTO spent
SELECT run, coalesce(total(usd) - total(replaced), 0) FROM (
    SELECT new.run, new.cost_usd AS usd, max(new.id), (
        SELECT old.cost_usd FROM latest JOIN answers old ON old.id = latest.id
        WHERE latest.key = new.key AND old.run = new.run AND old.id < new.id
    ) AS replaced
    FROM answers new WHERE new.id > (SELECT indexed FROM progress) AND new.run IS NOT NULL GROUP BY new.run, new.key
) GROUP BY run
ON CONFLICT (run) DO UPDATE SET usd = coalesce(usd + excluded.usd, usd)
"""

SPENT_BY_RUN = "SELECT usd FROM spent WHERE run = ?"
