"""Every message of every OCPP version and what becomes of it here, as the table in ``docs/ocpp.md``.

``python -m smartcharge.csms docs tests/csms`` writes it.  The table is read off the dialects themselves, so it says
what they do, and off the names of the tests, so it says where each is tested.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from smartcharge.csms.dialect import Dialect, Memory
from smartcharge.csms.requests import (
    ClearProfiles,
    GetSchedule,
    ReadSettings,
    RemoteStart,
    RemoteStop,
    Request,
    SetProfile,
    Trigger,
    UpdateProfile,
    WriteSetting,
)
from smartcharge.csms.schemas import Version, actions, sends
from smartcharge.csms.v16 import Dialect16
from smartcharge.csms.v21 import Dialect21
from smartcharge.csms.v201 import Dialect201
from smartcharge.errors import Refused
from smartcharge.events import ProfileKind
from smartcharge.model import CircuitId, Evse, EvseId, Rotation, Station, StationId, Timing, Wiring
from smartcharge.orders import (
    CancelReservation,
    ChangeAvailability,
    ClearCache,
    ClearMessage,
    DeleteCertificate,
    DeliverCertificate,
    GetDiagnostics,
    GetLocalListVersion,
    GetLog,
    InstallCertificate,
    ListCertificates,
    Order,
    Reserve,
    Reset,
    RootUse,
    SendLocalList,
    ShowMessage,
    TellCost,
    Transfer,
    Unlock,
    UpdateFirmware,
)

_CLAUSE = re.compile(r"Test([A-Q]\d\d)")
_BEGIN, _END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"

HANDLED, TOLD, CONTROL, ORDER, MESSAGE = "handled", "answered", "control", "order", "message"
"""What becomes of a message; the legend in ``docs/ocpp.md`` explains the words."""

_EVSE = Evse(
    id=EvseId("example/1"), station=StationId("example"), number=1, wiring=Wiring.THREE_PHASE, rotation=Rotation.RST,
    voltage_v=230.0, min_a=6.0, max_a=32.0, default_a=6.0,
)  # fmt: skip
_STATION = Station(id=_EVSE.station, circuit=CircuitId("main"), evses=(_EVSE,))
_TAG = "T"

CONTROLS: tuple[Request, ...] = (
    SetProfile(evse=_EVSE, kind=ProfileKind.TRANSACTION, limit_a=16.0, expires_s=300.0, transaction_id="7"),
    UpdateProfile(profile=SetProfile(evse=_EVSE, kind=ProfileKind.TRANSACTION, limit_a=16.0, transaction_id="7")),
    ClearProfiles(evse=_EVSE, kind=ProfileKind.TRANSACTION),
    GetSchedule(evse=_EVSE, duration_s=60),
    Trigger(message="StatusNotification", evse=_EVSE),
    ReadSettings(names=("SmartChargingCtrlr.RateUnit",)),
    WriteSetting(name="SampledDataCtrlr.TxUpdatedInterval", value="60"),
    RemoteStart(evse=_EVSE, id_token=_TAG, number=1),
    RemoteStop(transaction_id="7"),
)
"""An example of each request of the controller itself."""
_HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "00", "issuerKeyHash": "00", "serialNumber": "1"}
_FIRMWARE = UpdateFirmware(request_id=1, location="https://example.com/f.bin", retrieve_at_s=0.0)
ORDERS: tuple[Order, ...] = (
    _FIRMWARE,
    UpdateFirmware(
        request_id=2, location="https://example.com/f.bin", retrieve_at_s=0.0, install_at_s=60.0, retries=3,
        retry_interval_s=60, signing_certificate="PEM", signature="c2ln",
    ),
    GetLog(request_id=3, location="https://example.com/logs", oldest_s=0.0, latest_s=60.0, retries=1),
    GetDiagnostics(location="https://example.com/logs", oldest_s=0.0),
    Reset(is_immediate=True),
    Reset(evse=_EVSE.id),
    ChangeAvailability(is_operative=False),
    ChangeAvailability(is_operative=True, evse=_EVSE.id),
    Unlock(evse=_EVSE.id),
    ClearCache(),
    SendLocalList(version=1, entries=()),
    GetLocalListVersion(),
    Reserve(evse=_EVSE.id, reservation_id=1, id_token=_TAG, expires_s=3600.0, group="G"),
    CancelReservation(reservation_id=1),
    Transfer(vendor_id="V", message_id="M", data="D"),
    InstallCertificate(use=RootUse.CSMS, certificate="PEM"),
    ListCertificates(use=RootUse.CSMS),
    DeleteCertificate(hash_data=_HASH),
    DeliverCertificate(chain="PEM"),
    ShowMessage(message_id=1, text="Welcome", language="en", transaction_id="7", ends_s=3600.0),
    ClearMessage(message_id=1),
    TellCost(transaction_id="7", total_cost=1.5),
)  # fmt: skip
"""An example of each order of `smartcharge.orders`."""


class _NoLedger:
    """Gives no numbers: nothing is translated from a station here."""

    async def transaction_number(self, station: StationId, connector: int, started_at_s: float, id_token: str) -> int:
        raise NotImplementedError


def dialects() -> dict[Version, Dialect]:
    """Return every dialect, of a station that is only an example."""
    memory = Memory(station=_STATION, timing=Timing())
    return {
        Version.V16: Dialect16(memory, _NoLedger()),
        Version.V201: Dialect201(memory),
        Version.V21: Dialect21(memory),
    }


def fate(dialect: Dialect, action: str) -> str:
    """Return what becomes of a message in a version: one of the words of the legend, or nothing if it has none."""
    if action not in actions(dialect.version) | sends(dialect.version):
        return ""
    if action in dialect.handles:
        said = TOLD if action in dialect.acknowledges else HANDLED
        # DataTransfer goes both ways
        return f"{said}, {ORDER}" if action in _worded(dialect, ORDERS) else said
    if action in _worded(dialect, (*CONTROLS, *dialect.provisioning())):
        return CONTROL
    return ORDER if action in _worded(dialect, ORDERS) else MESSAGE


def _worded(dialect: Dialect, requests: tuple[Request, ...]) -> set[str]:
    found: set[str] = set()
    for request in requests:
        try:
            found.add(dialect.call(request, 0.0).action)
        except Refused:
            continue
    return found


def clauses(tests: Path) -> dict[str, list[str]]:
    """Return which clauses test an action by name: those of the test classes, e.g. ``TestK01...``, in a folder.

    A class names what stands in it, and in the functions and constants of its module that it uses.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(tests.glob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        shared = {name: part for part in module.body for name in _defined(part)}
        for part in module.body:
            clause = _CLAUSE.match(part.name) if isinstance(part, ast.ClassDef) else None
            if clause is not None:
                used = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)} & shared.keys()
                for name in _texts(part).union(*(_texts(shared[name]) for name in used)):
                    found.setdefault(name, set()).add(clause[1])
    return {name: sorted(by) for name, by in found.items()}


