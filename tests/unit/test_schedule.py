"""What runs when. The test decides when each piece of work ends; nothing depends on time."""

import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tm_ansible.schedule import Schedule
from tm_ansible.shares import Obstacle

SECONDS = 10


class Piece:
    """Work that lasts until the test ends it."""

    def __init__(self, name: str, log: list[str]) -> None:
        """Begin neither run nor cancelled."""
        self.name = name
        self.started = threading.Event()
        self.cancelled = threading.Event()
        self.waits: list[tuple[str, int]] = []
        self._over = threading.Event()
        self._log = log

    def run(self) -> None:
        """Last until ``end``."""
        self._log.append(self.name)
        self.started.set()
        assert self._over.wait(SECONDS)

    def cancel(self) -> None:
        """Note it; the test ends the work."""
        self.cancelled.set()

    def wait_for(self, obstacle: Obstacle) -> None:
        """Note what keeps it waiting."""
        self.waits.append((obstacle.host, obstacle.running))

    def end(self) -> None:
        """Let ``run`` return."""
        self._over.set()


@pytest.fixture
def log() -> list[str]:
    """Give the names of pieces in the order in which they were started."""
    return []


@pytest.fixture
def piece(log: list[str]) -> Callable[[str], Piece]:
    """Give a maker of pieces."""
    return lambda name: Piece(name, log)


def test_different_vms_run_at_the_same_time(piece: Callable[[str], Piece]) -> None:
    """Two VMs' work runs at once when there are two slots."""
    schedule, one, two = Schedule(2), piece("1"), piece("2")
    schedule.submit(1, one)
    schedule.submit(2, two)
    assert one.started.wait(SECONDS)
    assert two.started.wait(SECONDS)
    one.end()
    two.end()
    assert schedule.close(SECONDS)


def test_no_more_runs_than_the_limit(piece: Callable[[str], Piece], log: list[str]) -> None:
    """The third of three starts when a slot is free, and the order is that of submission."""
    schedule = Schedule(2)
    pieces = [piece(str(number)) for number in range(4)]
    for number, work in enumerate(pieces):
        schedule.submit(number, work)
    assert pieces[0].started.wait(SECONDS)
    assert pieces[1].started.wait(SECONDS)
    assert sorted(log) == ["0", "1"]
    pieces[1].end()
    assert pieces[2].started.wait(SECONDS)
    assert not pieces[3].started.is_set()
    for work in pieces:
        work.end()
    assert pieces[3].started.wait(SECONDS)
    assert log[2:] == ["2", "3"]
    schedule.close(SECONDS)


def test_one_vm_is_served_in_order(piece: Callable[[str], Piece], log: list[str]) -> None:
    """A VM's second piece waits for the first, while a younger one of another VM goes ahead."""
    schedule = Schedule(3)
    first, second, other = piece("first"), piece("second"), piece("other")
    schedule.submit(7, first)
    schedule.submit(7, second)
    schedule.submit(8, other)
    assert other.started.wait(SECONDS)
    other.end()
    assert not second.started.is_set()
    first.end()
    assert second.started.wait(SECONDS)
    second.end()
    assert log[-1] == "second"
    schedule.close(SECONDS)


def test_a_waiting_vm_takes_no_slot(piece: Callable[[str], Piece]) -> None:
    """Ten pieces of a busy VM leave the second slot to another VM."""
    schedule = Schedule(2)
    many = [piece(f"7.{number}") for number in range(10)]
    other = piece("8")
    for work in many:
        schedule.submit(7, work)
    schedule.submit(8, other)
    assert other.started.wait(SECONDS)
    for work in (*many, other):
        work.end()
    assert many[-1].started.wait(SECONDS)
    schedule.close(SECONDS)


def test_cancel_drops_what_waits_and_spares_what_comes(
    piece: Callable[[str], Piece], log: list[str]
) -> None:
    """Younger work of the VM starts when the cancelled run is over, and not before."""
    schedule = Schedule(4)
    running, waiting, after = piece("running"), piece("waiting"), piece("after")
    schedule.submit(7, running)
    schedule.submit(7, waiting)
    assert running.started.wait(SECONDS)
    assert schedule.cancel(7) == 2
    assert running.cancelled.is_set()
    assert waiting.cancelled.is_set()
    schedule.submit(7, after)
    assert not after.started.wait(0.05)
    running.end()
    assert after.started.wait(SECONDS)
    assert not after.cancelled.is_set()
    after.end()
    schedule.close(SECONDS)
    assert log == ["running", "after"]


