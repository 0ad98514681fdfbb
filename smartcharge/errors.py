"""Everything smartcharge raises on purpose.

::

    SmartChargeError
    ├── ConfigError              a file we were given is wrong; every error in it, at once
    ├── StationError
    │   ├── Unreachable          no connection, or no answer in time
    │   ├── Refused              the station said no
    │   └── ProtocolViolation    what it sent is not OCPP
    ├── SourceError              a meter, tariff or grid source cannot be read
    ├── MaintenanceError         a work order, plan or campaign does not allow what was asked
    └── StoreError               a fact could not be written down

Expected outcomes (infeasible, timed out, rejected) are values, not exceptions.
"""

from __future__ import annotations


class SmartChargeError(Exception):
    """The root of everything smartcharge raises on purpose."""


class ConfigError(SmartChargeError):
    """A file we were given is wrong; the message names file, key and reason of every error."""


class StationError(SmartChargeError):
    """A station could not be commanded."""


class Unreachable(StationError):
    """The station has no connection, or did not answer in time."""


class Refused(StationError):
    """The station answered no."""


class ProtocolViolation(StationError):
    """The station sent something that is not OCPP."""


class SourceError(SmartChargeError):
    """A meter, tariff or grid source cannot be read."""


class StoreError(SmartChargeError):
    """A fact could not be written down."""


class MaintenanceError(SmartChargeError):
    """A work order, plan or campaign does not allow what was asked."""
