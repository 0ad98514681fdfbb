"""The site file: a location in TOML, read into the nouns of the model and the settings of the adapters.

Read in this order: `keys` (every key), `checks` (what must agree), `build` (keys to nouns), `load`.
"""

from smartcharge.config.capacity import with_capacity
from smartcharge.config.load import load, shipped
from smartcharge.config.schema import site_schema
from smartcharge.config.settings import Settings, StoreSettings
from smartcharge.csms.settings import OcppSettings

__all__ = ["OcppSettings", "Settings", "StoreSettings", "load", "shipped", "site_schema", "with_capacity"]
