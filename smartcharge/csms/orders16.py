"""Orders as OCPP 1.6J and its security extension word them (OCA white paper, edition 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, assert_never

from smartcharge.csms.dialect import Call
from smartcharge.csms.schemas import Payload, format_time
from smartcharge.errors import Refused
from smartcharge.model import EvseId
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
    ListEntry,
    Message,
    Order,
    Reserve,
    Reset,
    RootUse,
    SendLocalList,
    SetPoint,
    ShowMessage,
    TellCost,
    Transfer,
    Unlock,
    UpdateFirmware,
)

NumberOf: TypeAlias = Callable[[EvseId], int]
"""The OCPP number of an EVSE."""

_STATION = 0
_USES = {RootUse.CSMS: "CentralSystemRootCertificate", RootUse.MANUFACTURER: "ManufacturerRootCertificate"}


def call(order: Order, number_of: NumberOf) -> Call:  # noqa: C901, PLR0911, PLR0912 - one line an order
    """Return an order as 1.6 words it; raises Refused if 1.6 has no such order."""
    match order:
        case UpdateFirmware():
            return _update_firmware(order)
        case GetLog():
            return Call(action="GetLog", payload=log_request(order))
        case GetDiagnostics():
            span = _given(startTime=_time(order.oldest_s), stopTime=_time(order.latest_s))
            return Call(action="GetDiagnostics", payload={"location": order.location, **span})
        case Reset(evse=None):
            return Call(action="Reset", payload={"type": "Hard" if order.is_immediate else "Soft"})
        case Reset():
            raise Refused("1.6 resets whole stations only")
        case ChangeAvailability():
            number = _STATION if order.evse is None else number_of(order.evse)
            kind = "Operative" if order.is_operative else "Inoperative"
            return Call(action="ChangeAvailability", payload={"connectorId": number, "type": kind})
        case Unlock():
            return Call(action="UnlockConnector", payload={"connectorId": number_of(order.evse)})
        case ClearCache() | GetLocalListVersion():
            return Call(action=type(order).__name__, payload={})
        case SendLocalList():
            return Call(action="SendLocalList", payload=_local_list(order))
        case Reserve():
            return Call(action="ReserveNow", payload=_reservation(order, number_of(order.evse)))
        case CancelReservation():
            return Call(action="CancelReservation", payload={"reservationId": order.reservation_id})
        case Transfer():
            return Call(action="DataTransfer", payload=transfer(order))
        case InstallCertificate():
            payload = {"certificateType": _use(order.use), "certificate": order.certificate}
            return Call(action="InstallCertificate", payload=payload)
        case ListCertificates():
            return Call(action="GetInstalledCertificateIds", payload={"certificateType": _use(order.use)})
        case DeleteCertificate():
            return Call(action="DeleteCertificate", payload={"certificateHashData": dict(order.hash_data)})
        case ShowMessage() | ClearMessage() | TellCost() | SetPoint():
            raise Refused(f"1.6 has no {type(order).__name__}")
        case DeliverCertificate():
            return Call(action="CertificateSigned", payload={"certificateChain": order.chain})
        case Message():
            return Call(action=order.action, payload=dict(order.payload))
        case _:
            assert_never(order)


def log_request(order: GetLog) -> Payload:
    """Return GetLog, which 1.6 took over from 2.0.1 as it is."""
    span = _given(oldestTimestamp=_time(order.oldest_s), latestTimestamp=_time(order.latest_s))
    return {
        "logType": order.kind.value,
        "requestId": order.request_id,
        "log": {"remoteLocation": order.location, **span},
        **_given(retries=order.retries, retryInterval=order.retry_interval_s),
    }


def signed_firmware(order: UpdateFirmware) -> Payload:
    """Return SignedUpdateFirmware, which is UpdateFirmware of 2.x word for word."""
    firmware = {
        "location": order.location,
        "retrieveDateTime": format_time(order.retrieve_at_s),
        **_given(
            installDateTime=_time(order.install_at_s),
            signingCertificate=order.signing_certificate,
            signature=order.signature,
        ),
    }
    retries = _given(retries=order.retries, retryInterval=order.retry_interval_s)
    return {"requestId": order.request_id, "firmware": firmware, **retries}


def transfer(order: Transfer) -> Payload:
    """Return DataTransfer, the same in every version."""
    return {"vendorId": order.vendor_id, **_given(messageId=order.message_id, data=order.data)}


def _update_firmware(order: UpdateFirmware) -> Call:
    if order.signing_certificate is not None and order.signature is not None:
        return Call(action="SignedUpdateFirmware", payload=signed_firmware(order))
    payload = {
        "location": order.location,
        "retrieveDate": format_time(order.retrieve_at_s),
        **_given(retries=order.retries, retryInterval=order.retry_interval_s),
    }
    return Call(action="UpdateFirmware", payload=payload)


def _local_list(order: SendLocalList) -> Payload:
    entries = [_list_entry(entry) for entry in order.entries]
    kind = "Full" if order.is_full else "Differential"
    return {"listVersion": order.version, "updateType": kind, "localAuthorizationList": entries}


def _list_entry(entry: ListEntry) -> Payload:
    if entry.status is None:
        return {"idTag": entry.id_token}
    info = _given(status=entry.status, expiryDate=_time(entry.expires_s), parentIdTag=entry.group)
    return {"idTag": entry.id_token, "idTagInfo": info}


def _reservation(order: Reserve, number: int) -> Payload:
    return {
        "connectorId": number,
        "expiryDate": format_time(order.expires_s),
        "idTag": order.id_token,
        "reservationId": order.reservation_id,
        **_given(parentIdTag=order.group),
    }


def _use(use: RootUse) -> str:
    if use not in _USES:
        raise Refused(f"1.6 has no {use.value}")
    return _USES[use]


def _time(at_s: float | None) -> str | None:
    return None if at_s is None else format_time(at_s)


def _given(**values: object) -> Payload:
    """Return the fields that are stated."""
    return {name: value for name, value in values.items() if value is not None}
