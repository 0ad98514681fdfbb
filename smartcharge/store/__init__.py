"""What survives: the journal of facts, transaction numbers, transactions and readings, in SQLite.

Read in this order: `codec` (a fact as text), `schema` (the tables and how old ones become new),
`engine` (the database and what can go wrong with it), `journal`, `transactions`, `ledger`, `store`.
"""

from smartcharge.store.journal import SqlJournal
from smartcharge.store.ledger import SqlLedger
from smartcharge.store.store import Store, open_store
from smartcharge.store.transactions import History, Transaction

__all__ = ["History", "SqlJournal", "SqlLedger", "Store", "Transaction", "open_store"]
