"""What the driver and its worker process say to each other: JSON lines of these types."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, TypeAlias

import msgspec

# Anything that JSON can say; msgspec knows no recursive types.
Value: TypeAlias = Any


class Severity(str, Enum):
    """Severity of a VM log line, as oned's LOG message spells it."""

    INFO = "I"
    WARNING = "W"
    ERROR = "E"
    DEBUG = "D"


class PlaybookRun(msgspec.Struct, frozen=True, kw_only=True):
    """One action of a transfer script, or several that one playbook carries out, ready to run.

    Attributes:
        labels: how the log lines and reasons of each action begin: ``CLONE node1``.
        playbook: absolute path of the playbook, or a collection playbook's full name.
        variables: the play's variables; every string in them is data, never a template.
    """

    labels: tuple[str, ...]
    playbook: str
    variables: dict[str, Value]


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How ansible-playbook is run; the fields mirror ``settings.Settings``.

    Attributes:
        inventories: absolute paths, in order; later ones win.
        extra_vars_files: absolute paths for ``-e @file``.
        vault_password_file: absolute path, or None.
        ansible_config: absolute path of an ansible.cfg, or None for Ansible's own search.
        remote_user: default for ``ansible_user``, or None.
        private_key_file: absolute path, or None.
        become: whether tasks use privilege escalation by default.
        become_user: who to become, or None for Ansible's default.
        host_key_checking: whether an unknown or changed host key is refused.
        connect_seconds: time limit of a connection attempt.
        action_seconds: time limit of one action; 0 for none.
        silence_seconds: longest time without any event; 0 for none.
        check: whether to only tell what would be done (Ansible's check mode).
    """

    inventories: tuple[str, ...] = ()
    extra_vars_files: tuple[str, ...] = ()
    vault_password_file: str | None = None
    ansible_config: str | None = None
    remote_user: str | None = None
    private_key_file: str | None = None
    become: bool = False
    become_user: str | None = None
    host_key_checking: bool = True
    connect_seconds: int = 10
    action_seconds: int = 86400
    silence_seconds: int = 0
    check: bool = False


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A whole transfer: what the worker process gets on its stdin, as one line.

    Attributes:
        vm_id: the VM that oned named, or -1 at a prompt.
        actions: in the order of the script; the first failure ends the job.
        hosts: inventory names that the actions target, added if no inventory knows them.
        copies: inventory names of the hosts that images are copied to or from, the front-end's too.
        defaults: variables of the group ``all``, below everything a site sets.
        options: how Ansible is run.
        environment: the whole environment of the run; nothing else is inherited.
        collections: directory that holds ``ansible_collections/one/tm``.
        marker: value of TM_ANSIBLE_RUN in the environment of every process of the run.
        stays: whether the run may stay for the next job that is like this one.
    """

    vm_id: int
    actions: tuple[PlaybookRun, ...]
    hosts: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    defaults: dict[str, Value] = {}
    options: RunOptions = RunOptions()
    environment: dict[str, str] = {}
    collections: str
    marker: str
    stays: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of all actions, in order."""
        return tuple(label for run in self.actions for label in run.labels)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What a server of warm workers is made for; a job with other values starts cold.

    Attributes:
        environment: the whole environment of runs.
        collections: directory that holds ``ansible_collections/one/tm``.
        options: how Ansible is run.
        defaults: variables of the group ``all``.
        marker: begins the marker of every process of the driver.
        session_seconds: how long a run, and a session on a host, wait for the next job.
    """

    environment: dict[str, str]
    collections: str
    options: RunOptions
    defaults: dict[str, Value]
    marker: str
    session_seconds: float


class Line(msgspec.Struct, frozen=True, tag="line"):
    """One line for the VM's log, as it happens. The text may still hold odd characters."""

    severity: Severity
    text: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Where a copy is, for people who watch; the VM's log has lines of its own.

    Attributes:
        label: of the action.
        name: of what is copied.
        size: bytes of it, holes included; 0 if nobody knows.
        done: bytes of it that are behind.
        moved: bytes of data that were moved.
    """

    label: str
    name: str
    size: int
    done: int
    moved: int


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """An action begins. The first one of a job tells that its run has taken it.

    Attributes:
        label: of the action.
    """

    label: str


class Declined(msgspec.Struct, frozen=True, tag="declined"):
    """A run that has stayed does not take a job, and ends: it would do it as things were."""


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """How a job ended; the last message of it.

    Attributes:
        reason: None for success; else one line that names action, host and cause.
        detail: further lines for the error block.
        cancelled: whether it ended because it was asked to.
        stays: whether the run waits for the next job; else it ends.
    """

    reason: str | None = None
    detail: tuple[str, ...] = ()
    cancelled: bool = False
    stays: bool = False


# What a run tells while it lasts.
News: TypeAlias = Line | Progress
Message: TypeAlias = Line | Progress | Begun | Declined | Outcome


class Run(Protocol):
    """A job under way."""

    def wait(self) -> Outcome:
        """Block until the job has ended; never raises.

        Every process of the run is gone then, unless the job succeeded and the run stays.
        """

    def cancel(self) -> None:
        """Ask the run to end; returns at once and may be called twice. ``wait`` tells when."""


class Engine(Protocol):
    """Starts jobs. The real one is ``engine.process``, its sibling for tests ``engine.fake``."""

    def warm_up(self, site: Site) -> None:
        """Make ready for jobs of a site; returns at once.

        Args:
            site: what its jobs have in common.
        """

    def close(self) -> None:
        """End what is kept ready. Jobs under way go on."""

    def start(self, job: Job, listener: Callable[[News], None]) -> Run:
        """Start a job.

        Args:
            job: what to do.
            listener: called from another thread with each line, and with progress, as it happens.

        Raises:
            EngineError: the worker process could not be started.
        """
