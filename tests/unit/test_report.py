"""The way from Ansible's events to log lines and an outcome."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm_ansible.engine.events import parse_event
from tm_ansible.engine.job import Outcome, Progress
from tm_ansible.engine.report import Report

MARKER = "tm_ansible 5f3c"


def play(name: str) -> dict[str, Any]:
    """Give the event of a play that begins."""
    return {"event": "playbook_on_play_start", "event_data": {"name": name}}


def task(event: str = "runner_on_ok", **data: Any) -> dict[str, Any]:
    """Give the event of a task that ended."""
    known = {"host": "node1", "task": "Copy the image", "task_action": "one.tm.clone"}
    return {"event": event, "event_data": {**known, "duration": 2.14, **data}}


def printed(text: str) -> dict[str, Any]:
    """Give the event of a line that Ansible prints."""
    return {"event": "verbose", "stdout": text}


STATS = {"event": "playbook_on_stats", "event_data": {}}
ONE = [play(MARKER), play("Clone an image")]


def follow(*events: dict[str, Any], labels: tuple[str, ...] = ("CLONE node1",)) -> Report:
    """Feed raw events to a new report."""
    report = Report(labels=labels, marker=MARKER)
    for raw in events:
        if event := parse_event(raw):
            report.feed(event)
    return report


def lines(*events: dict[str, Any], labels: tuple[str, ...] = ("CLONE node1",)) -> list[str]:
    """Give the texts of the lines that raw events lead to."""
    report = Report(labels=labels, marker=MARKER)
    parsed = [event for raw in events if (event := parse_event(raw))]
    return [line.text for event in parsed for line in report.feed(event)]


def test_sentence_gets_label_and_duration() -> None:
    """A result's own sentence appears behind the action and before how long it took."""
    result = {"changed": True, "tm_log": ["copied base.img to disk.0, 1.0 GiB"]}
    said = lines(*ONE, task(res=result), STATS)
    assert said == ["CLONE node1: copied base.img to disk.0, 1.0 GiB in 2.1 s"]


def test_unchanged_sentence_has_duration_in_brackets() -> None:
    """A second run that finds its work done says so without «in»."""
    result = {"changed": False, "tm_log": ["disk.0 is already complete"]}
    said = lines(*ONE, task(res=result), STATS)
    assert said == ["CLONE node1: disk.0 is already complete (2.1 s)"]


def test_delegated_task_tells_where_it_ran() -> None:
    """What was done on another host than the action's says so."""
    delegated = {"_ansible_delegated_vars": {"ansible_delegated_host": "node2"}}
    result = {"changed": True, "tm_log": ["deleted /vm/7/images"], **delegated}
    said = lines(*ONE, task(res=result), STATS)
    assert said == ["CLONE node1: deleted /vm/7/images on node2 in 2.1 s"]


def test_long_duration_is_told_in_minutes() -> None:
    """Nobody reads 754.3 s."""
    said = lines(*ONE, task(duration=754.3, res={"changed": True, "tm_log": "copied it"}), STATS)
    assert said == ["CLONE node1: copied it in 12 min 34 s"]


def test_foreign_task_logs_its_name() -> None:
    """A task of a site's own playbook appears by its name."""
    said = lines(*ONE, task(task="Tell the CMDB", task_action="ansible.builtin.uri", res={}), STATS)
    assert said == ["CLONE node1: Tell the CMDB (2.1 s)"]


def test_debug_logs_its_message() -> None:
    """Ansible's own way to say something works for a VM's log too."""
    debug = task(task_action="ansible.builtin.debug", res={"msg": "hello"})
    said = lines(*ONE, debug, STATS)
    assert said == ["CLONE node1: hello"]


@pytest.mark.parametrize("module", ["validate_argument_spec", "set_fact", "add_host"])
def test_preparing_tasks_are_silent(module: str) -> None:
    """Tasks that only prepare others leave one closing line to the action."""
    said = lines(*ONE, task(task_action=f"ansible.builtin.{module}", res={}), STATS)
    assert said == ["CLONE node1: done in 2.1 s"]


def test_skipped_task_is_silent() -> None:
    """A task whose condition is false did nothing that a VM's owner wants to read."""
    said = lines(*ONE, task("runner_on_skipped", task="Send it", res={}), STATS)
    assert said == ["CLONE node1: done in 2.1 s"]


def test_live_line_leaves_at_once() -> None:
    """What a plugin shows while it works becomes a line before its task ends."""
    said = lines(*ONE, printed("\x1b[0;32mtm_log: base.img: 40 % of 1.0 GiB\x1b[0m"))
    assert said == ["CLONE node1: base.img: 40 % of 1.0 GiB"]


def test_loop_items_sentences_are_collected() -> None:
    """The sentences of a loop's items all appear."""
    items = [{"tm_log": ["a"]}, {"tm_log": "b"}]
    said = lines(*ONE, task(res={"changed": True, "results": items}), STATS)
    assert said == ["CLONE node1: a", "CLONE node1: b in 2.1 s"]


def test_lines_belong_to_the_action_under_way() -> None:
    """A marker play hands over to the next action's label."""
    said = lines(
        *ONE,
        task(res={"tm_log": "a"}),
        play(MARKER),
        play("Delete"),
        task(res={"tm_log": "b"}),
        STATS,
        labels=("CLONE node1", "DELETE node2"),
    )
    assert said == ["CLONE node1: a (2.1 s)", "DELETE node2: b (2.1 s)"]


