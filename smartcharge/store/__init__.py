"""What survives: the journal of facts, transaction numbers, transactions and readings, in SQLite.

Read in this order: `codec` (facts and states as text), `schema` (the tables and how old ones become new),
`engine` (the database and what can go wrong with it), `journal`, `chronicle`, `logbook`, `transactions`, `ledger`,
`store`; `network` copies several sites into one database.
"""

from smartcharge.store.chronicle import SqlChronicle
from smartcharge.store.journal import SqlJournal
from smartcharge.store.ledger import SqlLedger
from smartcharge.store.logbook import SqlLogbook
from smartcharge.store.network import Mirror, Network
from smartcharge.store.store import Store, open_store
from smartcharge.store.transactions import History, Transaction

__all__ = [
    "History",
    "Mirror",
    "Network",
    "SqlChronicle",
    "SqlJournal",
    "SqlLedger",
    "SqlLogbook",
    "Store",
    "Transaction",
    "open_store",
]
