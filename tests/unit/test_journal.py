"""What drivers remember for their successors."""

import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import filesystems
from tm_ansible.journal import Journal


def die(journal: Journal) -> None:
    """Give the lock up as a killed process does, and leave the file."""
    assert journal._file is not None
    os.close(journal._file)
    journal._file = None


def inherit(directory: Path, name: str = "tm") -> list[int]:
    """Start a successor and give what its predecessors owe; they are discarded."""
    heir = Journal(directory, name)
    owed: list[int] = []
    for legacy in heir.legacies():
        owed += legacy.owed
        legacy.discard()
    heir.close()
    return sorted(owed)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 64 KiB."""
    if reason := filesystems.missing_for_file_systems(()):
        pytest.skip(reason)
    with filesystems.front_end() as place:
        place.run("mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path))
        yield filesystems.seen(place, tmp_path)


def fill(directory: Path, name: str = "filler") -> list[Path]:
    """Leave no room on a file system."""
    path = directory / name
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return [path]


def test_what_a_killed_driver_owes_is_inherited_once(tmp_path: Path) -> None:
    """The first successor gets what is owed, the second nothing, and no file is left."""
    journal = Journal(tmp_path, "tm")
    for vm_id in (7, 8, 9):
        journal.accept(vm_id)
    journal.settle(8)
    die(journal)
    assert inherit(tmp_path) == [7, 9]
    assert inherit(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_two_transfers_of_one_vm_are_two_answers(tmp_path: Path) -> None:
    """Answers are counted, not VMs."""
    journal = Journal(tmp_path, "tm")
    for _ in range(3):
        journal.accept(7)
    journal.settle(7)
    die(journal)
    assert inherit(tmp_path) == [7, 7]


def test_a_living_driver_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    """Two drivers of one name have files of their own, and neither takes the other's."""
    one, two = Journal(tmp_path, "tm"), Journal(tmp_path, "tm")
    one.accept(7)
    two.accept(8)
    assert inherit(tmp_path) == []
    assert one.path != two.path
    assert one.token != two.token
    die(one)
    assert inherit(tmp_path) == [7]
    two.close()


