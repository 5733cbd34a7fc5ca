"""Names and words that are code for somebody: taken as they are, or refused with a reason."""

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import hostile
from tests.support.hosts import (
    SshHost,
    close_masters,
    make_key,
    missing_for_hosts,
    write_inventory,
)
from tests.support.oned import Oned
from tests.support.site import Site
from tm_ansible.protocol import clean

FEW = 30
# Actions that take a play of their own for each name.
FEWER = 6
BATCH = 150
IMAGE_BYTES = 512
vm_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """A storage model at work.

    Attributes:
        site: the installation.
        oned: its driver, whose runs start warm.
        host: where images go, as a script names it.
        nodes: hosts by name.
        canaries: beginning of the paths of what code in a name would make.
    """

    site: Site
    oned: Oned
    host: str
    nodes: dict[str, SshHost]
    canaries: Path

    def outside(self, path: Path, host: str = "") -> Path:
        """Find a path of the host that images go to."""
        node = self.nodes.get(host or self.host)
        return node.path(path) if node else path

    def run(self, vm_id: int, lines: Sequence[str]) -> None:
        """Have a script succeed."""
        script = b"".join(hostile.encoded(line) + b"\n" for line in lines)
        done = self.oned.transfer(vm_id, script, timeout=300)
        assert done.ok, done.reason


# One process of the tests each: their drivers and hosts take longer to start than most tests.
MODELS = [
    pytest.param(model, marks=pytest.mark.xdist_group(f"hostile {model}"))
    for model in ("nfs", "shared", "ssh")
]


