"""Action scripts in the map, under the real driver started as oned does."""

from pathlib import Path

import pytest

from tests.support.command import tm_ansible
from tests.support.oned import Oned
from tests.support.processes import alive, wait_until

GUIDE_LN = """#!/bin/bash

SRC=$1
DST=$2

. $ONE_LOCATION/lib/mads/tm_common.sh

SRC_PATH=`arg_path $SRC`
DST_PATH=`arg_path $DST`
DST_HOST=`arg_host $DST`

DST_DIR=`dirname $DST_PATH`

log "Creating directory $DST_DIR"
exec_and_log "mkdir -p $DST_DIR"

log "Link $SRC_PATH for $DST_HOST"
exec_and_log "ln -s $SRC_PATH $DST_PATH"
"""
SLOW = """#!/bin/sh
. "$TM_COMMON"
log begun
timeout_exec_and_log 300 "sleep 300" &
echo $! >"$(arg_path "$1").pid"
wait
"""


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """Give an installation with a map of action scripts beside those that come with us."""
    tm_ansible("install", "--one-location", str(tmp_path))
    site = tmp_path / "etc/tm_site"
    site.mkdir()
    (site / "tm_site.conf").write_text(
        "LN = tm_ln.sh\nDELETE = slow.sh\nMKSWAP = dummy/mkswap.yml\nMV = fails.sh\n"
    )
    for name, text in (
        ("tm_ln.sh", GUIDE_LN),
        ("slow.sh", SLOW),
        ("fails.sh", '#!/bin/sh\n. "$TM_COMMON"\nerror_message "tape $1 is full"\nexit 7\n'),
    ):
        (site / name).write_text(text)
        (site / name).chmod(0o755)
    return tmp_path


def driver(one: Path) -> Oned:
    """Start the installed driver with the site's map."""
    return Oned(one, "tm_site/tm_site.conf", command=[str(one / "lib/mads/one_tm_ansible")])


def test_a_script_of_the_guide_runs_as_it_is(one: Path) -> None:
    """Its lines are in the VM's log, in order, between those of playbooks."""
    image = one / "base.img"
    image.touch()
    disk = one / "var/7/images/disk.0"
    with driver(one) as oned:
        done = oned.transfer(7, f"LN fe:{image} node1:{disk}\nMKSWAP 16 node1:{disk}.swap\n")
    assert done.ok, done.reason
    assert disk.readlink() == image
    texts = [line.partition(": ")[2] for line in done.log if line.startswith("LN node1: ")]
    assert texts[:4] == [
        f"Creating directory {disk.parent}",
        f'Executed "mkdir -p {disk.parent}".',
        f"Link {image} for node1",
        f'Executed "ln -s {image} {disk}".',
    ]
    assert texts[4].startswith("ran tm_ln.sh in ")
    assert done.log[-1].startswith("MKSWAP node1: ")


def test_a_scripts_error_message_is_the_reason(one: Path) -> None:
    """What it put between the separators, with action and host; what follows is not run."""
    with driver(one) as oned:
        done = oned.transfer(7, "MV node1:/a fe:/b\nDELETE node1:/a\n")
    assert not done.ok
    assert done.reason == "MV fe: tape node1:/a is full"


def test_a_cancelled_script_is_gone_with_all_it_started(one: Path) -> None:
    """No reply comes, and the next transfer of the VM has its slot."""
    with driver(one) as oned:
        oned.submit(7, f"DELETE node1:{one}/x\n")
        oned.wait_log(7, "begun")
        wait_until((one / "x.pid").exists)
        pid = int((one / "x.pid").read_text())
        oned.send("DRIVER_CANCEL  7")
        wait_until(lambda: not alive(pid), 5)
        done = oned.transfer(7, "MKSWAP 16 node1:/vm/7/disk.2\n")
        assert done.ok, done.reason
        assert len(oned.replies(7)) == 1
