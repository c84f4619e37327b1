"""The durable store of all answers ever paid for."""

from pipeline.ledger.writer import FILE, Ledger, open_store, opened

__all__ = ["FILE", "Ledger", "open_store", "opened"]
