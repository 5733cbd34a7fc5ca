"""Each playbook as a person runs it: from another directory, twice, and in check mode."""

import hashlib
from pathlib import Path

import pytest
import yaml
from ansible_collections.one.tm.plugins.module_utils.signatures import look
from worlds import ROOT, tree

from tests.support.forms import in_full

MODELS = ["nfs", "shared", "ssh", "dummy"]
ACTIONS = ["clone", "ln", "mkswap", "mkimage", "delete", "mv"]
# What is done on one host is the same in each model but for what is said of the host's name.
ON_A_HOST = [*in_full("nfs", "shared"), "ssh"]
ODD = "{{ 1+1 }} $(touch x)'\";&|*"


def digest(path: Path) -> str:
    """Return a digest of a file's contents."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def thrice(play, cloud, name, variables, says):
    """Run a playbook in check mode, for real, and again; return what the real run wrote."""
    options = ["-i", str(cloud.inventory)]
    before = tree(cloud.root)
    checked = play(name, variables, "--check", *options).succeeded()
    assert "would" in checked.output
    after = [path for path in tree(cloud.root) if not path.startswith(("elsewhere", "ansible"))]
    assert after == [path for path in before if not path.startswith(("elsewhere", "ansible"))]
    done = play(name, variables, *options).succeeded()
    assert says in done.output
    assert done.changed > 0
    again = play(name, variables, *options).succeeded()
    assert again.changed == 0, again.output
    assert not [path for path in tree(cloud.root) if "/.tm-" in f"/{path}"]
    return done


def entry_points():
    """Give each model's playbooks; those that do something have one for several actions too."""
    ours = [(model, action) for model in MODELS for action in ACTIONS]
    return ours + [(model, "actions") for model in MODELS if model != "dummy"]


@pytest.mark.parametrize(("model", "action"), entry_points())
def test_each_playbook_has_an_entry_point_that_says_what_it_takes(model, action):
    """Table, playbook, entry point and specification agree."""
    plays = yaml.safe_load((ROOT / "playbooks" / model / f"{action}.yml").read_text())
    task = plays[-1]["tasks"][0]
    if model == "dummy":
        assert set(task) == {"name", "one.tm.log"}
        return
    role = task["ansible.builtin.import_role"]
    assert role.items() >= {"name": "one.tm.tm", "tasks_from": action}.items()
    # Only what the driver writes itself, and the task checks, is not validated.
    assert role.get("rolespec_validate", True) == (action != "actions")
    assert (ROOT / "roles" / "tm" / "tasks" / f"{action}.yml").exists()
    specs = yaml.safe_load((ROOT / "roles" / "tm" / "meta" / "argument_specs.yml").read_text())
    assert specs["argument_specs"][action]["short_description"]
    facts = {"tm_images_shared": model != "ssh", "tm_vm_dir_shared": model == "nfs"}
    assert task["vars"] == facts


def test_there_is_no_playbook_more():
    """Each model has the six actions, and what carries out several of them as one task."""
    found = [(path.parent.name, path.stem) for path in (ROOT / "playbooks").glob("*/*.yml")]
    assert sorted(found) == sorted(entry_points())


@pytest.mark.parametrize("model", ["nfs", *in_full("shared"), "ssh"])
def test_clone_copies_in_every_model(play, cloud, image, model):
    """The digest is equal; with ssh the image comes from another host."""
    host, directory = ("fe", cloud.var) if model == "nfs" else ("node1", cloud.vms)
    destination = directory / "7" / "images" / "disk.0"
    variables = cloud.facts(tm_source=f"fe:{image}", tm_destination=f"{host}:{destination}")
    thrice(play, cloud, f"{model}/clone", variables, "base.img")
    assert digest(destination) == digest(image)
    assert destination.stat().st_mode & 0o222 == 0o222


@pytest.mark.parametrize("model", ["nfs", *in_full("shared")])
def test_ln_links_where_the_repository_is_shared(play, cloud, image, model):
    """The VM uses the image itself."""
    destination = cloud.vms / "7" / "images" / "disk.1"
    variables = cloud.facts(tm_source=f"fe:{image}", tm_destination=f"node1:{destination}")
    thrice(play, cloud, f"{model}/ln", variables, f"linked disk.1 to {image}")
    assert str((destination).readlink()) == str(image)


def test_ln_clones_where_nothing_is_shared(play, cloud, image):
    """The ssh model has no place that a link could lead to."""
    destination = cloud.vms / "7" / "images" / "disk.1"
    variables = cloud.facts(tm_source=f"fe:{image}", tm_destination=f"node1:{destination}")
    thrice(play, cloud, "ssh/ln", variables, "base.img")
    assert not destination.is_symlink()
    assert digest(destination) == digest(image)