def test_success_wants_recap_and_every_action() -> None:
    """Exit status 0 alone is not success: every action was seen to run."""
    labels = ("CLONE node1", "DELETE node2")
    report = follow(*ONE, task(res={}), STATS, labels=labels)
    assert report.outcome(0).reason == "DELETE node2: Ansible ended before it began"
    assert follow(*ONE, task(res={}), STATS).outcome(0) == Outcome()
    assert "ended with status 0" in str(follow(*ONE, task(res={})).outcome(0).reason)


def test_action_without_a_matching_host_fails() -> None:
    """A playbook whose play matches no host has done nothing, whatever Ansible says."""
    no_hosts = {"event": "playbook_on_no_hosts_matched", "event_data": {}}
    reason = follow(*ONE, no_hosts, STATS).outcome(0).reason
    assert reason is not None
    assert "CLONE node1: its playbook ended without a task on any host" in reason


def test_failed_task_tells_its_message() -> None:
    """Shape one: a module's own message is the cause, its detail the block."""
    result = {"msg": "/a.img: no such file on fe", "tm_detail": ["ls: /a.img"]}
    outcome = follow(*ONE, task("runner_on_failed", res=result), STATS).outcome(2)
    assert outcome.reason == "CLONE node1: /a.img: no such file on fe"
    assert outcome.detail == ("task: Copy the image", "ls: /a.img")


def test_failed_task_on_another_host_names_it() -> None:
    """When the step ran elsewhere, the reason says where."""
    failed = task("runner_on_failed", host="node2", res={"msg": "no space"})
    assert follow(*ONE, failed).outcome(2).reason == "CLONE node1: no space (on node2)"


def test_refused_arguments_are_told() -> None:
    """Shape two: what an argument specification refuses is the cause."""
    result = {"msg": "Validation failed", "argument_errors": ["missing: tm_source"]}
    outcome = follow(*ONE, task("runner_on_failed", res=result)).outcome(2)
    assert outcome.reason == "CLONE node1: missing: tm_source"


def test_unreachable_host_is_told() -> None:
    """Shape three: a host that cannot be reached is named with a human cause."""
    result = {
        "msg": "Failed to connect to the host via ssh: ssh: connect to host 127.0.0.9 port 22: "
        "Connection refused"
    }
    outcome = follow(*ONE, task("runner_on_unreachable", res=result)).outcome(4)
    assert outcome.reason == (
        "CLONE node1: cannot reach node1: 127.0.0.9 refused the connection to port 22: "
        "is sshd running there?"
    )


def test_unusable_playbook_is_told() -> None:
    """Shape four: what Ansible prints when it gives up is the cause."""
    report = follow(
        printed("\x1b[0;31m[ERROR]: YAML parsing failed.\x1b[0m"),
        printed("Origin: /etc/one/clone.yml:4:1"),
    )
    outcome = report.outcome(1)
    assert outcome.reason == "CLONE node1: YAML parsing failed. Origin: /etc/one/clone.yml:4:1"


def test_rescued_failure_is_no_failure() -> None:
    """A failure that the playbook itself rescues does not make the transfer fail."""
    report = follow(*ONE, task("runner_on_failed", res={"msg": "x"}), task(res={}), STATS)
    assert report.outcome(0) == Outcome()


def test_ignored_failure_is_no_cause() -> None:
    """A failure that a task ignores is never blamed for a later one."""
    ignored = task("runner_on_failed", ignore_errors=True, res={"msg": "harmless"})
    real = task("runner_on_failed", res={"msg": "real"})
    assert follow(*ONE, ignored, real).outcome(2).reason == "CLONE node1: real"


def test_failed_item_of_a_loop_is_the_cause() -> None:
    """«One or more items failed» helps nobody: the item's own message is told."""
    result = {
        "msg": "One or more items failed",
        "results": [{"msg": "fine"}, {"failed": True, "msg": "no such image"}],
    }
    outcome = follow(*ONE, task("runner_on_failed", res=result)).outcome(2)
    assert outcome.reason == "CLONE node1: no such image"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["msg", "tm_log", "tm_detail", "results", "argument_errors", "stderr", "changed"]
)


@given(
    st.sampled_from(["runner_on_ok", "runner_on_failed", "runner_on_unreachable"]),
    st.dictionaries(KEYS, JSON) | JSON,
)
def test_no_result_however_odd_raises(event: str, result: object) -> None:
    """What comes back from a host is not trusted to have any shape."""
    outcome = follow(*ONE, task(event, res=result), STATS).outcome(2)
    assert outcome.reason


def test_progress_is_told_beside_the_log() -> None:
    """A plugin's message of progress bears the action's label and is no line of the log."""
    report = Report(labels=["CLONE node1"], marker=MARKER)
    message = '{"name": "a {b}: c", "size": 9, "done": 4, "bytes": 3, "more": 1}'
    told = [
        news
        for raw in (*ONE, printed(f"tm_progress: {message}\n"))
        if (event := parse_event(raw))
        for news in report.feed(event)
    ]
    assert told == [Progress("CLONE node1", "a {b}: c", 9, 4, 3)]
    assert report.begun[-1].lines == 0


@pytest.mark.parametrize(
    "text", ["{}", '{"name": 1, "size": "x", "done": 1, "bytes": 1}', "{", "[]"]
)
def test_progress_that_nobody_understands_is_passed_over(text: str) -> None:
    """A line that only begins like a message of progress harms nothing."""
    assert lines(*ONE, printed(f"tm_progress: {text}")) == []


def test_a_timed_result_gets_no_duration() -> None:
    """What says itself how long it took is left as it is."""
    timed = {"changed": True, "tm_log": ["copied a: 1 byte moved in 2.1 s"], "copy_seconds": 2.1}
    assert lines(*ONE, task(res=timed)) == ["CLONE node1: copied a: 1 byte moved in 2.1 s"]
