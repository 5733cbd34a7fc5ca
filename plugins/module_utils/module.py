"""Between Ansible and the logic: arguments in, results, reasons and the lifeline out."""

from typing import Any, Callable, Dict, Iterable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.one.tm.plugins.module_utils import lifeline, step


def run_module(
    argument_spec: Dict[str, Any],
    logic: step.Logic,
    hide: Callable[[Dict[str, Any]], Iterable[str]] = lambda _params: (),
    **rules: Any,
) -> None:
    """Run the logic of a module and end the process with its result.

    Args:
        argument_spec: as AnsibleModule takes it. Paths are ``str``: the type ``path`` would
            expand ``~`` and ``$NAME`` in what has to be data.
        logic: see ``step.perform``.
        hide: gets the parameters; returns secrets in them, which Ansible then keeps out of results.
        rules: further arguments of AnsibleModule: ``mutually_exclusive`` and the like.
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **rules)
    module.no_log_values.update(hide(module.params))
    lifeline.start()
    result = step.perform(logic, module.params, module.check_mode)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
