"""Several workers, which are processes on one or many machines, train the batches of one results folder.

Each trains some batches, and nobody tells it what the others do. A worker may end at any moment, also by
`kill -9`. The one that is done last joins the tables.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from jaxrl.store.checkpoints import LOCK
from jaxrl.store.differences import accepted_differences
from jaxrl.store.folder import Folder
from jaxrl.store.locks import POLL, Held, shared
from jaxrl.store.manifest import now
from jaxrl.store.provenance import machine
from jaxrl.study.batch import Batch
from jaxrl.study.study import Study

PATIENCE = 60.0  # seconds to wait for a process that needs the folder to itself for a moment


@contextlib.contextmanager
def beside_others(folder: Folder, study: Study, force: bool = False) -> Iterator[None]:
    """Lets a folder with a writer's name save batches in the block while other workers save others.

    The first worker of a planned study binds the study to its machine and versions. Raises InputError for a
    worker with other ones unless `force` accepts them, and Held if a process has the folder to itself.
    """
    deadline = time.monotonic() + PATIENCE
    while folder.manifest()["status"] == "planned":
        try:
            _bind(folder, study, force)
        except Held:  # by a worker that binds it, or by a process that has the folder to itself
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL)
    with shared(folder.path / LOCK, PATIENCE):
        manifest = folder.manifest()
        folder.open_session(manifest, accepted_differences(folder.path, manifest, study, force))
        yield


def _bind(folder: Folder, study: Study, force: bool) -> None:
    """Binds a planned study to the machine and the versions of this process."""
    with folder.locked():
        manifest = folder.manifest()
        if manifest["status"] == "planned":
            accepted_differences(folder.path, manifest, study, force)
            folder.write_manifest(manifest | {"status": "running", "machine": machine()})


def finish_together(folder: Folder, study: Study, batches: Sequence[Batch], wait: float = 0.0) -> bool:
    """Finishes the study if all batches are done and no other worker is left. Returns whether it is complete.

    It waits for the others for `wait` seconds. If they take longer, the last one of them finishes the study.
    """
    if all(folder.finished(batch) for batch in batches):
        with contextlib.suppress(Held), folder.locked(wait):
            manifest = folder.manifest()
            if manifest["status"] != "complete":
                folder.remove_unfinished(batches)
                known = [(note["batches"], note["differing"]) for note in manifest["resumed"]]
                notes = [
                    note
                    for note in _forced(folder, batches)
                    if (note["batches"], note["differing"]) not in known
                ]
                folder.write_manifest(manifest | {"resumed": manifest["resumed"] + notes})
                folder.finish(study, batches)
    return bool(folder.manifest()["status"] == "complete")


def _forced(folder: Folder, batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """Notes for the manifest: the batches of workers that differed from the first one, by difference."""
    found: dict[str, dict[str, Any]] = {}
    for batch in batches:
        progress = folder.progress(batch)
        for each in progress.sessions if progress else ():
            if each["differing"]:
                note = {"at": now(), "batches": [], "differing": each["differing"]}
                found.setdefault(repr(each["differing"]), note)["batches"].append(batch.index)
    return [*found.values()]