def test_cancel_of_an_unknown_vm_does_nothing(piece: Callable[[str], Piece]) -> None:
    """Another VM's work goes on."""
    schedule, work = Schedule(1), piece("7")
    schedule.submit(7, work)
    assert schedule.cancel(8) == 0
    assert not work.cancelled.is_set()
    work.end()
    schedule.close(SECONDS)


def test_close_cancels_everything_and_waits(piece: Callable[[str], Piece]) -> None:
    """What waits never starts, what runs is cancelled, and nothing more is taken."""
    schedule = Schedule(1)
    running, waiting, late = piece("running"), piece("waiting"), piece("late")
    schedule.submit(7, running)
    schedule.submit(8, waiting)
    assert running.started.wait(SECONDS)
    assert not schedule.close(0.05)
    assert running.cancelled.is_set()
    assert waiting.cancelled.is_set()
    running.end()
    assert schedule.close(SECONDS)
    schedule.submit(9, late)
    assert schedule.close(SECONDS)
    assert not waiting.started.is_set()
    assert not late.started.is_set()


def test_close_starts_nothing(piece: Callable[[str], Piece]) -> None:
    """The end of what is cancelled first makes no way for what waits."""
    schedule, waiting = Schedule(1), piece("waiting")

    class Obedient(Piece):
        def cancel(self) -> None:
            self.end()
            waiting.started.wait(0.2)

    running = Obedient("running", [])
    schedule.submit(1, running)
    schedule.submit(2, waiting)
    assert running.started.wait(SECONDS)
    waiting.end()
    assert schedule.close(SECONDS)
    assert waiting.cancelled.is_set()
    assert not waiting.started.is_set()


def test_an_error_in_work_frees_its_slot(
    piece: Callable[[str], Piece], caplog: pytest.LogCaptureFixture
) -> None:
    """Work that raises is logged, and the VM's next piece runs."""

    class Broken(Piece):
        def run(self) -> None:
            raise ValueError("a bug")

    schedule, after = Schedule(1), piece("after")
    schedule.submit(7, Broken("broken", []))
    schedule.submit(7, after)
    assert after.started.wait(SECONDS)
    assert "ValueError: a bug" in caplog.text
    after.end()
    schedule.close(SECONDS)


