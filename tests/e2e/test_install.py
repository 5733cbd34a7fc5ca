"""``tm-ansible install``, and the driver that it installs."""

import os
import re
import subprocess
from pathlib import Path

from tests.support.command import COMMAND, environment_of, tm_ansible
from tests.support.oned import Oned


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Give every file below a directory with its content and time of change."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_an_installation_is_complete_and_tells_what_to_write_into_oned_conf(tmp_path: Path) -> None:
    """Four models, the driver, the helper functions, and the sections of oned.conf."""
    done = tm_ansible("install", "--one-location", str(tmp_path))
    assert done.returncode == 0, done.stderr
    for model in ("nfs", "ssh", "shared", "dummy"):
        name = f"tm_ansible_{model}"
        for file in (f"{name}.conf", f"{name}rc", "settings.yml"):
            assert (tmp_path / "etc" / name / file).is_file()
        section = rf'name += "{name}",\s+executable += "one_tm_ansible",\s+arguments += '
        assert re.search(section, done.stdout)
    assert (tmp_path / "lib/mads/tm_common.sh").is_file()
    assert os.access(tmp_path / "lib/mads/one_tm_ansible", os.X_OK)


def test_a_second_installation_changes_nothing_and_a_changed_file_is_kept(tmp_path: Path) -> None:
    """The new version of a changed file stands beside it, and the output says so."""
    location = str(tmp_path)
    tm_ansible("install", "--one-location", location)
    before = files(tmp_path)
    assert "created" not in tm_ansible("install", "--one-location", location).stdout
    assert files(tmp_path) == before
    mine = tmp_path / "etc/tm_ansible_ssh/tm_ansible_ssh.conf"
    mine.write_text("CLONE = mine.yml\n")
    done = tm_ansible("install", "--one-location", location)
    assert f"kept       {mine}" in done.stdout
    assert mine.read_text() == "CLONE = mine.yml\n"
    assert "ssh/clone.yml" in mine.with_name(f"{mine.name}.new").read_text()


def test_opennebulas_own_helper_functions_stay(tmp_path: Path) -> None:
    """The stock action scripts need the stock tm_common.sh."""
    stock = tmp_path / "lib/mads/tm_common.sh"
    stock.parent.mkdir(parents=True)
    stock.write_text("stock")
    tm_ansible("install", "--one-location", str(tmp_path))
    assert stock.read_text() == "stock"
    assert not stock.with_name("tm_common.sh.new").exists()


def test_a_package_is_built_below_a_root(tmp_path: Path) -> None:
    """--system --root lays out for /, below the directory."""
    done = tm_ansible("install", "--system", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "usr/lib/one/mads/one_tm_ansible").is_file()
    assert (tmp_path / "etc/one/tm_ansible_nfs/tm_ansible_nfs.conf").is_file()
    assert "oned.conf: is OpenNebula installed" not in done.stdout


def test_a_mistake_is_told_on_one_line(tmp_path: Path) -> None:
    """Neither a traceback nor a screenful of usage."""
    for words in (
        ["install"],
        ["install", "--one-location", "/proc/nosuch"],
        ["install", "--one-location", ""],
        ["install", "--one-location", str(tmp_path), "--root", "/x"],
        ["nosuch"],
    ):
        done = tm_ansible(*words)
        assert done.returncode == 2
        assert re.fullmatch(r"tm-ansible: .+\n", done.stderr), done.stderr


def test_the_installed_driver_is_started_by_oned(tmp_path: Path) -> None:
    """Short PATH, no descriptor 2, blocked signals, a blank in the path, and modules of others."""
    location = tmp_path / "a cloud"
    tm_ansible("install", "--one-location", str(location))
    (location / "var").mkdir()
    for name in ("json.py", "msgspec.py", "tm_ansible.py"):
        (location / "var" / name).write_text("raise SystemExit('the wrong module')")
    driver = location / "lib/mads/one_tm_ansible"
    argument = "tm_ansible_dummy/tm_ansible_dummy.conf"
    bare = {"PYTHONPATH": ""}
    with Oned(location, argument, command=[str(driver)], environment=bare) as oned:
        assert oned.init == "INIT SUCCESS"
        done = oned.transfer(7, "MKSWAP 16 node1:/vm/7/images/disk.2\n")
        assert done.ok, done.reason
        assert oned.finalize() == 0


def test_the_output_may_be_cut_off(tmp_path: Path) -> None:
    """A reader that stops reading causes no traceback."""
    words = [*COMMAND, "install", "--one-location", str(tmp_path)]
    done = subprocess.run(
        ["sh", "-c", '"$@" | true', "sh", *words],
        env=environment_of(None),
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stderr == ""


def test_an_output_that_cannot_be_written_is_told_on_one_line(tmp_path: Path) -> None:
    """The disk behind the log of a cron job may be full."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*COMMAND, "install", "--one-location", str(tmp_path)],
            env=environment_of(None),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "tm-ansible: cannot write the output: No space left on device\n"


def test_the_version_is_told() -> None:
    """For reports of faults."""
    assert tm_ansible("--version").stdout.startswith("tm-ansible ")
