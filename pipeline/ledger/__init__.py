"""The durable store of all answers ever paid for."""

from pipeline.ledger.opening import FILE, open_store, opened
from pipeline.ledger.writer import Ledger

__all__ = ["FILE", "Ledger", "open_store", "opened"]
