"""``tm-ansible install``: lay out what oned needs to start the driver."""

import argparse
import shlex
import sys
from importlib import resources
from pathlib import Path
from string import Template

from tm_ansible.cli.layout import Effect, Laid, LaidFile, lay_out
from tm_ansible.cli.model import Model
from tm_ansible.errors import SettingsError
from tm_ansible.locations import Locations, locate


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "install",
        help="lay out the driver and its configuration in an OpenNebula installation",
        description="Lay out the driver and its configuration in an OpenNebula installation. "
        "Files that you changed are kept; new versions are written beside them as FILE.new.",
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--one-location", type=_directory, metavar="DIR", help="a self-contained installation"
    )
    place.add_argument("--system", action="store_true", help="/etc/one and /usr/lib/one")
    parser.add_argument(
        "--root", type=_directory, metavar="DIR", help="in front of all, with --system"
    )
    parser.set_defaults(run=run)


def _directory(word: str) -> Path:
    if not word:
        raise argparse.ArgumentTypeError("is empty: name a directory (is ONE_LOCATION set?)")
    return Path(word).absolute()


def run(arguments: argparse.Namespace) -> int:
    """Lay everything out, and tell what was done and what to write into oned.conf."""
    if arguments.system:
        locations = locate({})
    elif arguments.root:
        raise SettingsError("--root goes with --system only")
    else:
        locations = locate({"ONE_LOCATION": str(arguments.one_location)})
    for laid in install(locations, arguments.root or Path("/")):
        print(_describe(laid))
    if not arguments.root and not (locations.etc / "oned.conf").exists():
        print(f"note       {locations.etc} has no oned.conf: is OpenNebula installed there?")
    print(f"\nFor oned.conf, one of these:\n\n{oned_conf()}")
    return 0


def install(locations: Locations, root: Path = Path("/")) -> list[Laid]:
    """Lay out the driver, its configurations and the helper functions.

    Args:
        locations: of the OpenNebula installation.
        root: directory that stands for ``/``, for packaging.

    Returns:
        What was done about each file.

    Raises:
        SettingsError: something cannot be written.
    """
    files = [_below_root(file) for file in [*_configurations(locations), *_programs(locations)]]
    manifest = _relative(locations.etc / "tm_ansible.manifest")
    return lay_out(files, root, manifest)


def oned_conf() -> str:
    """Return the lines for oned.conf, a section for each model (Storage Guide 1.2)."""
    return "\n".join(_section(model.directory) for model in Model)


def _section(name: str) -> str:
    map_path = f"{name}/{name}.conf"
    return (
        f'TM_MAD = [\n    name       = "{name}",\n    executable = "one_tm_ansible",\n'
        f'    arguments  = "{map_path}",\n    default    = "{map_path}" ]\n'
    )


def _configurations(locations: Locations) -> list[LaidFile]:
    files: list[LaidFile] = []
    for model in Model:
        name = model.directory
        directory = locations.etc / name
        words = {
            "name": name,
            "var": str(locations.var),
            "log": str(locations.log / f"{name}.log"),
        }
        rc = Template(read_shared("rc")).substitute(words)
        settings = Template(read_shared("settings.yml")).substitute(words)
        files += [
            LaidFile(directory / f"{name}.conf", map_text(model)),
            LaidFile(directory / f"{name}rc", rc),
            LaidFile(directory / "settings.yml", settings),
        ]
    return files


def map_text(model: Model) -> str:
    """Return the action map of a storage model."""
    return Template(read_shared("map.conf")).substitute(model=model.value)


def _programs(locations: Locations) -> list[LaidFile]:
    command = shlex.join(driver_command())
    driver = Template(read_shared("driver.sh")).substitute(command=command)
    return [
        LaidFile(locations.mads / "one_tm_ansible", driver, executable=True),
        # OpenNebula brings its own, which its stock action scripts rely on.
        LaidFile(locations.mads / "tm_common.sh", read_shared("tm_common.sh"), once=True),
    ]


def driver_command() -> list[str]:
    """Return the program and words that start this installation's driver.

    ``python -m`` would search oned's working directory for modules first.
    """
    start = (
        "import sys; sys.path[:1] = []; sys.path.append(sys.argv.pop(1)); "
        "from tm_ansible.mad import main; main()"
    )
    package = Path(__file__).resolve().parent.parent.parent
    return [sys.executable, "-c", start, str(package)]


def read_shared(name: str) -> str:
    """Return the text of a file that comes with the package."""
    return (resources.files("tm_ansible") / "share" / name).read_text(encoding="utf-8")


def _relative(path: Path) -> Path:
    return path.relative_to("/")


def _below_root(file: LaidFile) -> LaidFile:
    return LaidFile(_relative(file.path), file.text, file.executable, file.once)


def _describe(laid: Laid) -> str:
    if laid.effect is Effect.KEPT:
        return f"kept       {laid.path}, which you changed; the new version is {laid.beside}"
    return f"{laid.effect.value:<10} {laid.path}"
