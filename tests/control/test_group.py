"""A group of sites shares a limit: whatever is lost, late, doubled or dead, together they never draw more."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import count
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.control import liveness, sharing
from smartcharge.control.liveness import SourceState
from smartcharge.control.needs import Need, held
from smartcharge.control.shares import worst_w
from smartcharge.control.sharing import max_min
from smartcharge.control.state import State, apply
from smartcharge.control.terms import Tenancy, Terms
from smartcharge.events import ControllerStarted, LimitSet, ShareLapsed, ShareWanted, SourceHeard
from smartcharge.model import Circuit, CircuitId, GridSource, Group, Member, Phases, Site, Staleness
from smartcharge.store.codec import decode_state, encode_state

LIMIT_W = 100_000.0
LINGER_S = 30.0
NAMES = ("north", "south", "ferry")
SAFE_W = dict(zip(NAMES, (20_000.0, 20_000.0, 10_000.0), strict=True))
GROUP = Group(
    limit_w=LIMIT_W, members=tuple(Member(id=n, safe_w=SAFE_W[n], linger_s=LINGER_S) for n in NAMES),
)  # fmt: skip
CIRCUIT = CircuitId("group")
LAPSE_S = GROUP.lease_s + LINGER_S + GROUP.margin_s
POLICY = Staleness(age_s=900.0, hold_s=0.0)


def group_site(group: Group = GROUP) -> Site:
    amps = Phases.all(group.limit_w / 690.0)
    circuit = Circuit(id=CIRCUIT, parent=None, rating_a=amps, failsafe_a=amps, voltage_v=230.0)
    return Site(id="feeder", name="Feeder", timezone="UTC", circuits=(circuit,), stations=(), group=group)


@dataclass(kw_only=True)
class Clock:
    """A clock of its own: set to anything, and running a little too fast or too slow."""

    ahead_s: float
    rate: float

    def run_s(self, true_s: float) -> float:
        return true_s * self.rate

    def wall_s(self, true_s: float) -> float:
        return self.run_s(true_s) + self.ahead_s


@dataclass(kw_only=True)
class Place:
    """A site: what is real of it, and what its controller knows (none while it is dead)."""

    name: str
    clock: Clock
    known: SourceState
    tenancy: Tenancy | None = None
    wanted_w: float = 60_000.0
    level_w: float = 0.0
    """What it holds itself to, or its stations do."""
    fading: list[tuple[float, float]] = field(default_factory=list)
    """Powers that its stations may still draw, with the true time until which."""

    def drawn_w(self, now_s: float) -> float:
        """The worst that it may truly draw."""
        return max([self.level_w, *(w for w, until_s in self.fading if now_s <= until_s)])

    def settle(self, now_s: float, level_w: float) -> None:
        """Go to another level: up at once, down as late as its stations may."""
        if level_w < self.level_w:
            self.fading.append((self.level_w, now_s + LINGER_S))
        self.level_w = level_w

    def follow(self, now_s: float) -> None:
        if self.tenancy is not None:
            self.settle(now_s, held(self.known, self.clock.wall_s(now_s))[0])


@dataclass(kw_only=True)
class World:
    """Three sites, a coordinator, and everything that was ever sent between them."""

    clock: Clock
    places: dict[str, Place]
    state: State = field(default_factory=lambda: State.initial(group_site()))
    terms: Terms | None = None
    now_s: float = 0.0
    post: list[tuple[str, Any]] = field(default_factory=list)
    tokens: Any = field(default_factory=count)
    limits: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, LIMIT_W)])
    """What the operator asked for: from when on, and how much."""

    @classmethod
    def of(cls, skews: list[tuple[float, float]]) -> World:
        clocks = [Clock(ahead_s=ahead, rate=rate) for ahead, rate in skews]
        places = {}
        for name, clock in zip(NAMES, clocks[1:], strict=True):
            source = GridSource(id="group feeder", circuit=CIRCUIT, failsafe_w=SAFE_W[name])
            places[name] = Place(name=name, clock=clock, known=liveness.expected(source))
        world = cls(clock=clocks[0], places=places)
        world.start()
        for name in NAMES:
            world.revive(name)
        return world

    # -- the coordinator

    def start(self, *, forgets: bool = False) -> None:
        if forgets:
            self.state = State.initial(group_site())
            self.cut(self.limits[-1][1])
        self.state = apply(self.state, ControllerStarted(at_s=self.clock.wall_s(self.now_s)))
        self.terms = Terms()
        self.cycle()

    def cut(self, limit_w: float) -> None:
        """The operator sets another limit; whoever coordinates knows of it."""
        self.limits.append((self.now_s, limit_w))
        wall_s = self.clock.wall_s(self.now_s)
        limit = LimitSet(at_s=wall_s, source="mqtt dso", circuit=CIRCUIT, power_w=limit_w, valid_until_s=wall_s + 1e9)
        self.state = apply(self.state, limit)
        self.cycle()

    def demanded_w(self, within_s: float = LAPSE_S + 1.0) -> float:
        """What they must keep by now: the highest limit of as long ago as a lost site may take."""
        later = [since_s for since_s, _ in self.limits[1:]] + [self.now_s]
        return max(w for (_, w), end_s in zip(self.limits, later, strict=True) if end_s >= self.now_s - within_s)

    def cycle(self) -> None:
        if self.terms is None:
            return
        run_s, wall_s = self.clock.run_s(self.now_s), self.clock.wall_s(self.now_s)
        self.terms, gone = self.terms.over(run_s)
        for name, number in gone:
            self.state = apply(self.state, ShareLapsed(at_s=wall_s, member=name, number=number))
        for lease in tuple(sharing.leases(self.state, wall_s)):
            self.state = apply(self.state, lease)
        self.terms, answers = self.terms.told(GROUP, self.state.members, run_s)
        self.post += [(a.member, a) for a in answers]

    # -- a site

    def revive(self, name: str) -> None:
        place = self.places[name]
        wall_s = place.clock.wall_s(self.now_s)
        place.known = liveness.disturbed(place.known, ControllerStarted(at_s=wall_s))
        place.tenancy = Tenancy(taken=held(place.known, wall_s)[1])
        place.follow(self.now_s)

    def kill(self, name: str) -> None:
        """Its stations go on as they were told for a while, then by their defaults, which fit the safe share."""
        place = self.places[name]
        place.tenancy = None
        place.settle(self.now_s, max(place.level_w, SAFE_W[name]))
        place.settle(self.now_s, SAFE_W[name])

    def ask(self, name: str) -> None:
        place = self.places[name]
        if place.tenancy is None:
            return
        place.follow(self.now_s)
        limit_w, number, is_lapsed = held(place.known, place.clock.wall_s(self.now_s))
        need = Need(
            wanted_w=place.wanted_w, reserved_w=place.drawn_w(self.now_s), measured_w=None,
            limit_w=limit_w, number=number, is_lapsed=is_lapsed,
        )  # fmt: skip
        token = str(next(self.tokens))
        place.tenancy = place.tenancy.asking(need, token, place.clock.run_s(self.now_s))
        self.post.append(("coordinator", (name, token, need)))

    # -- what lies between them

    def deliver(self, index: int, *, keep: bool) -> None:
        if not self.post:
            return
        to, word = self.post[index % len(self.post)]
        if not keep:
            del self.post[index % len(self.post)]
        if to == "coordinator":
            self._hear_need(*word)
        else:
            self._hear_share(self.places[to], word)

    def heard(self, name: str, token: str, need: Need) -> ShareWanted:
        return ShareWanted(
            at_s=self.clock.wall_s(self.now_s), member=name, token=token, safe_w=SAFE_W[name], linger_s=LINGER_S,
            **asdict(need),
        )  # fmt: skip

    def _hear_need(self, name: str, token: str, need: Need) -> None:
        if self.terms is None:
            return
        self.state = apply(self.state, self.heard(name, token, need))
        self.cycle()

    def _hear_share(self, place: Place, share: Any) -> None:
        if place.tenancy is None:
            return
        left_s = place.tenancy.left_s(share.number, GROUP.lease_s, share.token, place.clock.run_s(self.now_s))
        if left_s is None:
            return
        wall_s = place.clock.wall_s(self.now_s)
        heard = SourceHeard(at_s=wall_s, source="group feeder", until_s=wall_s + left_s)
        place.known = liveness.heard(place.known, heard)
        if share.number > place.tenancy.taken:
            limit = LimitSet(
                at_s=wall_s, source="group feeder", circuit=CIRCUIT, power_w=share.limit_w, version=str(share.number)
            )
            place.known = liveness.limited(place.known, limit, POLICY)
            place.tenancy = replace(place.tenancy, taken=share.number)
        place.follow(self.now_s)

    # -- time

    def wait(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(self.now_s + 1.0, until_s)
            for place in self.places.values():
                place.follow(self.now_s)
            self.cycle()
            self.check()

    def talk(self, *names: str) -> None:
        """A whole exchange with some sites, and what follows from it."""
        for name in names:
            self.ask(name)
        for _ in range(3 * len(names)):
            before = len(self.post)
            for index in reversed(range(before)):
                if self.post[index][0] in ("coordinator", *names):
                    self.deliver(index, keep=False)
            if len(self.post) == 0:
                break

    def total_w(self) -> float:
        return sum(place.drawn_w(self.now_s) for place in self.places.values())

    def check(self) -> None:
        assert self.total_w() <= self.demanded_w() + 0.01, {n: p.drawn_w(self.now_s) for n, p in self.places.items()}
        if self.terms is not None:
            for name, place in self.places.items():
                known = self.state.members[name]
                assert place.drawn_w(self.now_s) <= max(worst_w(known), known.safe_w) + 0.01, name

    def calm(self, minutes: int = 4) -> None:
        """Everybody is there and talks, as it should be."""
        for _ in range(minutes * 6):
            self.talk(*NAMES)
            self.check()
            self.wait(10.0)


SKEW = st.tuples(st.sampled_from((0.0, 3600.0, -86400.0, 7.0)), st.sampled_from((1.0, 0.99, 1.01)))
SITE = st.sampled_from(NAMES)
ACTIONS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from((1.0, 10.0, 45.0, 100.0))),
    st.tuples(st.just("talk"), SITE),
    st.tuples(st.just("talk"), SITE),
    st.tuples(st.just("calm"), st.just(1)),
    st.tuples(st.just("ask"), SITE),
    st.tuples(st.just("deliver"), st.integers(0, 30)),
    st.tuples(st.just("double"), st.integers(0, 30)),
    st.tuples(st.just("lose"), st.integers(0, 30)),
    st.tuples(st.just("kill"), SITE),
    st.tuples(st.just("revive"), SITE),
    st.tuples(st.just("stop"), st.none()),
    st.tuples(st.just("start"), st.none()),
    st.tuples(st.just("forget"), st.none()),
    st.tuples(st.just("want"), st.tuples(SITE, st.sampled_from((0.0, 15_000.0, 60_000.0, 200_000.0)))),
)


def act(world: World, action: str, what: Any) -> None:  # noqa: C901, PLR0912 - a line an action
    match action:
        case "wait":
            world.wait(what)
        case "talk":
            world.talk(what)
        case "calm":
            world.calm(what)
        case "ask":
            world.ask(what)
        case "deliver":
            world.deliver(what, keep=False)
        case "double":
            world.deliver(what, keep=True)
        case "lose":
            if world.post:
                del world.post[what % len(world.post)]
        case "kill":
            world.kill(what)
        case "revive" if world.places[what].tenancy is None:
            world.revive(what)
        case "stop":
            world.terms = None
        case "start":
            world.start()
        case "forget":
            world.start(forgets=True)
        case "want":
            world.places[what[0]].wanted_w = what[1]
        case "cut":
            world.cut(what)
    world.check()


class TestTheSumNeverExceedsTheLimit:
    """I1 and I2, one level up: under any order, loss, doubling, delay, restart and set of the clocks."""

    @settings(max_examples=150, deadline=None)
    @given(skews=st.lists(SKEW, min_size=4, max_size=4), actions=st.lists(ACTIONS, min_size=5, max_size=40))
    def test_whatever_happens(self, skews: list[tuple[float, float]], actions: list[tuple[str, Any]]) -> None:
        world = World.of(skews)
        world.wait(LAPSE_S + 10.0)
        for action, what in actions:
            act(world, action, what)
        world.wait(LAPSE_S + 10.0)

    @settings(max_examples=100, deadline=None)
    @given(
        skews=st.lists(SKEW, min_size=4, max_size=4),
        actions=st.lists(
            ACTIONS | st.tuples(st.just("cut"), st.sampled_from((LIMIT_W, 70_000.0, 50_000.0))), min_size=5, max_size=40
        ),
    )
    def test_a_lower_limit_is_kept_within_the_life_of_a_share(
        self, skews: list[tuple[float, float]], actions: list[tuple[str, Any]]
    ) -> None:
        world = World.of(skews)
        world.wait(LAPSE_S + 10.0)
        for action, what in actions:
            act(world, action, what)
        world.wait(LAPSE_S + 10.0)


def settled(wants_w: dict[str, float], weights: dict[str, float] | None = None) -> World:
    """Three sites that have talked for a while."""
    world = World.of([(0.0, 1.0)] * 4)
    if weights:
        members = tuple(replace(m, weight=weights.get(m.id, 1.0)) for m in GROUP.members)
        world.state = State.initial(group_site(replace(GROUP, members=members)))
        world.start()
    for name, wanted_w in wants_w.items():
        world.places[name].wanted_w = wanted_w
    world.wait(LAPSE_S + 10.0)
    world.calm()
    return world


def levels(world: World) -> dict[str, float]:
    return {name: place.level_w for name, place in world.places.items()}


class TestOneByOne:
    """Cases that chance finds seldom."""

    def test_two_raises_in_one_cycle_share_the_room_that_is_free(self) -> None:
        world = settled({"north": 90_000.0, "south": 90_000.0, "ferry": 90_000.0})
        world.cut(60_000.0)
        world.calm(1)
        world.places["north"].wanted_w = 0.0
        world.ask("north")
        _, (name, token, need) = world.post.pop()
        world.state = apply(world.state, world.heard(name, token, need))  # with the limit that rises, in one cycle
        world.cut(LIMIT_W)
        while world.post:
            world.deliver(-1, keep=False)
            world.check()

    def test_a_site_that_says_it_still_draws_keeps_its_room_although_no_share_reaches_it(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        world.places["north"].fading.append((world.places["north"].level_w, inf))
        world.places["north"].wanted_w = 0.0
        for _ in range(30):
            world.ask("north")
            world.deliver(len(world.post) - 1, keep=False)
            world.post = [(to, word) for to, word in world.post if to != "north"]
            world.talk("south", "ferry")
            world.wait(10.0)

    def test_a_share_that_the_site_said_is_over_is_not_renewed(self) -> None:
        said = Need(wanted_w=0.0, reserved_w=0.0, measured_w=None, limit_w=20_000.0, number=7, is_lapsed=True)
        tenancy = Tenancy(taken=7).asking(said, "t", 100.0)
        assert tenancy.left_s(7, 60.0, "t", 110.0) is None
        assert tenancy.left_s(8, 60.0, "t", 110.0) == 50.0
        assert tenancy.left_s(8, 60.0, "t", 160.0) is None, "too late"
        assert tenancy.left_s(8, 60.0, "of another life", 110.0) is None
        assert tenancy.asking(replace(said, is_lapsed=False), "u", 110.0).left_s(7, 60.0, "u", 120.0) == 50.0


class TestSharing:
    def test_what_is_wanted_is_given_if_there_is_room(self) -> None:
        world = settled({"north": 40_000.0, "south": 30_000.0, "ferry": 5_000.0})
        assert levels(world) == {"north": 40_000.0, "south": 30_000.0, "ferry": 10_000.0}

    def test_scarce_room_goes_to_all_who_want_it_alike(self) -> None:
        world = settled({"north": 90_000.0, "south": 90_000.0, "ferry": 14_000.0})
        assert levels(world) == {"north": 43_000.0, "south": 43_000.0, "ferry": 14_000.0}

    def test_by_weight_above_the_safe_shares(self) -> None:
        world = settled({"north": 90_000.0, "south": 90_000.0, "ferry": 0.0}, {"north": 3.0})
        assert levels(world) == {"north": 57_500.0, "south": 32_500.0, "ferry": 10_000.0}

    def test_idle_sites_give_room_back(self) -> None:
        world = settled({"north": 200_000.0, "south": 0.0, "ferry": 0.0})
        assert levels(world) == {"north": 70_000.0, "south": 20_000.0, "ferry": 10_000.0}
        world.places["north"].wanted_w, world.places["south"].wanted_w = 0.0, 200_000.0
        world.talk("north")
        world.talk("south")
        assert levels(world)["south"] == 20_000.0, "the stations of the other have not followed yet"
        world.wait(LINGER_S + 1.0)
        world.calm(1)
        assert levels(world) == {"north": 20_000.0, "south": 70_000.0, "ferry": 10_000.0}

    @given(
        room_w=st.floats(0.0, 1e6),
        sites=st.lists(st.tuples(st.floats(0.1, 10.0), st.floats(0.0, 1e6)), min_size=1, max_size=8),
    )
    def test_max_min_is_fair(self, room_w: float, sites: list[tuple[float, float]]) -> None:
        """Nobody could have more without another having less who has no more for its weight."""
        weights, wishes_w = [w for w, _ in sites], [w for _, w in sites]
        given_w = max_min(room_w, weights, wishes_w)
        assert sum(given_w) == pytest.approx(min(room_w, sum(wishes_w)), abs=1e-3)
        short = [g / w for g, w, wish in zip(given_w, weights, wishes_w, strict=True) if g < wish - 1e-3]
        highest = max((g / w for g, w in zip(given_w, weights, strict=True)), default=0.0)
        assert all(level == pytest.approx(highest, abs=1e-3) for level in short)


class TestLowerLimit:
    """A limit of the group that is cut while it is shared."""

    def test_is_kept_at_once_by_sites_that_answer(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        world.cut(60_000.0)
        while world.post:
            world.deliver(0, keep=False)
        assert sum(levels(world).values()) <= 60_000.0
        world.wait(LINGER_S + 1.0)
        assert world.total_w() <= 60_000.0

    def test_below_the_safe_shares_is_kept_too(self) -> None:
        """A site that is there follows; one that is gone falls to its safe share, and the others make room for it."""
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        world.cut(30_000.0)
        world.calm(2)
        assert levels(world) == {"north": 10_000.0, "south": 10_000.0, "ferry": 10_000.0}
        world.kill("north")
        world.limits = [(0.0, 40_000.0)]  # until it counts as gone, its stations may be on their default profiles
        for _ in range(8):
            world.talk("south", "ferry")
            world.wait(10.0)
        assert levels(world) == {"north": 20_000.0, "south": 5_000.0, "ferry": 5_000.0}

    def test_beside_a_site_that_is_gone_others_go_lower(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        gone_w = levels(world)["north"]
        world.kill("north")
        for _ in range(4):
            world.talk("south", "ferry")
            world.wait(10.0)
        world.cut(60_000.0)
        world.talk("south", "ferry")
        assert levels(world)["south"] + levels(world)["ferry"] == 60_000.0 - gone_w

    def test_that_ends_gives_everything_back(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        before = levels(world)
        world.cut(50_000.0)
        world.calm(1)
        world.cut(LIMIT_W)
        world.calm(2)
        assert levels(world) == before


class TestLostSites:
    def test_one_that_is_gone_keeps_its_share_until_it_lapsed(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        before = levels(world)
        world.kill("north")
        for _ in range(6):
            world.talk("south", "ferry")
            world.wait(10.0)
        assert levels(world)["south"] == before["south"]
        for _ in range(int(LAPSE_S / 10.0)):
            world.talk("south", "ferry")
            world.wait(10.0)
        assert levels(world)["south"] == 60_000.0

    def test_one_that_comes_back_starts_at_its_safe_share(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        before = levels(world)["north"]
        world.kill("north")
        world.wait(LINGER_S + 5.0)
        world.revive("north")
        assert levels(world)["north"] == 20_000.0
        world.calm(1)
        assert levels(world)["north"] == before


class TestLostCoordinator:
    def test_leaves_every_site_at_its_safe_share(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        world.terms = None
        world.wait(GROUP.lease_s + 1.0)
        assert levels(world) == SAFE_W

    def test_started_again_it_goes_on_where_it_was(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        before = levels(world)
        world.start()
        world.talk(*NAMES)
        assert levels(world) == before

    def test_started_again_it_remembers_the_share_of_one_that_is_gone(self) -> None:
        world = settled({"north": 70_000.0, "south": 20_000.0, "ferry": 0.0})
        world.kill("north")
        world.start()
        world.places["south"].wanted_w = 90_000.0
        for _ in range(3):
            world.talk("south", "ferry")
            world.wait(10.0)
        assert levels(world)["south"] == 20_000.0

    def test_without_memory_it_gives_safe_shares_until_every_share_has_lapsed(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        world.start(forgets=True)
        world.calm(1)
        assert levels(world) == SAFE_W
        world.calm(2)
        assert levels(world)["north"] > 20_000.0


class TestMemory:
    """What was given is remembered: by the journal's facts, and by a snapshot between them."""

    def test_a_snapshot_keeps_every_share(self) -> None:
        world = settled({"north": 70_000.0, "south": 60_000.0, "ferry": 0.0})
        assert decode_state(encode_state(world.state), world.state.site) == world.state

    def test_a_site_that_was_added_may_hold_anything_at_first(self) -> None:
        world = settled({"north": 40_000.0, "south": 20_000.0, "ferry": 0.0})
        more = replace(GROUP, members=(*GROUP.members, Member(id="pier", safe_w=5_000.0)))
        known = decode_state(encode_state(world.state), group_site(more)).members
        assert worst_w(known["north"]) == 40_000.0
        assert worst_w(known["pier"]) == LIMIT_W

    def test_the_safe_share_is_the_higher_of_both_files(self) -> None:
        world = settled({"north": 40_000.0, "south": 20_000.0, "ferry": 0.0})
        lower = replace(GROUP, members=tuple(replace(m, safe_w=1_000.0) for m in GROUP.members))
        known = decode_state(encode_state(world.state), group_site(lower)).members["north"]
        assert (known.member.safe_w, known.safe_w) == (1_000.0, 20_000.0)