def _defined(part: ast.stmt) -> list[str]:
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
        return [part.name]
    targets = part.targets if isinstance(part, ast.Assign) else [part.target] if isinstance(part, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _texts(part: ast.stmt) -> set[str]:
    return {node.value for node in ast.walk(part) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def table(tests: Path) -> str:
    """Return the version matrix as Markdown: what stations say first, then what they are told.

    ``tests`` is the folder of the tests that are named in it.
    """
    speakers, by = dialects(), clauses(tests)
    names = sorted(set().union(*(actions(v) | sends(v) for v in Version)))
    heard = [name for name in names if any(name in dialect.handles for dialect in speakers.values())]
    told = [name for name in names if name not in heard]
    return "\n".join([*_rows("from stations", heard, speakers, by), "", *_rows("to stations", told, speakers, by)])


def _rows(title: str, names: list[str], speakers: dict[Version, Dialect], by: dict[str, list[str]]) -> Iterator[str]:
    yield f"| {title} | 1.6 | 2.0.1 | 2.1 | tested |\n|---|---|---|---|---|"
    for name in names:
        fates = " | ".join(fate(dialect, name) for dialect in speakers.values())
        yield f"| `{name}` | {fates} | {' '.join(by.get(name, ('by schema',)))} |"


def with_table(page: str, tests: Path) -> str:
    """Return a page with the table between its marks made anew."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table(tests)}\n\n{_END}{after}"
