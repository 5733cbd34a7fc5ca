"""The hosts of the end-to-end tests, and a site on them to which harm is done."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import (  # noqa: F401 - fixtures
    chance,
    cloud,
    control_path_dir,
    front_end,
    inventory,
    nodes,
)
from tests.faults.ground import Ground
from tests.support.hosts import SshHost
from tests.support.oned import WARM
from tests.support.site import Site

Make = Callable[..., Ground]


@pytest.fixture
def make_ground(
    front_end: Path,  # noqa: F811
    nodes: dict[str, SshHost],  # noqa: F811
    inventory: Path,  # noqa: F811
    control_path_dir: Path,  # noqa: F811
    tmp_path: Path,
) -> Iterator[Make]:
    """Give a maker of sites on two hosts; what it takes is the model, settings and inventories."""

    def make(
        model: str = "ssh",
        settings: str = "",
        more: tuple[Path, ...] = (),
        warm: bool = WARM,
        seconds: float = 0.5,
    ) -> Ground:
        site = Site(front_end / f"{tmp_path.name}.{model}", model)
        # Nothing may be left after a run: that is proven sooner where no run waits for another.
        text = f"engine: {{warm: {str(warm).lower()}, session_seconds: {seconds}}}\n{settings}"
        site.install(text, inventories=[inventory, *more])
        return Ground(site, nodes, control_path_dir, warm)

    yield make
    for host in nodes.values():
        host.empty()


@pytest.fixture(params=["warm", pytest.param("cold", marks=pytest.mark.long)])
def warm(request: pytest.FixtureRequest) -> bool:
    """Have runs start warm, and in the long form cold as well."""
    return str(request.param) == "warm"
