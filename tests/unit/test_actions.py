"""From a transfer script to a job."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tm_ansible.actions import MAX_MIB, job_for
from tm_ansible.configuration import load_configuration
from tm_ansible.engine.job import Job
from tm_ansible.errors import ScriptError
from tm_ansible.script import Action, Verb, parse_script

FIXTURES = Path(__file__).parents[1] / "fixtures" / "oned-1.2"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A map with a playbook for each action but LN, which has an action script."""
    root = tmp_path_factory.mktemp("one")
    directory = root / "etc" / "tm_site"
    (directory / "ansible_collections/one/tm/playbooks").mkdir(parents=True)
    (directory / "settings.yml").write_text("content: .\nfront_ends: [fe]\n")
    playbooks = [verb for verb in Verb if verb is not Verb.LN]
    for verb in playbooks:
        (directory / f"{verb.value.lower()}.yml").touch()
    (directory / "link.sh").touch(mode=0o755)
    lines = [f"{verb.value} = {verb.value.lower()}.yml" for verb in playbooks]
    (directory / "tm_site.conf").write_text("\n".join([*lines, "LN = link.sh", ""]))
    return load_configuration("tm_site", {"ONE_LOCATION": str(root)})


def _job(site, text):
    return job_for(7, parse_script(text), site, marker="m")


def test_a_prolog_becomes_a_job(site):
    """Each action is a run with the variables of the contract; hosts are named once, in order."""
    job = _job(site, (FIXTURES / "ssh/prolog").read_text())
    assert list(job.labels) == [
        "CLONE node1",
        "LN node1",
        "MKSWAP node1",
        "CLONE node1",
    ]
    assert job.actions[0].playbook == str(site.directory / "clone.yml")
    assert job.actions[0].variables == {
        "tm_verb": "CLONE",
        "tm_vm_id": 7,
        "tm_host": "node1",
        "tm_source": "fe:/srv/cloud/images/base.img",
        "tm_destination": "node1:/srv/cloud/one/var/0/images/disk.0",
        "tm_arguments": [
            "fe:/srv/cloud/images/base.img",
            "node1:/srv/cloud/one/var//0/images/disk.0",
        ],
    }
    assert job.actions[2].variables == {
        "tm_verb": "MKSWAP",
        "tm_vm_id": 7,
        "tm_host": "node1",
        "tm_size_mib": 16,
        "tm_destination": "node1:/srv/cloud/one/var/0/images/disk.2",
        "tm_arguments": ["16", "node1:/srv/cloud/one/var//0/images/disk.2"],
    }
    assert job.hosts == ("node1",)


