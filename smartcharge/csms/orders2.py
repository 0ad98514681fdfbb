"""Orders as OCPP 2.0.1 and 2.1 word them."""

from __future__ import annotations

from typing import assert_never

from smartcharge.csms.dialect import Call
from smartcharge.csms.orders16 import NumberOf, log_request, signed_firmware, transfer
from smartcharge.csms.schemas import Payload, format_time
from smartcharge.errors import Refused
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
    SendLocalList,
    SetPoint,
    ShowMessage,
    TellCost,
    Transfer,
    Unlock,
    UpdateFirmware,
)

_DIAGNOSTICS_ID = 1
"""Request id of diagnostics asked for in the way of 1.6, which has none."""


def call(order: Order, number_of: NumberOf) -> Call:  # noqa: C901, PLR0911, PLR0912 - one line an order
    """Return an order as 2.x words it."""
    match order:
        case UpdateFirmware():
            return Call(action="UpdateFirmware", payload=signed_firmware(order))
        case GetLog():
            return Call(action="GetLog", payload=log_request(order))
        case GetDiagnostics(location=location, oldest_s=oldest_s, latest_s=latest_s):
            log = GetLog(request_id=_DIAGNOSTICS_ID, location=location, oldest_s=oldest_s, latest_s=latest_s)
            return Call(action="GetLog", payload=log_request(log))
        case Reset():
            place = {} if order.evse is None else {"evseId": number_of(order.evse)}
            return Call(action="Reset", payload={"type": "Immediate" if order.is_immediate else "OnIdle", **place})
        case ChangeAvailability():
            of_evse = {} if order.evse is None else {"evse": {"id": number_of(order.evse)}}
            status = "Operative" if order.is_operative else "Inoperative"
            return Call(action="ChangeAvailability", payload={"operationalStatus": status, **of_evse})
        case Unlock():
            return Call(action="UnlockConnector", payload={"evseId": number_of(order.evse), "connectorId": 1})
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
            payload = {"certificateType": order.use.value, "certificate": order.certificate}
            return Call(action="InstallCertificate", payload=payload)
        case ListCertificates():
            return Call(action="GetInstalledCertificateIds", payload={"certificateType": [order.use.value]})
        case DeleteCertificate():
            return Call(action="DeleteCertificate", payload={"certificateHashData": dict(order.hash_data)})
        case DeliverCertificate():
            payload = {"certificateChain": order.chain, "certificateType": "ChargingStationCertificate"}
            of_request = {} if order.request_id is None else {"requestId": order.request_id}
            return Call(action="CertificateSigned", payload={**payload, **of_request})
        case SetPoint():
            raise Refused("2.0.1 has no SetPoint")
        case ShowMessage():
            return Call(action="SetDisplayMessage", payload={"message": _message(order)})
        case ClearMessage():
            return Call(action="ClearDisplayMessage", payload={"id": order.message_id})
        case TellCost():
            cost: Payload = {"totalCost": order.total_cost, "transactionId": order.transaction_id}
            return Call(action="CostUpdated", payload=cost)
        case Message():
            return Call(action=order.action, payload=dict(order.payload))
        case _:
            assert_never(order)


def _local_list(order: SendLocalList) -> Payload:
    entries = [_list_entry(entry) for entry in order.entries]
    payload = {"versionNumber": order.version, "updateType": "Full" if order.is_full else "Differential"}
    return {**payload, "localAuthorizationList": entries} if entries else payload


def _list_entry(entry: ListEntry) -> Payload:
    token = {"idToken": {"idToken": entry.id_token, "type": entry.kind}}
    if entry.status is None:
        return token
    info: Payload = {"status": entry.status}
    if entry.expires_s is not None:
        info["cacheExpiryDateTime"] = format_time(entry.expires_s)
    if entry.group is not None:
        info["groupIdToken"] = {"idToken": entry.group, "type": entry.kind}
    return {**token, "idTokenInfo": info}


def _message(order: ShowMessage) -> Payload:
    content = {"format": "UTF8", "content": order.text}
    shown: Payload = {
        "id": order.message_id,
        "priority": order.priority,
        "message": content if order.language is None else {**content, "language": order.language},
    }
    if order.transaction_id is not None:
        shown["transactionId"] = order.transaction_id
    if order.ends_s is not None:
        shown["endDateTime"] = format_time(order.ends_s)
    return shown


def _reservation(order: Reserve, number: int) -> Payload:
    payload: Payload = {
        "id": order.reservation_id,
        "expiryDateTime": format_time(order.expires_s),
        "idToken": {"idToken": order.id_token, "type": order.kind},
        "evseId": number,
    }
    if order.group is not None:
        payload["groupIdToken"] = {"idToken": order.group, "type": order.kind}
    return payload
