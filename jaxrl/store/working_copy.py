"""Working copies of studies in object stores.

A working copy is a results folder in the temporary folder of a process. It is filled when a study is opened,
and each save is put into the store, where the objects have the names of the files. Beside them lies
plan.json, the manifest as it was planned.

Nothing in a store is locked. What must not be overwritten is put only if it is absent: the plan, the manifest
of the first worker, and the record of a batch, which is put after its state and its curves.
"""

import atexit
import dataclasses
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from jaxrl.errors import InputError, show_as
from jaxrl.learning.algorithm import State
from jaxrl.store.checkpoints import Progress
from jaxrl.store.files import is_url, located
from jaxrl.store.folder import Folder
from jaxrl.store.manifest import TABLES
from jaxrl.store.objects import Objects
from jaxrl.study.batch import Batch
from jaxrl.study.plan import Plan
from jaxrl.study.study import Study
from jaxrl.text import file_name

PLAN, MANIFEST = "plan.json", "manifest.json"
# The names of a study's objects. Others in the same place are left alone.
NAMES = re.compile(
    rf"{PLAN}|{MANIFEST}|{'|'.join(TABLES)}|(shared|parts|checkpoints)/[\w.-]+\.(json|parquet|safetensors)"
)
RECORD = re.compile(r"checkpoints/batch-\d+\.json")
ON_DEMAND = re.compile(r"parts/.*|checkpoints/.*\.safetensors")  # brought when they are needed
AT_ONCE = 16  # requests
Stamp = tuple[int, ...]  # of a file: another one after each write

_COPIES = dict[Path, "WorkingCopy"]()  # by their folders


def opened(path: str | os.PathLike[str], writer: str = "") -> Folder:
    """The results folder at a path, or a new working copy of the study at a URL.

    The folder of a working copy stands for that copy. Raises InputError for a store that cannot be read.
    """
    if not is_url(path):
        folder = located(path)
        return _COPIES.get(folder) or Folder(folder, writer)
    url = str(path).rstrip("/")
    objects = Objects(url)
    top = Path(tempfile.mkdtemp(prefix="jaxrl-")).resolve()
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    folder = top / file_name(url.rpartition("/")[2])
    folder.mkdir()
    show_as(folder, url)
    copy = _COPIES[folder] = WorkingCopy(folder, writer or secrets.token_hex(4), objects=objects)
    copy.refresh()
    return copy


def is_part(name: str) -> bool:
    """Whether an object is a part of a batch's curves."""
    return name.startswith("parts/")


def output(out: str | os.PathLike[str] | None, folder: Path, *names: str) -> Path:
    """Where a command writes: to `out`, or else to these names in the results folder.

    For a working copy the current folder takes the place of the results folder.
    """
    return located(out) if out else (Path() if folder in _COPIES else folder).joinpath(*names)


