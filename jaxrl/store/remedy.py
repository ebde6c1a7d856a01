"""What a user can do with the study in a results folder, in words."""

from jaxrl import registry
from jaxrl.store.folder import Folder
from jaxrl.study.study import Study
from jaxrl.text import command, listed


def how_to_continue(study: Study, folder: Folder) -> str:
    """How a study that was stopped is continued.

    The command line does not know a class that a script defines and no package registers.
    """
    configs = (*study.environments, *study.algorithms, *(env for _, env in study.evaluate_in))
    missing = dict.fromkeys(name for config in configs for name in registry.unregistered(config))
    if not missing:
        return f"continue with: {command(folder.continued_by, folder.path)}"
    call = f"jaxrl.{folder.continued_by}({str(folder.path)!r})"
    return f"continue in a script that defines {listed([*missing])} with: {call}"
