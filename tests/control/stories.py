"""Stories: what may happen at a site, step by step, told by its stations to the controller."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from smartcharge.events import (
    CircuitMetered,
    FaultCleared,
    FaultRaised,
    LimitLifted,
    LimitSet,
    Metered,
    NeedStated,
    OperatorOrder,
    Plugged,
    StationBooted,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.model import Phases
from tests.builders import unanswered
from tests.control.closed_loop import World
from tests.control.reference_stations import Bay, Mood, Peer


class Op(Enum):
    """What may happen next in a story."""

    WAIT = "nothing"
    PLUG = "a car comes"
    UNPLUG = "a car goes"
    BEGIN = "a transaction begins"
    END = "a transaction ends"
    DRAW = "a car draws a share of what it may"
    METER = "a station measures"
    CIRCUIT_METER = "a circuit's meter measures"
    NEED = "a need"
    ORDER = "an order"
    FAULT = "a fault comes or goes"
    LIMIT = "a grid limit"
    LIFT = "a grid limit is lifted"
    MOOD = "a station's mood"
    OFFLINE = "a connection breaks"
    ONLINE = "a station comes back"
    REBOOT = "a station reboots"


CALM = tuple(Op)[: tuple(Op).index(Op.MOOD)]
"""What happens where every station works."""


class Step(NamedTuple):
    """One step of a story: wait, then let something happen to somebody."""

    wait_s: float
    op: Op
    who: int
    how: float
    """0 to 1, read by each operation in its own way."""


class Story(World):
    """A world in which things happen."""

    def connect(self) -> None:
        """Let every station come online."""
        for peer in self.peers:
            self._connect(peer, has_booted=False)

    def run(self, steps: list[Step]) -> None:
        for step in steps:
            self.advance(step.wait_s)
            self.happen(step)
            self.check_truth()
            self.plan = self.make_plan(self.state, self.now_s)
            self.cycle()

    def happen(self, step: Step) -> None:  # noqa: C901, PLR0912 - one line an operation
        bay = list(self.bays.values())[step.who % len(self.bays)]
        peer, name, how = self.peer_of[bay.evse.id], bay.evse.id, step.how
        circuit = self.site.circuits[step.who % len(self.site.circuits)]
        match step.op:
            case Op.PLUG if not bay.is_plugged:
                bay.is_plugged, bay.phases, bay.share = True, 1 + int(2.99 * how), 1.0
            case Op.UNPLUG:
                bay.is_plugged, bay.transaction = False, None
            case Op.BEGIN if bay.is_plugged and bay.transaction is None:
                bay.transaction = f"t{next(self._number)}"
            case Op.END:
                bay.transaction = None
            case Op.DRAW:
                bay.share = 0.0 if how < 0.3 else min(1.0, 1.3 * how)
            case Op.METER if peer.is_online:
                self._meter(bay, has_current=how > 0.1)
            case Op.CIRCUIT_METER:
                amps = self.lines(worst=False)
                total = Phases(*(amps[circuit.id, p] + 10.0 * how for p in range(3)))
                self.emit(CircuitMetered(at_s=self.now_s, circuit=circuit.id, current_a=total))
            case Op.NEED:
                self.emit(
                    NeedStated(
                        at_s=self.now_s, evse=name, energy_wh=30e3 * how, depart_at_s=self.now_s + 9e3 * how,
                        priority=int(3 * how),
                    )
                )  # fmt: skip
            case Op.ORDER:
                limit_a = None if how > 0.6 else 50.0 * how
                self.emit(OperatorOrder(at_s=self.now_s, evse=name, limit_a=limit_a, author="eve", reason="test"))
            case Op.FAULT if how > 0.5:
                code = "HighTemperature" if how > 0.7 else "GroundFailure"
                self.emit(FaultRaised(at_s=self.now_s, evse=name, code=code))
            case Op.FAULT:
                for code in ("HighTemperature", "GroundFailure"):
                    self.emit(FaultCleared(at_s=self.now_s, evse=name, code=code))
            case Op.LIMIT:
                until_s = None if step.who % 2 else self.now_s + 200.0
                self.emit(
                    LimitSet(
                        at_s=self.now_s, source="dso", circuit=circuit.id, valid_until_s=until_s,
                        current_a=Phases.all(50.0 * how) if how < 0.5 else None,
                        power_w=None if how < 0.4 else 30e3 * (how - 0.3),
                    )
                )  # fmt: skip
            case Op.LIFT:
                self.emit(LimitLifted(at_s=self.now_s, source="dso", circuit=circuit.id))
            case Op.MOOD:
                peer.mood = tuple(Mood)[int(how * len(Mood)) % len(Mood)]
            case Op.OFFLINE:
                self._disconnect(peer, is_taken=how > 0.5)
            case Op.ONLINE if not peer.is_online and peer.is_on:
                self._connect(peer, has_booted=False)
            case Op.REBOOT if peer.is_on:
                self._reboot(peer, how)
            case _:
                pass
        bay.follow(self.now_s)
        self._tell(peer)

    def _meter(self, bay: Bay, *, has_current: bool) -> None:
        bay.register_wh += 10.0
        current_a = Phases(*bay.own_a(self.worst_a(bay) * bay.share)) if has_current else None
        self.emit(Metered(at_s=self.now_s, evse=bay.evse.id, current_a=current_a, energy_wh=bay.register_wh))

    def _tell(self, peer: Peer) -> None:
        """Let a station that is online say what changed since it last said anything."""
        for bay in peer.bays if peer.is_online else ():
            name, at_s = bay.evse.id, self.now_s
            is_known = name in peer.told
            last = peer.told.get(name)
            if last is not None and last != bay.transaction:
                self.emit(TransactionEnded(at_s=at_s, evse=name, transaction_id=last))
            if not is_known or self.state.evses[name].occupied is not bay.is_plugged:
                self.emit(Plugged(at_s=at_s, evse=name) if bay.is_plugged else Unplugged(at_s=at_s, evse=name))
            if bay.transaction is not None and last != bay.transaction:
                self.emit(TransactionStarted(at_s=at_s, evse=name, transaction_id=bay.transaction))
            peer.told[name] = bay.transaction

    def _disconnect(self, peer: Peer, *, is_taken: bool) -> None:
        """Break a connection: the command on its way may have been taken or not."""
        if not peer.is_online:
            return
        lost = [] if peer.outstanding is None else [peer.outstanding]
        if lost and is_taken and peer.mood is not Mood.REFUSES:
            self.bays[lost[0].evse].obey(lost[0], peer.clock_off_s, self.now_s)
        peer.is_online, peer.outstanding, peer.connection = False, None, peer.connection + 1
        peer.busy_until_s = 0.0
        for command in (*lost, *peer.mailbox.values()):
            self.emit(unanswered(command, self.now_s))
        peer.mailbox.clear()
        self.emit(StationOffline(at_s=self.now_s, station=peer.station.id))

    def _connect(self, peer: Peer, *, has_booted: bool) -> None:
        peer.is_online = True
        self.emit(StationOnline(at_s=self.now_s, station=peer.station.id))
        self.check_truth()
        if has_booted:
            self.emit(StationBooted(at_s=self.now_s, station=peer.station.id))
            peer.is_on = True
        self.check_truth()
        self.cycle()
        self._tell(peer)

    def _reboot(self, peer: Peer, how: float) -> None:
        self._disconnect(peer, is_taken=False)
        peer.is_on = False
        for bay in peer.bays:
            if how > 0.4:
                bay.forget(self.now_s)
            if how > 0.7:
                bay.transaction = None
        self.through(peer, self.now_s + 20.0, lambda: self._connect(peer, has_booted=True))