@dataclasses.dataclass(frozen=True)
class WorkingCopy(Folder):
    """The working copy of a study, to whose store other workers may save at the same time."""

    objects: Objects = dataclasses.field(kw_only=True)
    # The tag of each object when it was last seen.
    _there: dict[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    # For each object of which the copy has a file: the tag that it has, and the file's stamp.
    _here: dict[str, tuple[str, Stamp]] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    continued_by: ClassVar[str] = "work"

    def refresh(self, attempts: int = 3) -> None:
        """Brings what others have written: all but states and parts of curves, which come when needed."""
        with self._using("read"):
            tags = self.objects.tags()
            self._there.clear()
            self._there.update({name: tag for name, tag in tags.items() if NAMES.fullmatch(name)})
            for name in self._here.keys() - self._there.keys() - {MANIFEST}:
                (self.path / name).unlink(missing_ok=True)  # another worker has removed it
                del self._here[name]
            if not self._bring(lambda name: not ON_DEMAND.fullmatch(name)) and attempts > 1:
                self.refresh(attempts - 1)  # another worker has removed some of them
            elif PLAN in self._there and not (self.path / MANIFEST).exists():
                shutil.copyfile(self.path / PLAN, self.path / MANIFEST)
                self._here[MANIFEST] = "", self._stamp(MANIFEST)

    def create(self, study: Study, plan: Plan, status: str = "running") -> None:
        """Begins a study, as in a folder. Raises InputError if another process has just begun one."""
        super().create(study, plan, status)
        shutil.copyfile(self.path / MANIFEST, self.path / PLAN)
        self._here[MANIFEST] = "", self._stamp(MANIFEST)
        self._push("shared/")
        if not self._claim(PLAN):
            raise InputError(f"{self.path} is not empty: another process has just planned a study there")
        if status == "running":
            self._claim(MANIFEST)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Puts the manifest of the first worker. That of a worker which was faster is brought instead."""
        super().write_manifest(manifest)
        self._claim(MANIFEST)

    def reopen(self, study: Study, plan: Plan, differing: Mapping[str, Any], here: bool = True) -> None:
        """As in a folder. Nothing keeps others from training at the same time."""
        super().reopen(study, plan, differing, here)
        self._push()

    def save(self, batch: Batch, iteration: int, *saved: Any) -> None:
        """Saves a batch, as in a folder. Of a batch that is done the copy keeps no state."""
        super().save(batch, iteration, *saved)
        if iteration < batch.iterations:
            self._push()
            return
        progress = self._saved(batch)
        if progress.writer != self.writer:  # another worker was faster
            for file in self.path.glob(f"*/*{batch.index:05d}-*-{self.writer}.*"):
                file.unlink()
        self._push()
        with self._using("written"):
            self._here.pop(name := self._state_name(batch, progress), None)
            (self.path / name).unlink(missing_ok=True)

    def finish(self, study: Study, batches: Sequence[Batch]) -> None:
        """Joins the tables, unless another worker has done so, and removes what is left over."""
        self.refresh()
        if not self._bring(is_part):
            self.refresh()
        if self.manifest()["status"] == "complete":
            return
        super().finish(study, batches)
        self._push()
        states = {self._state_name(batch, self._saved(batch)) for batch in batches}
        self._delete(name for name in [*self._there] if ON_DEMAND.fullmatch(name) and name not in states)

    def mend_runs(self, study: Study, batches: Sequence[Batch]) -> None:
        """Writes a complete study's table of runs again."""
        super().mend_runs(study, batches)
        self._push()

    def curves(self, manifest: Mapping[str, Any], batches: Sequence[Batch]) -> list[pa.Table]:
        """The curves up to the saved state of each batch, the newest last."""
        self._bring(is_part)
        return super().curves(manifest, batches)

    def state(self, batch: Batch, progress: Progress | None = None) -> State:
        """The saved state of a batch. Brings it, and the parts of the batch's curves."""
        state, part = self._state_name(batch, progress or self._saved(batch)), f"parts/{batch.index:05d}-"
        if not self._bring(lambda name: name == state or name.startswith(part)):
            self.refresh()  # another worker has replaced it
        return super().state(batch, progress)

    def require_whole(self, batch: Batch) -> None:
        """Raises InputError unless the store has the batch's state. Whoever reads it checks its hash."""
        self._require_state(batch)

    def in_use(self) -> None:
        """Unknown, since nothing is locked."""

    def abandon(self) -> None:
        """Forbids further writes and removes the copy."""
        self._abandoned.set()  # without waiting for a put, which is whole or has no effect
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _require_state(self, batch: Batch) -> None:
        if self._state_name(batch, self._saved(batch)) not in self._there:
            raise self._damaged(batch, "its state is missing")

    def _state_name(self, batch: Batch, progress: Progress) -> str:
        return self._state_file(batch, progress).relative_to(self.path).as_posix()

    def _write_record(self, batch: Batch, progress: Progress) -> bool:
        self._push()  # what the record names comes first
        if not super()._write_record(batch, progress):
            return False
        self._push()  # which brings the record of a worker that was faster
        return self._saved(batch).writer == self.writer

    def _push(self, part: str = "") -> None:
        """Puts the files that have changed, states and tables first, and deletes those that were removed."""
        with self._using("written"):
            found = {path.relative_to(self.path).as_posix() for path in self.path.glob("**/*.*")}
            names = {name for name in found if NAMES.fullmatch(name) and name.startswith(part)}
            changed = [name for name in names if self._here.get(name, ("", ()))[1] != self._stamp(name)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                [*pool.map(self._put, (name for name in changed if not name.endswith(".json")))]
            for name in sorted(name for name in changed if name.endswith(".json")):
                self._claim(name) if RECORD.fullmatch(name) else self._put(name)
            self._delete(name for name in self._here.keys() - names if name.startswith(part))

    def _put(self, name: str) -> None:
        stamp = self._stamp(name)
        self._there[name] = tag = self.objects.put(name, self.path / name)
        self._here[name] = tag, stamp

    def _claim(self, name: str) -> bool:
        """Puts a file unless there is such an object, which is brought instead. Returns whether it did."""
        stamp, tag = self._stamp(name), self.objects.put_new(name, self.path / name)
        if tag is None:
            self._fetch(name)
            return False
        self._there[name], self._here[name] = tag, (tag, stamp)
        return True

    def _bring(self, wanted: Callable[[str], bool]) -> bool:
        """Fetches the wanted objects that have changed. Returns whether all of them still exist."""
        with self._using("read"), ThreadPoolExecutor(AT_ONCE) as pool:
            changed = [name for name, tag in self._there.items() if self._here.get(name, ("",))[0] != tag]
            return all([*pool.map(self._fetch, filter(wanted, changed))])

    def _fetch(self, name: str) -> bool:
        """Fetches an object. Returns False if it does not exist."""
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        tag = self.objects.fetch(name, file)
        if tag is not None:
            self._here[name] = tag, self._stamp(name)
        return tag is not None

    def _delete(self, names: Iterable[str]) -> None:
        gone = [*names]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            [*pool.map(self.objects.delete, gone)]
        for name in gone:
            self._there.pop(name, None)
            self._here.pop(name, None)
            (self.path / name).unlink(missing_ok=True)

    def _stamp(self, name: str) -> Stamp:
        found = (self.path / name).stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