@pytest.fixture(scope="module", params=MODELS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give a model with its driver, and hosts if the model has any."""
    model = str(request.param)
    nodes = ["node1", "node2"] if model != "nfs" else []
    if nodes and (reason := missing_for_hosts()):
        pytest.skip(reason)
    base = Path(tempfile.mkdtemp(prefix="tmh"))
    try:
        site, hosts = Site(base, model), _start(nodes, base)
        inventory = [write_inventory(base / "hosts.ini", hosts.values(), base / "cp")]
        site.install("engine: {warm: true}\n", inventory if nodes else [])
        with site.start() as oned:
            oned.wait_warm()
            yield Place(site, oned, nodes[0] if nodes else "fe", hosts, base / "canary")
    finally:
        close_masters(base / "cp")
        for host in hosts.values():
            host.stop()
        shutil.rmtree(base)


def _start(names: Sequence[str], base: Path) -> dict[str, SshHost]:
    """Start hosts that share the image repository, but no VM's directory."""
    if names:
        make_key(base / "key")
    hosts = {
        name: SshHost(name, f"127.0.0.{number}", base / name, base / "one", base / "key")
        for number, name in enumerate(names, start=2)
    }
    for host in hosts.values():
        host.start()
    return hosts


DISK = re.compile(r"disk\.[0-9]+")


@pytest.mark.parametrize("count", [FEW, pytest.param(5000, marks=pytest.mark.long)])
def test_names_with_code_are_taken_as_they_are(place: Place, count: int) -> None:
    """Names with quotes, $(), backticks, globs, templates, U+202E, 255 bytes: literally handled."""
    if place.nodes and count == FEW:
        count //= 3  # over there it takes longer
    names = hostile.some(hostile.corpus(place.canaries), count)
    for first in range(0, len(names), BATCH):
        _live(place, names[first : first + BATCH])
    assert not hostile.made(place.canaries)


def _live(place: Place, names: Sequence[str]) -> None:
    """Have all six actions carried out with each name, and look at what they made."""
    images, home = _images(place, names), f"{place.site.vm_dir(vm_id := next(vm_ids))}/images"
    at, to = place.outside(Path(home)), f"{place.host}:{home}"
    place.run(
        vm_id,
        [
            *(f"CLONE fe:{images}/{name} {to}/clone/{name}" for name in names),
            *(f"LN fe:{images}/{name} {to}/ln/{name}" for name in names),
            *(f"MKSWAP 1 {to}/swap/{name}" for name in names),
            *(f"MKIMAGE 1 ext2 {to}/image/{name}" for name in names),
        ],
    )
    for made in ("clone", "ln", "swap", "image"):
        assert _listed(at / made) == sorted(names)
    for name in names:
        image = (images / name).read_bytes()
        assert (at / "clone" / name).read_bytes() == image
        assert (at / "ln" / name).read_bytes() == image
        assert b"SWAPSPACE2" in (at / "swap" / name).read_bytes()[:4096]
        assert (at / "image" / name).read_bytes()[1080:1082] == b"\x53\xef"
    place.run(
        vm_id,
        [
            *(f"MV {to}/clone/{name} {to}/mv/{name}" for name in names),
            *(f"DELETE {to}/ln/{name}" for name in names),
        ],
    )
    assert _listed(at / "ln") == []
    # In the model nfs an MV leaves in its place what is not saved: what is no disk.
    moved = [name for name in names if place.site.model != "nfs" or DISK.fullmatch(name)]
    assert _listed(at / "clone") == sorted(set(names) - set(moved))
    assert not moved or _listed(at / "mv") == sorted(moved)
    place.run(vm_id, [f"DELETE {to}"])
    assert not at.exists()


def _images(place: Place, names: Sequence[str]) -> Path:
    """Make an image for each name, and give their directory."""
    directory = Path(tempfile.mkdtemp(dir=place.site.images))
    for number, name in enumerate(names):
        (directory / name).write_bytes(b"%08d" % number * (IMAGE_BYTES // 8))
    return directory


def _listed(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))  # noqa: PTH208 - names as bytes have them


def test_directories_with_code_are_taken_as_they_are(place: Place) -> None:
    """Each part of a path is data: of an image, of a directory of files, on either of two hosts."""
    names = (*hostile.deep(place.canaries), *hostile.some(hostile.corpus(place.canaries), FEWER))
    vm_id, source = next(vm_ids), Path(tempfile.mkdtemp(dir=place.site.images))
    home = place.site.vm_dir(vm_id) / "images"
    for name in names:
        (source / name).mkdir(parents=True)
        (source / name / "image").write_text(name)
    to = f"{place.host}:{home}"
    place.run(vm_id, [f"CLONE fe:{source}/{name}/image {to}/{name}/disk.0" for name in names])
    some = names[-FEWER:]
    place.run(vm_id, [f"MKIMAGE fe:{source}/{name} {to}/{name}/disk.1" for name in some])
    for name in names:
        assert (place.outside(home) / name / "disk.0").read_text() == name
    for name in some:
        assert b"image" in (place.outside(home) / name / "disk.1").read_bytes()
    if place.site.model == "ssh":
        _move_to_the_other(place, vm_id, home, some)
    assert not hostile.made(place.canaries)


def _move_to_the_other(place: Place, vm_id: int, home: Path, names: Sequence[str]) -> None:
    moves = [f"MV node1:{home}/{name} node2:{home}/{name}" for name in names]
    place.run(vm_id, moves)
    for name in names:
        assert (place.outside(home, "node2") / name / "disk.0").read_text() == name
        assert not (place.outside(home, "node1") / name).exists()


def _script(verb: str, source: bytes, destination: bytes) -> bytes:
    """Give an action with both its places."""
    words = {
        "MKSWAP": [b"1", destination],
        "MKIMAGE": [b"1", b"raw", destination],
        "DELETE": [destination],
    }
    return b" ".join([verb.encode(), *words.get(verb, [source, destination])]) + b"\n"


@pytest.mark.parametrize("verb", ["CLONE", "LN", "MKSWAP", "MKIMAGE", "MV", "DELETE"])
def test_names_that_no_action_can_have_are_refused(place: Place, verb: str) -> None:
    """Control bytes, broken UTF-8, «..», names of ours, too long ones: a reason, nothing made."""
    vm_id = next(vm_ids)
    images = hostile.encoded(f"fe:{place.site.images}/")
    to = hostile.encoded(f"{place.host}:{place.site.vm_dir(vm_id)}/images/")
    for name in hostile.unfit():
        if verb == "DELETE" and name.startswith(b".tm-"):
            continue  # what a driver left may be removed
        done = place.oned.transfer(vm_id, _script(verb, images + b"a", to + name))
        assert not done.ok, name
        assert done.reason.startswith(("line 1: ", "transfer script ")), (name, done.reason)
    assert not place.outside(place.site.vm_dir(vm_id) / "images").exists()


@pytest.mark.parametrize("verb", ["CLONE", "LN", "MKSWAP", "MKIMAGE", "MV", "DELETE"])
def test_hosts_are_names_or_addresses(place: Place, verb: str) -> None:
    """Options, patterns, groups, variables and code where a host stands: refused before a run."""
    vm_id = next(vm_ids)
    path = f":{place.site.vm_dir(vm_id)}/disk.0"
    good = hostile.encoded(f"{place.host}{path}")
    for word in hostile.hosts(place.canaries):
        bad = hostile.encoded(word + path)
        pairs = [(good, bad), (bad, good)] if verb in ("CLONE", "LN", "MV") else [(good, bad)]
        for source, destination in pairs:
            done = place.oned.transfer(vm_id, _script(verb, source, destination))
            assert not done.ok, word
            assert done.reason.startswith("line 1: "), done.reason
    assert not hostile.made(place.canaries)


@pytest.mark.parametrize(
    "word", ["$(id)", "-1", "1e3", "0x10", "{{7}}", "\uff11", "1;id", "nan", "+1", ""]
)
def test_sizes_and_file_systems_are_of_a_list(place: Place, word: str) -> None:
    """What is no plain number, or no file system that is known, is refused before a run."""
    vm_id = next(vm_ids)
    to = f"{place.host}:{place.site.vm_dir(vm_id)}/disk.0"
    for line in (f"MKSWAP {word} {to}", f"MKIMAGE {word} ext2 {to}", f"MKIMAGE 1 {word} {to}"):
        done = place.oned.transfer(vm_id, line + "\n")
        assert not done.ok
        assert done.reason.startswith("line 1: "), done.reason


SAYING = """\
- name: Say
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say
      ansible.builtin.debug:
        msg: "{{ tm_source }}"
    - name: Say it again, by a variable
      ansible.builtin.set_fact:
        mine: "{{ tm_source }}"
    - name: Say it
      ansible.builtin.debug:
        msg: "{{ mine }}"
"""
WRITING = '#!/bin/sh\nprintf "%s\\0" "$@" >>"$0.said"\n'


def test_programs_of_the_site_get_the_words_as_they_are(tmp_path: Path) -> None:
    """A playbook's variables and an action script's arguments are never code either."""
    site = Site(tmp_path / "site", "nfs").install("engine: {warm: true}\n")
    (site.etc / "say.yml").write_text(SAYING)
    (site.etc / "write").write_text(WRITING)
    (site.etc / "write").chmod(0o755)
    map_ = site.etc / "tm_ansible_nfs.conf"
    map_.write_text("CLONE = say.yml\nLN = write\n")
    names = hostile.some(hostile.corpus(tmp_path / "canary"), FEWER * 2)
    with site.start() as oned:
        oned.wait_warm()
        _hear(oned, names)
        lines = [f"LN fe:/{name} fe:{site.vm_dir(2)}/{name}\n" for name in names]
        assert oned.transfer(2, "".join(lines)).ok
        said = (site.etc / "write.said").read_bytes().split(b"\0")
        assert said[:-1] == [hostile.encoded(word) for line in lines for word in line.split()[1:]]
    assert not hostile.made(tmp_path / "canary")


def _hear(oned: Oned, names: Sequence[str]) -> None:
    script = "".join(f"CLONE fe:/{name} fe:/x/{name}\n" for name in names)
    done = oned.transfer(1, script)
    assert done.ok, done.reason
    said = [clean(f"CLONE fe: fe:/{name}") for name in names]
    assert done.log == [line for line in said for _ in range(2)]