def test_a_driver_of_another_name_is_left_alone(tmp_path: Path) -> None:
    """A name that begins like another is another."""
    for name in ("tm_ssh", "tm.nfs", "t"):
        other = Journal(tmp_path, name)
        other.accept(7)
        die(other)
    assert inherit(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_the_end_of_a_living_driver_can_be_waited_for(tmp_path: Path) -> None:
    """What an ending predecessor leaves is inherited when it has ended."""
    old, heir = Journal(tmp_path, "tm"), Journal(tmp_path, "tm")
    old.accept(7)
    got: list[tuple[int, ...]] = []

    def wait() -> None:
        got.extend(legacy.owed for legacy in heir.legacies(wait_for=old.path))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    old.accept(8)
    die(old)
    thread.join(10)
    assert got == [(7, 8)]
    heir.close()


def test_an_orderly_end_without_debts_leaves_no_file(tmp_path: Path) -> None:
    """A driver that owes nothing leaves nothing; one that does leaves it to its successor."""
    clean, owing = Journal(tmp_path, "tm"), Journal(tmp_path, "tm")
    clean.accept(7)
    clean.settle(7)
    clean.close()
    owing.accept(8)
    owing.close()
    owing.settle(8)
    assert list(tmp_path.iterdir()) == [owing.path]
    assert inherit(tmp_path) == [8]


def test_what_ends_with_the_driver_stays_owed(tmp_path: Path) -> None:
    """What is waived is not owed; what is while the driver ends is, unless it is answered."""
    journal = Journal(tmp_path, "tm")
    for vm_id in (7, 8, 9):
        journal.accept(vm_id)
    journal.waive(7)
    journal.keep()
    journal.waive(8)
    journal.settle(9)
    journal.close()
    assert inherit(tmp_path) == [8]


def test_the_file_does_not_grow_when_nothing_stays_owed(tmp_path: Path) -> None:
    """10,000 transfers one after the other leave an empty file."""
    journal = Journal(tmp_path, "tm")
    for vm_id in range(10_000):
        journal.accept(vm_id)
        journal.settle(vm_id)
    assert journal.path.stat().st_size == 0
    journal.close()


def test_the_file_stays_bounded_when_something_is_always_owed(tmp_path: Path) -> None:
    """A transfer that runs while 20,000 others come and go is still remembered, in 64 KiB."""
    journal = Journal(tmp_path, "tm")
    journal.accept(1)
    sizes = []
    for vm_id in range(2, 20_002):
        journal.accept(vm_id)
        journal.settle(vm_id)
        sizes.append(journal.path.stat().st_size)
    assert max(sizes) < 65536
    assert [path.name for path in tmp_path.iterdir()] == [journal.path.name]
    with journal.path.open() as stream, pytest.raises(BlockingIOError):
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    die(journal)
    assert inherit(tmp_path) == [1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(noise=st.binary(max_size=200), cut=st.integers(0, 30))
def test_damaged_lines_are_skipped(tmp_path: Path, noise: bytes, cut: int) -> None:
    """Whatever a journal holds, reading it raises nothing; whole lines before damage count."""
    journal = Journal(tmp_path, "damaged")
    journal.accept(123)
    with journal.path.open("ab") as stream:
        stream.write(b"?\n" + noise[cut:].replace(b"-", b"?").replace(b"+", b"?"))
    die(journal)
    assert inherit(tmp_path, "damaged") == [123]


def test_a_truncated_line_is_skipped(tmp_path: Path) -> None:
    """A line that a full disk cut short names no VM."""
    journal = Journal(tmp_path, "tm")
    journal.accept(7)
    with journal.path.open("ab") as stream:
        stream.write(b"+\n+12x\n-\n\n+99999999999999999999999\n")
    die(journal)
    assert inherit(tmp_path) == [7]


def test_without_a_directory_it_warns_and_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver without a writable directory has a token and no journal, and says so once."""
    journal = Journal(tmp_path / "none", "tm")
    journal.accept(7)
    journal.settle(7)
    assert list(journal.legacies()) == []
    journal.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(tmp_path / "none") in caplog.text


def test_a_full_disk_costs_the_journal_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a note cannot be written the file goes, lest a successor believe what it says."""
    journal = Journal(tmp_path, "tm")
    journal.accept(7)
    full = os.open("/dev/full", os.O_WRONLY)
    assert journal._file is not None
    os.dup2(full, journal._file)
    os.close(full)
    journal.accept(8)
    journal.settle(8)
    assert list(tmp_path.iterdir()) == []
    assert "No space left on device" in caplog.text


def test_a_journal_is_kept_again_when_the_disk_has_room(
    full_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was owed meanwhile is remembered too; one warning tells of the time without."""
    journal = Journal(full_disk, "tm")
    journal.accept(7)
    filler = fill(full_disk)
    journal.path.write_bytes(b"")  # what it had of the disk is somebody else's
    filler += fill(full_disk, "more")
    journal.accept(8)
    journal.accept(9)
    assert not list(full_disk.glob(".tm*"))
    for path in filler:
        path.unlink()
    journal.settle(8)
    journal.accept(10)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    die(journal)
    assert inherit(full_disk) == [7, 9, 10]


def test_nothing_is_left_of_a_shorter_journal_that_finds_no_room(full_disk: Path) -> None:
    """A full disk while the file is written anew costs neither a descriptor nor a file."""
    journal = Journal(full_disk, "tm")
    journal.accept(7)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number is all that counts
    fill(full_disk)
    with pytest.raises(OSError, match="No space left"):
        journal._write_anew()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert [path.name for path in full_disk.glob(".tm*")] == [journal.path.name]
    journal.close()


def test_a_file_that_cannot_be_removed_costs_no_transfer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a disk that is read-only, giving the journal up raises nothing, nor does the end."""
    broken, clean = Journal(tmp_path, "tm"), Journal(tmp_path, "tm")
    for journal in (broken, clean):
        journal.path.unlink()
        journal.path.mkdir()
    assert broken._file is not None
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        os.dup2(full.fileno(), broken._file)
    broken.accept(7)
    broken.settle(7)
    broken.close()
    clean.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_journal_is_locked_as_nfs_wants_it(tmp_path: Path) -> None:
    """The heir's descriptor is open for writing: NFS gives no exclusive lock otherwise."""
    journal = Journal(tmp_path, "tm")
    journal.accept(7)
    die(journal)
    heir = Journal(tmp_path, "tm")
    for legacy in heir.legacies():
        modes = {
            fcntl.fcntl(int(link.name), fcntl.F_GETFL) & os.O_ACCMODE
            for link in Path("/proc/self/fd").iterdir()
            if os.path.realpath(link) == str(legacy.path)
        }
        assert modes == {os.O_RDWR}
    heir.close()


def test_what_a_driver_killed_while_it_compacts_leaves_is_removed(tmp_path: Path) -> None:
    """The file that was to take the journal's place goes with the journal."""
    journal = Journal(tmp_path, "tm")
    journal.accept(7)
    journal.path.with_suffix(".new").touch()
    die(journal)
    assert inherit(tmp_path) == [7]
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """The file is private: its token finds processes."""
    journal = Journal(tmp_path, "tm")
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.close()


def test_an_heir_that_dies_while_it_takes_over_makes_nothing_owed_twice(tmp_path: Path) -> None:
    """Of a journal and that of its heir only one counts, whichever is found first."""
    for _ in range(8):  # names are drawn by lot, and are looked at in their order
        journal = Journal(tmp_path, "tm")
        journal.accept(7)
        die(journal)
        kept = journal.path.read_bytes()
        heir = Journal(tmp_path, "tm")
        heir.accept(8)
        for legacy in heir.legacies():
            assert heir.take_over(legacy)
        die(heir)
        journal.path.write_bytes(kept)  # as if it had died before the removal
        assert inherit(tmp_path) == [7, 8]
        assert list(tmp_path.iterdir()) == []


def test_a_closed_journal_takes_nothing_over(tmp_path: Path) -> None:
    """What a predecessor leaves to a driver that ends itself is for the next one."""
    journal, heir = Journal(tmp_path, "tm"), Journal(tmp_path, "tm")
    journal.accept(7)
    die(journal)
    for legacy in heir.legacies():
        heir.close()
        assert not heir.take_over(legacy)
    assert inherit(tmp_path) == [7]


def test_a_file_that_cannot_be_closed_is_never_written_again(tmp_path: Path) -> None:
    """NFS tells of a full disk on closing; the descriptor's number may be another file's then."""
    journal = Journal(tmp_path, "tm")
    assert journal._file is not None
    os.close(journal._file)
    journal.accept(7)  # neither write nor close succeeds
    with (tmp_path / "other").open("wb"):
        journal.accept(8)
    assert (tmp_path / "other").read_bytes() == b""
    (tmp_path / "other").unlink()
    die(journal)
    assert inherit(tmp_path) == [7, 8]
