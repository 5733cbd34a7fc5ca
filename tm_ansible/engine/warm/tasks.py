"""Tasks of the collection in Ansible's own process: a fork for each costs more than most steps.

A task of a play with one host would be waited for anyway. Tasks of other collections keep their
own process.
"""

import copy
import inspect
from typing import Any

from ansible.executor import task_executor, task_result
from ansible.executor.process.worker import WorkerProcess
from ansible.release import __version__ as core_version

# Versions of ansible-core whose worker process was read for this.
VERSIONS = ("2.16.", "2.17.", "2.18.", "2.19.")
_OURS = "one.tm."
_OF_ANSIBLE = frozenset(
    {
        "ansible.builtin.add_host",
        "ansible.builtin.fail",
        "ansible.builtin.include_tasks",
        "ansible.builtin.validate_argument_spec",
    }
)
_fork = WorkerProcess.start


def stay_in_process() -> None:
    """Have Ansible run such tasks where it is, in a version whose ways are known."""
    if core_version.startswith(VERSIONS):
        WorkerProcess.start = _start


def _start(worker: Any) -> None:
    if not _may_stay(worker):
        _fork(worker)
        return
    # Ended before anybody asks; a process that was never started could not be.
    worker.is_alive = lambda: False
    worker.close = worker.terminate = lambda: None
    worker.join = lambda _timeout=None: None
    task = worker._task.copy(exclude_parent=True)
    task._parent = worker._task._parent
    worker._task = task
    result = _execute(worker)
    worker._final_q.send_task_result(*_results(worker, result))


def _may_stay(worker: Any) -> bool:
    action = getattr(worker._task, "resolved_action", None) or ""
    known = action.startswith(_OURS) or action in _OF_ANSIBLE
    alone = len(worker._task_vars.get("ansible_play_hosts_all", ())) == 1
    return known and alone and not worker._task.async_val


def _execute(worker: Any) -> Any:
    values = {
        "host": worker._host,
        "task": worker._task,
        "job_vars": worker._task_vars,
        "play_context": worker._play_context,
        "new_stdin": None,
        "loader": worker._loader,
        "shared_loader_obj": worker._shared_loader_obj,
        "final_q": worker._final_q,
        "variable_manager": worker._variable_manager,
    }
    names = list(inspect.signature(task_executor.TaskExecutor.__init__).parameters)[1:]
    executor = task_executor.TaskExecutor(**{name: values[name] for name in names})
    if not _has_context():
        return executor.run()
    from ansible._internal import _task  # noqa: PLC0415 - from 2.19 on

    with _task.TaskContext(worker._task):
        return executor.run()


def _has_context() -> bool:
    return hasattr(task_result, "_RawTaskResult")


def _results(worker: Any, result: Any) -> tuple[Any, ...]:
    """Give what a worker process would send of a task's result."""
    fields = worker._task.dump_attrs()
    if not _has_context():
        return worker._host.name, worker._task._uuid, result, fields
    host = copy.copy(worker._host)
    host.vars, host.groups = {}, []
    sent = task_result._RawTaskResult(
        host=host, task=worker._task, return_data=result, task_fields=fields
    )
    return (sent,)