@pytest.mark.parametrize("model", ON_A_HOST)
def test_mkswap_makes_swap(play, cloud, model):
    """With its directory, though no action came before."""
    image = cloud.vms / "7" / "images" / "disk.2"
    variables = cloud.facts(tm_destination=f"node1:{image}", tm_size_mib=4)
    thrice(play, cloud, f"{model}/mkswap", variables, "made swap disk.2, 4.0 MiB")
    assert look(str(image))[:2] == ("swap", 4 << 20)


@pytest.mark.parametrize("model", ON_A_HOST)
def test_mkimage_makes_an_empty_image(play, cloud, model):
    """Of the kind and size asked for."""
    image = cloud.vms / "7" / "images" / "disk.3"
    variables = cloud.facts(tm_destination=f"node1:{image}", tm_size_mib=8, tm_filesystem="ext3")
    thrice(play, cloud, f"{model}/mkimage", variables, "made ext3 image disk.3, 8.0 MiB")
    assert look(str(image))[:2] == ("ext3", 8 << 20)


@pytest.mark.parametrize("model", ON_A_HOST)
def test_mkimage_makes_an_image_of_a_directory(play, cloud, model):
    """With ssh the files come over first, and go again."""
    (cloud.repository / "files").mkdir()
    (cloud.repository / "files" / "motd").write_text("hello")
    image = cloud.vms / "7" / "images" / "disk.4"
    variables = cloud.facts(
        tm_source=f"fe:{cloud.repository}/files", tm_destination=f"node1:{image}"
    )
    says = f"made ext4 image disk.4 of {cloud.repository}/files, "
    done = thrice(play, cloud, f"{model}/mkimage", variables, says)
    assert "deleted" not in done.output
    assert look(str(image)).kind == "ext4"
    assert b"hello" in image.read_bytes()


@pytest.mark.parametrize("model", ON_A_HOST)
def test_delete_removes_the_images_and_only_them(play, cloud, model):
    """The VM's directory stays."""
    images = cloud.vms / "7" / "images"
    images.mkdir(parents=True)
    (images / "disk.0").write_text("x")
    variables = cloud.facts(tm_source=f"node1:{images}")
    thrice(play, cloud, f"{model}/delete", variables, f"deleted {images} (1 file")
    assert tree(cloud.vms) == ["7"]


@pytest.mark.parametrize("model", ON_A_HOST)
def test_mv_saves_a_disk(play, cloud, image, model):
    """From the VM's images to the front-end's directory."""
    source = (cloud.var if model == "nfs" else cloud.vms) / "7" / "images" / "disk.0"
    source.parent.mkdir(parents=True)
    image.rename(source)
    expected = digest(source)
    variables = cloud.facts(tm_source=f"node1:{source}", tm_destination=f"fe:{cloud.var}/7/disk.0")
    thrice(play, cloud, f"{model}/mv", variables, "disk.0")
    assert digest(cloud.var / "7" / "disk.0") == expected
    assert not source.exists()


@pytest.mark.long
@pytest.mark.parametrize("model", ["shared", "ssh"])
def test_mv_stops_resumes_and_migrates(play, cloud, image, model):
    """Images go to the front-end, back over a left-over directory, and to another host."""
    expected = digest(image)
    start, end = cloud.vms / "1" / "7" / "images", cloud.vms / "2" / "7" / "images"
    saved = cloud.var / "7" / "images"
    for directory in (start, saved.parent):
        directory.mkdir(parents=True)
    image.rename(start / "disk.0")
    ways = (
        (f"node1:{start}", f"fe:{saved.parent}"),
        (f"fe:{saved}", f"node1:{start}"),
        (f"node1:{start}", f"node2:{end}"),
        (f"node2:{end}", f"node2:{start}"),
    )
    for source, destination in ways:
        if destination == f"node1:{start}":
            start.mkdir()
            (start / "stale").touch()
        variables = cloud.facts(tm_source=source, tm_destination=destination)
        thrice(play, cloud, f"{model}/mv", variables, "images")
    assert tree(start) == ["disk.0"]
    assert digest(start / "disk.0") == expected
    assert not saved.exists()
    assert not end.exists()


@pytest.mark.parametrize("destination", ["node2:{var}/7/images", *in_full("fe:{var}/7")])
def test_mv_leaves_a_shared_directory_alone(play, cloud, destination):
    """Stop and migration mean nothing to it; the log says so."""
    images = cloud.var / "7" / "images"
    images.mkdir(parents=True)
    (images / "disk.0").touch()
    variables = cloud.facts(
        tm_source=f"fe:{images}", tm_destination=destination.format(var=cloud.var)
    )
    done = play("nfs/mv", variables).succeeded()
    assert "images stays where it is: the directory is shared" in done.output
    assert (done.changed, tree(cloud.var)) == (0, ["7", "7/images", "7/images/disk.0"])