def test_without_threads_work_is_refused_or_waits(
    piece: Callable[[str], Piece], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no thread at all work is refused; with one at work it waits for that one."""
    schedule, first, second, third = Schedule(2), piece("1"), piece("2"), piece("3")
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="new thread"):
        schedule.submit(1, first)
    monkeypatch.setattr(threading.Thread, "start", start)
    schedule.submit(2, second)
    assert second.started.wait(SECONDS)
    monkeypatch.setattr(threading.Thread, "start", fail)
    schedule.submit(3, third)
    second.end()
    assert third.started.wait(SECONDS)
    third.end()
    assert schedule.close(SECONDS)
    assert not first.started.is_set()


def test_a_thousand_at_once_all_run_within_the_limit() -> None:
    """1,000 pieces for 50 VMs: each runs once, a VM's in order, never more than ten at a time."""
    lock, done = threading.Lock(), threading.Semaphore(0)
    running: set[int] = set()
    peaks: list[int] = []
    order: dict[int, list[int]] = {vm_id: [] for vm_id in range(50)}

    class Quick:
        def __init__(self, vm_id: int, number: int) -> None:
            self.vm_id, self.number = vm_id, number

        def run(self) -> None:
            with lock:
                assert self.vm_id not in running
                running.add(self.vm_id)
                peaks.append(len(running))
                order[self.vm_id].append(self.number)
            with lock:
                running.remove(self.vm_id)
            done.release()

        def cancel(self) -> None:
            """Do nothing."""

        def wait_for(self, obstacle: Obstacle) -> None:
            """Do nothing."""

    schedule = Schedule(10)
    for number in range(1000):
        schedule.submit(number % 50, Quick(number % 50, number))
    for _ in range(1000):
        assert done.acquire(timeout=SECONDS)
    assert max(peaks) <= 10
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert sum(len(numbers) for numbers in order.values()) == 1000
    assert schedule.close(SECONDS)


def test_a_full_host_lets_others_pass(piece: Callable[[str], Piece], log: list[str]) -> None:
    """What waits for a host takes no slot, says so once, and comes first when the host is free."""
    schedule = Schedule(3, lambda _host: 1)
    first, second, third = piece("a1"), piece("a2"), piece("a3")
    for number, work in enumerate((first, second, third)):
        schedule.submit(number, work, ["a"])
    others = [piece("b"), piece("free")]
    schedule.submit(8, others[0], ["b"])
    schedule.submit(9, others[1], [])
    assert all(work.started.wait(SECONDS) for work in (first, *others))
    assert (second.waits, third.waits, others[0].waits) == ([("a", 1)], [("a", 1)], [])
    first.end()
    assert second.started.wait(SECONDS)
    assert not third.started.is_set()
    second.end()
    assert third.started.wait(SECONDS)
    for work in (third, *others):
        work.end()
    assert schedule.close(SECONDS)
    assert third.waits == [("a", 1)]


def test_one_end_may_start_several(piece: Callable[[str], Piece]) -> None:
    """Work that held two hosts frees both: what waited for either starts at once."""
    schedule = Schedule(5, lambda _host: 1)
    both, one, other = piece("both"), piece("a"), piece("b")
    schedule.submit(1, both, ["a", "b"])
    schedule.submit(2, one, ["a"])
    schedule.submit(3, other, ["b"])
    assert both.started.wait(SECONDS)
    both.end()
    assert one.started.wait(SECONDS)
    assert other.started.wait(SECONDS)
    one.end()
    other.end()
    assert schedule.close(SECONDS)


def test_what_needs_two_hosts_is_not_passed_by_for_ever(piece: Callable[[str], Piece]) -> None:
    """Once each of its hosts has ended something, one slot is kept free on each, and no more."""
    schedule = Schedule(9, lambda _host: 2)
    on_a, on_b = [piece(f"a{n}") for n in range(4)], [piece(f"b{n}") for n in range(4)]
    both = piece("both")
    copy(schedule, 0, on_a[:2], "a")
    copy(schedule, 20, on_b[:2], "b")
    copy(schedule, 10, [both], "a", "b")
    copy(schedule, 2, on_a[2:], "a")
    copy(schedule, 22, on_b[2:], "b")
    assert all(work.started.wait(SECONDS) for work in (*on_a[:2], *on_b[:2]))
    on_a[0].end()
    assert on_a[2].started.wait(SECONDS), "it is kept from others before b has ended anything"
    on_b[0].end()
    assert not on_b[2].started.wait(0.05), "the slot on b that is kept was given away"
    on_b[1].end()
    assert on_b[2].started.wait(SECONDS), "more than one slot is kept on b"
    on_a[1].end()
    assert both.started.wait(SECONDS)
    assert not on_a[3].started.is_set()
    for work in (both, *on_a, *on_b):
        work.end()
    assert on_a[3].started.wait(SECONDS)
    assert on_b[3].started.wait(SECONDS)
    assert schedule.close(SECONDS)


@pytest.mark.parametrize("per_host", [1, 2])
def test_two_hosts_that_are_never_idle_serve_what_needs_both(
    piece: Callable[[str], Piece], per_host: int
) -> None:
    """Where each piece that ends has a successor waiting, work for both starts all the same."""
    schedule = Schedule(9, lambda _host: per_host)
    queues = {host: [piece(f"{host}{n}") for n in range(20)] for host in "ab"}
    both = piece("both")
    for number, (host, pieces) in enumerate(queues.items()):
        copy(schedule, 100 * number, pieces[:per_host], host)
    copy(schedule, 900, [both], "a", "b")
    for number, (host, pieces) in enumerate(queues.items()):
        copy(schedule, 100 * number + 50, pieces[per_host:], host)
    for number in range(20):
        for pieces in queues.values():
            if not both.started.wait(0.01) and pieces[number].started.is_set():
                pieces[number].end()
    assert both.started.is_set()
    assert running(queues["a"]) < 20
    assert running(queues["b"]) < 20
    for work in (both, *queues["a"], *queues["b"]):
        work.end()
    assert queues["a"][19].started.wait(SECONDS)
    assert schedule.close(SECONDS)


def test_what_waits_for_a_dead_host_keeps_no_slot_of_the_front_end(
    piece: Callable[[str], Piece],
) -> None:
    """Four copies hang and a fifth waits: the front-end's fifth slot serves the other hosts.

    That the host has ended a copy before it died makes no difference.
    """
    schedule = Schedule(10, lambda host: 5 if host == "localhost" else 4)
    dead = [piece(f"dead{number}") for number in range(9)]
    copy(schedule, 0, dead, "localhost", "dead")
    assert all(work.started.wait(SECONDS) for work in dead[:4])
    dead[0].end()
    assert dead[4].started.wait(SECONDS)
    alive = [piece(f"node{number}") for number in range(6)]
    for number, work in enumerate(alive):
        copy(schedule, 100 + number, [work], "localhost", f"node{number}")
    for work in alive:
        assert work.started.wait(SECONDS), f"{work.name} waits for the dead host"
        work.end()
    assert running(dead) == 5
    for work in dead:
        work.end()
    assert dead[8].started.wait(SECONDS)
    assert schedule.close(SECONDS)


def test_what_waits_for_a_dead_host_keeps_no_slot_of_another(
    piece: Callable[[str], Piece],
) -> None:
    """With one slot for each host, a move from a dead host waits alone, and others get their turn.

    Among those others is one that needs two hosts: slots are kept for it instead.
    """
    schedule = Schedule(10, lambda host: 0 if host == "localhost" else 1)
    hanging, move, both = piece("hanging"), piece("dead to b"), piece("b to c")
    on_b, on_c = [piece(f"b{n}") for n in range(3)], [piece(f"c{n}") for n in range(3)]
    copy(schedule, 1, [hanging], "localhost", "dead")
    copy(schedule, 2, [move], "dead", "b")
    copy(schedule, 10, on_b[:1], "localhost", "b")
    copy(schedule, 20, on_c[:1], "localhost", "c")
    copy(schedule, 3, [both], "b", "c")
    copy(schedule, 11, on_b[1:], "localhost", "b")
    copy(schedule, 21, on_c[1:], "localhost", "c")
    assert on_b[0].started.wait(SECONDS)
    assert on_c[0].started.wait(SECONDS)
    on_b[0].end()
    assert on_b[1].started.wait(SECONDS)
    on_c[0].end()
    assert not on_c[1].started.wait(0.05), "nothing is kept for what needs two living hosts"
    on_b[1].end()
    assert both.started.wait(SECONDS)
    assert not move.started.is_set()
    for work in (hanging, move, both, *on_b, *on_c):
        work.end()
    assert move.started.wait(SECONDS)
    assert on_b[2].started.wait(SECONDS)
    assert on_c[2].started.wait(SECONDS)
    assert schedule.close(SECONDS)


def test_what_is_dropped_keeps_no_slot(piece: Callable[[str], Piece]) -> None:
    """When the oldest that waits is cancelled, the slot that it kept is given to the next."""
    schedule = Schedule(9, lambda _host: 1)
    on_a, on_b = [piece("a0"), piece("a1")], [piece("b0"), piece("b1")]
    copy(schedule, 10, on_a[:1], "a")
    copy(schedule, 20, on_b[:1], "b")
    copy(schedule, 2, [piece("both")], "a", "b")
    copy(schedule, 11, on_a[1:], "a")
    copy(schedule, 21, on_b[1:], "b")
    assert on_a[0].started.wait(SECONDS)
    on_a[0].end()
    assert on_a[1].started.wait(SECONDS)
    on_b[0].end()
    assert not on_b[1].started.wait(0.05)
    schedule.cancel(2)
    assert on_b[1].started.wait(SECONDS)
    for work in (*on_a, *on_b):
        work.end()
    assert schedule.close(SECONDS)


def test_a_dead_host_holds_no_more_than_its_own_slots(piece: Callable[[str], Piece]) -> None:
    """Thirty pieces for a host that never answers leave six of ten slots to nineteen others."""
    schedule = Schedule(10, lambda host: 0 if host == "localhost" else 4)
    dead = [piece(f"dead{number}") for number in range(30)]
    for number, work in enumerate(dead):
        schedule.submit(number, work, ["localhost", "dead"])
    alive = [piece(f"node{number}") for number in range(19)]
    for number, work in enumerate(alive):
        schedule.submit(100 + number, work, ["localhost", f"node{number}"])
    for work in alive:
        assert work.started.wait(SECONDS), f"{work.name} waits for the dead host"
        work.end()
    assert [work.started.is_set() for work in dead].count(True) == 4
    for work in dead:
        work.end()
    assert schedule.close(SECONDS)


def copy(schedule: Schedule, first_vm: int, pieces: list[Piece], *hosts: str) -> None:
    """Submit pieces for VMs of their own that copy to or from hosts."""
    for number, work in enumerate(pieces):
        schedule.submit(first_vm + number, work, copies=hosts)


def submit(schedule: Schedule, first_vm: int, pieces: list[Piece], *hosts: str) -> None:
    """Submit pieces for VMs of their own that copy nothing."""
    for number, work in enumerate(pieces):
        schedule.submit(first_vm + number, work, hosts=hosts)


def running(pieces: list[Piece]) -> int:
    """Count what has been started."""
    return sum(work.started.is_set() for work in pieces)


def test_hosts_that_never_answer_leave_slots_to_others(piece: Callable[[str], Piece]) -> None:
    """One takes half of the slots, copies or not, the next half of the rest; a last one is left."""
    schedule = Schedule(10)
    hosts = ("one", "two", "three", "four")
    dead = {host: [piece(f"{host}{number}") for number in range(20)] for host in hosts}
    for number, host in enumerate(hosts[:3]):
        submit(schedule, 100 * number, dead[host], host)
        assert all(work.started.wait(SECONDS) for work in dead[host][: (5, 3, 1)[number]])
    alive = [piece(f"alive{number}") for number in range(5)]
    submit(schedule, 900, alive, "alive")
    for work in alive:
        assert work.started.wait(SECONDS)
        work.end()
    assert [running(dead[host]) for host in hosts[:3]] == [5, 3, 1]
    assert dead["one"][5].waits == [("one", 5)]
    for host in hosts:
        for work in dead[host]:
            work.end()
    assert dead["three"][19].started.wait(SECONDS)
    assert schedule.close(SECONDS)


def test_what_needs_two_busy_hosts_gets_its_turn(piece: Callable[[str], Piece]) -> None:
    """Where all slots are always taken, younger work does not keep its hosts busy for ever."""
    schedule = Schedule(2)
    on_a, on_b = [piece(f"a{number}") for number in range(4)], [piece("b0"), piece("b1")]
    both = piece("both")
    submit(schedule, 0, on_a[:1], "a")
    submit(schedule, 10, on_b[:1], "b")
    assert on_a[0].started.wait(SECONDS)
    assert on_b[0].started.wait(SECONDS)
    submit(schedule, 20, [both], "a", "b")
    submit(schedule, 30, on_a[1:], "a")
    submit(schedule, 40, on_b[1:], "b")
    on_a[0].end()
    assert on_a[1].started.wait(SECONDS), "b has ended nothing yet"
    on_b[0].end()
    assert not on_b[1].started.wait(0.05), "younger work passed by"
    on_a[1].end()
    assert both.started.wait(SECONDS)
    for work in (both, *on_a, *on_b):
        work.end()
    assert on_a[3].started.wait(SECONDS)
    assert schedule.close(SECONDS)


@pytest.mark.parametrize("seed", range(5))
def test_many_hosts_in_random_order(seed: int) -> None:
    """600 pieces on 1 or 2 of 12 hosts: the limits hold at every moment, and each piece runs."""
    chance = random.Random(seed)  # noqa: S311
    hosts = {f"h{number}": chance.randint(1, 4) for number in range(12)}
    lock, done = threading.Lock(), threading.Semaphore(0)
    busy: Counter[str] = Counter()
    faults: list[str] = []

    class Quick:
        def __init__(self, wanted: list[str], pause: float) -> None:
            self.wanted, self.pause = wanted, pause

        def run(self) -> None:
            with lock:
                busy.update([*self.wanted, "all"])
                faults.extend(host for host in self.wanted if busy[host] > hosts[host])
                faults.extend(["all"] if busy["all"] > 10 else [])
            threading.Event().wait(self.pause)
            with lock:
                busy.subtract([*self.wanted, "all"])
            done.release()

        def cancel(self) -> None:
            """Do nothing."""

        def wait_for(self, obstacle: Obstacle) -> None:
            assert obstacle.running <= hosts[obstacle.host]

    schedule = Schedule(10, hosts.__getitem__)
    for number in range(600):
        wanted = chance.sample(sorted(hosts), chance.randint(1, 2))
        schedule.submit(number % 200, Quick(wanted, chance.choice((0, 0.001))), wanted)
    for _ in range(600):
        assert done.acquire(timeout=SECONDS), "a piece of work was left behind"
    assert not faults
    assert schedule.close(SECONDS)
