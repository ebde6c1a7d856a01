"""Several workers, which are processes on one or many machines, train the batches of one results folder.

Each trains some batches, and nobody tells it what the others do. A worker may end at any moment, also by
`kill -9`. The one that is done last joins the tables.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence

from jaxrl.store.differences import accepted_differences
from jaxrl.store.folder import Folder
from jaxrl.store.locks import POLL, Held, shared
from jaxrl.store.provenance import machine
from jaxrl.study.batch import Batch
from jaxrl.study.study import Study

MOMENT = 1.0  # seconds to wait for a process that only looks whether the folder is in use
PATIENCE = 60.0  # seconds to wait for a process that needs the folder to itself for a moment


@contextlib.contextmanager
def beside_others(folder: Folder, force: bool = False) -> Iterator[Study]:
    """Lets a folder with a writer's name save batches in the block while other workers save others.

    Gives the study. The first worker binds it to its machine and versions, for good once a batch is saved.
    Raises InputError for a worker with other ones unless `force` accepts them, and Held if a process has the
    folder to itself.
    """
    deadline = time.monotonic() + PATIENCE
    while folder.untouched:
        try:
            _bind(folder, force)
            break
        except Held:
            if folder.manifest()["status"] != "planned":  # another worker has bound the study and trains it
                break
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL)
    with folder.locked(PATIENCE, shared):
        manifest, study = folder.manifest(), folder.study()
        folder.open_session(manifest, accepted_differences(folder.path, manifest, study, force))
        yield study


def _bind(folder: Folder, force: bool) -> None:
    """Binds a study of which nothing was saved to the machine and the versions of this process."""
    with folder.locked():
        manifest = folder.manifest()
        if folder.untouched and manifest["status"] != "complete":
            planned = manifest | {"status": "planned"}
            accepted_differences(folder.path, planned, folder.study(), force)
            folder.write_manifest(manifest | {"status": "running", "machine": machine()})


def finish_together(folder: Folder, study: Study, batches: Sequence[Batch], wait: float = MOMENT) -> bool:
    """Finishes the study if all batches are done and no other worker is left. Returns whether it is complete.

    It waits for the others for `wait` seconds. If they take longer, the last one of them finishes the study.
    """
    folder.refresh()
    if all(folder.finished(batch) for batch in batches):
        with contextlib.suppress(Held), folder.locked(wait):
            manifest = folder.manifest()
            if manifest["status"] != "complete":
                folder.remove_unfinished(batches)
                folder.finish(study, batches)
    return bool(folder.manifest()["status"] == "complete")