@pytest.mark.parametrize("action", ["clone", "mkswap", *in_full("ln", "mkimage", "delete", "mv")])
def test_the_dummy_model_only_talks(play, cloud, image, action):
    """Whatever the action, nothing is made, and no password is shown."""
    source = "http://me:s3cret@nowhere/a" if action in ("clone", "ln") else f"fe:{image}"
    variables = cloud.facts(tm_source=source, tm_destination="node1:/vm/7/disk.0", tm_size_mib=4)
    before = tree(cloud.repository)
    done = play(f"dummy/{action}", variables).succeeded()
    assert "dummy: would " in done.output
    assert "s3cret" not in done.output
    assert (done.changed, tree(cloud.repository), tree(cloud.vms)) == (0, before, [])


@pytest.mark.parametrize("model", ON_A_HOST)
def test_values_are_data(play, cloud, image, model):
    """No value is a template, a shell word or an option, on any way through Ansible."""
    source = cloud.repository / ODD
    image.rename(source)
    destination = cloud.vms / ODD / "images" / ODD
    variables = cloud.facts(tm_source=f"fe:{source}", tm_destination=f"node1:{destination}")
    options = ["-i", str(cloud.inventory)]
    play(f"{model}/clone", variables, *options).succeeded()
    assert digest(destination) == digest(source)
    variables = cloud.facts(tm_source=f"node1:{cloud.vms}/{ODD}/images")
    play(f"{model}/delete", variables, *options).succeeded()
    assert tree(cloud.vms) == [ODD]
    assert not list(cloud.root.rglob("x"))


@pytest.mark.parametrize(
    ("name", "variables", "reason"),
    [
        ("nfs/delete", {"tm_source": "fe:/"}, "root of the file system"),
        ("ssh/delete", {"tm_source": "all:/etc"}, "neither a host name nor an address"),
        ("ssh/mkswap", {}, "missing required arguments"),
        *in_full(
            ("nfs/delete", {"tm_source": "fe:"}, "it is empty"),
            ("ssh/delete", {"tm_source": "node1:/etc"}, "allowed_dirs"),
            ("nfs/clone", {"tm_source": "fe:/nowhere"}, "missing required arguments"),
            ("nfs/mkswap", {"tm_destination": "fe:/vm/x", "tm_size_mib": "ten"}, "tm_size_mib"),
        ),
        (
            "nfs/clone",
            {
                "tm_source": "fe:/nowhere/base.img",
                "tm_destination": "fe:/vm/disk.0",
                "tm_allowed_dirs": ["/vm"],
            },
            "the source /nowhere/base.img does not exist",
        ),
        (
            "ssh/clone",
            {"tm_source": "fe:/usr", "tm_destination": "node1:/nowhere/disk.0"},
            "the source /usr is a directory, an image is needed",
        ),
        (
            "ssh/clone",
            {"tm_source": "fe:/etc/hostname", "tm_destination": "node1:/nowhere/disk.0"},
            "/etc is the system's; see the setting source_dirs",
        ),
        (
            "ssh/mkswap",
            {"tm_destination": "node1:/nowhere/disk.0", "tm_size_mib": 1},
            "it is not below an allowed directory",
        ),
        (
            "nfs/clone",
            {"tm_source": "gopher://x/y", "tm_destination": "fe:/vm/disk.0"},
            "the scheme gopher is none of ftp, http, https",
        ),
    ],
)
def test_what_is_wrong_fails_with_a_reason(play, cloud, name, variables, reason):
    """Before anything is done."""
    done = play(name, cloud.facts(**variables), "-i", str(cloud.inventory))
    assert done.status != 0
    assert reason in done.output


@pytest.mark.parametrize("more", [{}, {"tm_host": "nodes"}])
def test_a_group_is_no_host(play, cloud, more):
    """What is for one host is not done on many: a group's name is refused."""
    cloud.inventory.write_text(f"[nodes]\n{cloud.inventory.read_text()}")
    (cloud.vms / "7").mkdir()
    variables = cloud.facts(tm_source=f"nodes:{cloud.vms}/7", **more)
    done = play("ssh/delete", variables, "-i", str(cloud.inventory))
    assert done.status == 2
    assert "nodes is a group of the inventory, and no host" in done.output
    assert tree(cloud.vms) == ["7"]


def test_a_host_that_no_inventory_has_is_added(play, cloud, image):
    """At a prompt no inventory is needed: the run gets as far as connecting."""
    variables = cloud.facts(tm_source=f"fe:{image}", tm_destination="node9.invalid:/vm/disk.0")
    done = play("shared/clone", variables)
    assert done.status in (2, 4)  # ansible-core 2.16 calls a fatal unreachable host a failure
    assert "unreachable=1" in done.output
    assert "node9.invalid" in done.output
    assert "UNREACHABLE" in done.output


def test_one_location_tells_where_delete_may_act(play, cloud):
    """At a prompt the default is its var directory."""
    (cloud.var / "7").mkdir()
    environment = {"ONE_LOCATION": str(cloud.root)}
    variables = {"tm_source": f"localhost:{cloud.var}/7"}
    play("nfs/delete", variables, environment=environment).succeeded()
    assert tree(cloud.var) == []
    assert play("nfs/delete", variables).status == 2
