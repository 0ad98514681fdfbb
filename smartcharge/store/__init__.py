"""What survives: the journal of facts, transaction numbers, transactions and readings, in SQLite.

Read in this order: `codec` (facts and states as text), `schema` (the tables and how old ones become new),
`engine` (the database and what can go wrong with it), `journal`, `chronicle`, `transactions`, `ledger`, `store`.
"""

from smartcharge.store.chronicle import SqlChronicle
from smartcharge.store.journal import SqlJournal
from smartcharge.store.ledger import SqlLedger
from smartcharge.store.store import Store, open_store
from smartcharge.store.transactions import History, Transaction

__all__ = ["History", "SqlChronicle", "SqlJournal", "SqlLedger", "Store", "Transaction", "open_store"]