def test_a_job_carries_the_configuration(site):
    """Options, variables, environment and content of the driver go along, as JSON can."""
    job = _job(site, "")
    assert job == Job(
        vm_id=7,
        actions=(),
        hosts=(),
        defaults=dict(site.defaults),
        options=site.options,
        environment=dict(site.environment),
        collections=str(site.directory),
        marker="m",
    )
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*/*")), ids=lambda path: path.name)
def test_real_scripts_become_jobs(site, path):
    """Every script that a running oned 1.2 wrote can be carried out."""
    text = path.read_text()
    job = _job(site, text)
    assert len(job.actions) == text.count("\n")
    assert set(job.hosts) <= {"node1", "node2"}


def test_moves_between_hosts(site):
    """A move runs at its destination; every host that is not this machine is listed."""
    job = _job(site, (FIXTURES / "ssh/migrate").read_text())
    assert job.labels[0] == "MV node2"
    assert job.actions[0].variables["tm_host"] == "node2"
    assert job.hosts == ("node1", "node2")


@pytest.mark.parametrize("name", ["fe", "FE", "localhost", "127.0.0.1"])
def test_the_front_end_is_local(site, name):
    """Each name of this machine means localhost; the log keeps the name that was written."""
    job = _job(site, f"DELETE {name}:/srv/one/var/7/images")
    assert job.labels[0] == f"DELETE {name}"
    assert job.actions[0].variables["tm_host"] == "localhost"
    assert job.actions[0].variables["tm_source"] == f"{name}:/srv/one/var/7/images"
    assert "tm_destination" not in job.actions[0].variables
    assert job.hosts == ()


@pytest.mark.parametrize(
    ("line", "hosts"),
    [
        ("CLONE fe:/a node1:/b", ("localhost", "node1")),
        ("CLONE node1:/a node1:/b", ("node1",)),
        ("CLONE http://x/a node1:/b", ("node1",)),
        ("LN fe:/a node1:/b", ("localhost", "node1")),
        ("MV node1:/a node2:/b", ("node1", "node2")),
        ("MV node1:/a node1:/b", ()),
        ("MKIMAGE node1:/a node2:/b", ("node1", "node2")),
        ("MKIMAGE node2:/a node2:/b", ()),
        ("MKIMAGE 64 ext4 node1:/b", ()),
        ("MKSWAP 64 node1:/b\nDELETE node1:/b", ()),
        ("MKSWAP 64 node1:/b\nCLONE fe:/a node2:/b\nCLONE fe:/c node2:/d", ("localhost", "node2")),
    ],
)
def test_a_job_names_the_hosts_that_it_copies_to_or_from(site, line, hosts):
    """What limits of copies count: every host of an action that may copy, and no other."""
    assert _job(site, line).copies == hosts


@pytest.mark.parametrize(
    ("model", "hosts", "fetched"),
    [
        ("nfs", (), ("localhost",)),
        ("shared", (), ("node1",)),
        ("ssh", ("localhost", "node1"), ("node1",)),
    ],
)
def test_links_of_a_shared_repository_copy_nothing(tmp_path, model, hosts, fetched):
    """LN of our own playbooks copies in the ssh model, or from a URL, and nowhere else."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "tm.conf").write_text(f"LN = {model}/ln.yml\n")
    site = load_configuration("tm.conf", {"ONE_LOCATION": str(tmp_path)})
    assert _job(site, "LN localhost:/a node1:/b").copies == hosts
    assert _job(site, "LN ftp://x/a node1:/b").copies == fetched


@pytest.mark.parametrize("model", ["nfs", "dummy"])
def test_our_playbooks_of_these_models_are_at_work_on_the_front_end_alone(tmp_path, model):
    """Whatever host an action names; a site's own playbook is at work where its words say."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "own.yml").touch()
    lines = [f"{verb.value} = {model}/{verb.value.lower()}.yml\n" for verb in Verb]
    lines = [line for line in lines if not line.startswith("DELETE")]
    (tmp_path / "etc" / "tm.conf").write_text("".join([*lines, "DELETE = own.yml\n"]))
    (tmp_path / "etc" / "clone.conf").write_text("CLONE = own.yml\n")
    site = load_configuration("tm.conf", {"ONE_LOCATION": str(tmp_path)})
    for line in ("CLONE fe:/a node1:/b", "CLONE node1:/a node1:/b", "LN ftp://x/a node1:/b"):
        job = _job(site, line)
        assert (job.hosts, job.copies) == ((), ("localhost",))
    for line in ("LN fe:/a node1:/b", "MKSWAP 16 node1:/b", "MV node1:/a node2:/b"):
        job = _job(site, line)
        assert (job.hosts, job.copies) == ((), ())
    assert _job(site, "MKSWAP 16 node1:/b\nDELETE node2:/b").hosts == ("node2",)
    own = load_configuration("clone.conf", {"ONE_LOCATION": str(tmp_path)})
    assert _job(own, "CLONE node1:/a node2:/b").copies == ("node1", "node2")


def test_both_forms_of_mkimage(site):
    """An image is made from a directory, or of a size and file system."""
    job = _job(site, "MKIMAGE other:/files/ [2001:db8::1]:/d\nMKIMAGE 0064 EXT4 n:/d")
    first, second = (run.variables for run in job.actions)
    assert first["tm_source"] == "other:/files"
    assert first["tm_destination"] == "[2001:db8::1]:/d"
    assert first["tm_host"] == "2001:db8::1"
    assert not {"tm_size_mib", "tm_filesystem"} & set(first)
    assert second["tm_size_mib"] == 64
    assert second["tm_filesystem"] == "ext4"
    assert second["tm_arguments"] == ["0064", "EXT4", "n:/d"]
    assert "tm_source" not in second
    assert job.hosts == ("other", "2001:db8::1", "n")


def test_a_url_is_no_host(site):
    """A source that is fetched goes on as it stands and adds no host."""
    job = _job(site, "CLONE http://joe:pw@h//a?b n:/d")
    assert job.actions[0].variables["tm_source"] == "http://joe:pw@h//a?b"
    assert job.hosts == ("n",)


def test_every_loopback_address_is_local(site):
    """The front-end's address of IPv6 is no host to reach by ssh."""
    job = _job(site, "CLONE [::1]:/a [::1]:/b")
    assert job.actions[0].variables["tm_host"] == "localhost"
    assert job.hosts == ()


@pytest.mark.parametrize("name", ["fe", "FE", "localhost"])
def test_two_slashes_behind_the_front_end_are_no_url(site, name):
    """A path that begins with two slashes, as oned writes it, is on the front-end."""
    job = _job(site, f"CLONE {name}://srv/a.img n:/d\nLN {name}://srv/a.img n:/d")
    assert job.actions[0].variables["tm_source"] == f"{name}:/srv/a.img"
    assert job.actions[1].variables["tm_source"] == f"{name}:/srv/a.img"
    assert job.actions[1].variables["tm_arguments"][0] == f"{name}://srv/a.img"
    assert job.hosts == ("n",)


def test_action_scripts_run_by_our_playbook(site):
    """A script of the map runs on the front-end by one playbook, with the words as they stand."""
    job = _job(site, "LN fe:/a//b n:/c//d")
    run = job.actions[0]
    assert run.playbook == str(site.content.root / "playbooks/script.yml")
    assert run.variables["tm_script"] == str(site.directory / "link.sh")
    assert run.variables["tm_arguments"] == ["fe:/a//b", "n:/c//d"]


def test_an_action_script_gets_any_source(site):
    """What only the site's script understands is passed on; a playbook needs a place or a URL."""
    job = _job(site, "LN swift:box/a n:/d")
    assert job.actions[0].variables["tm_source"] == "swift:box/a"
    assert job.hosts == ("n",)
    with pytest.raises(ScriptError, match="not absolute"):
        _job(site, "CLONE swift:box/a n:/d")
    with pytest.raises(ScriptError, match="begins with '-'"):
        _job(site, "LN -f n:/d")
    with pytest.raises(ScriptError, match="'\\.\\.'"):
        _job(site, "LN swift:box/a n:/d/../e")


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("CLONE", "expected CLONE <host>:<path>|<URL> <host>:<path>, found 0 words behind CLONE"),
        ("CLONE fe:/a", "found 1 word behind CLONE"),
        ("CLONE fe:/a n:/b 7", "found 3 words behind CLONE"),
        ("LN a", "expected LN <host>:<path>|<URL> <host>:<path>"),
        ("MKSWAP n:/b", "expected MKSWAP <MiB> <host>:<path>, found 1 word"),
        ("MKSWAP 0 n:/b", "size 0 is not a whole number of MiB from 1 to 67108864"),
        ("MKSWAP 67108865 n:/b", "size 67108865 is not"),
        ("MKSWAP -1 n:/b", "size -1 is not"),
        ("MKSWAP 1.5 n:/b", "size 1.5 is not"),
        ("MKSWAP 16M n:/b", "size 16M is not"),
        ("MKSWAP \u0661 n:/b", "size \u0661 is not"),
        ("MKSWAP " + "9" * 9999 + " n:/b", "is not a whole number"),
        ("MKIMAGE 16 n:/b", "source 16 is not of the form"),
        ("MKIMAGE 16 ext9 n:/b", "file system ext9 is unknown (known are ext2, ext3"),
        ("MKIMAGE 0 ext4 n:/b", "size 0 is not"),
        (
            "MKIMAGE a b c d",
            "expected MKIMAGE <host>:<directory> <host>:<path> or MKIMAGE <MiB> <filesystem> ",
        ),
        ("MKIMAGE fe:/ n:/", "destination is the root directory"),
        ("DELETE n:/a n:/b", "expected DELETE <host>:<path>, found 2 words"),
        ("DELETE n:/", "source is the root directory"),
        ("DELETE n:", "source's path is empty"),
        ("DELETE n:/a/../b", "'..'"),
        ("DELETE /a", "<host>:<path>"),
        ("MV n:/ fe:/b", "source is the root directory"),
        ("MV n:/a/.. fe:/b", "'..'"),
        ("MV n:/a fe:/..", "'..'"),
        ("MV http://x/a fe:/", "destination is the root directory"),
        ("CLONE fe:/a -oProxyCommand=x:/b", "begins with '-'"),
    ],
)
def test_wrong_words_are_refused_with_their_line(site, line, cause):
    """Each mistake names its line and what is expected, in one line, before anything is done."""
    with pytest.raises(ScriptError) as caught:
        _job(site, f"DELETE n:/fine\n\n{line}\n")
    message = str(caught.value)
    assert message.startswith("line 3: ")
    assert cause in message
    assert message.isprintable()
    assert len(message) < 400


def test_the_largest_size(site):
    """64 TiB is still a size."""
    job = _job(site, f"MKSWAP {MAX_MIB} n:/b")
    assert job.actions[0].variables["tm_size_mib"] == 64 * 1024 * 1024


def test_an_action_without_program_is_refused(site, tmp_path):
    """What the map does not name cannot be done; the reason says where to name it."""
    (tmp_path / "small.conf").write_text(f"MV = {site.directory}/mv.yml\n")
    small = load_configuration(str(tmp_path / "small.conf"), {})
    with pytest.raises(ScriptError) as caught:
        _job(small, "DELETE n:/a")
    expected = f"line 1: {tmp_path}/small.conf names no program for DELETE: add one"
    assert str(caught.value) == expected


WORDS = st.lists(
    st.sampled_from(("fe:/a", "n:/b//c", "16", "ext4", "http://h/x", "n:/", ""))
    | st.text(st.characters(exclude_characters=" \t\n", codec=None)),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(Verb), WORDS)
def test_no_words_raise_anything_else(site, verb, words):
    """Whatever the words, there is a job that can be sent, or a reason with the line."""
    try:
        job = job_for(7, [Action(3, verb, tuple(words))], site, marker="m")
    except ScriptError as error:
        assert str(error).startswith("line 3: ")  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job
