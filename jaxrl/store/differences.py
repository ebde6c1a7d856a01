"""Differences between the study in a folder and a study, its code and the machine here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxrl.errors import InputError
from jaxrl.store.manifest import now, spec_of
from jaxrl.store.provenance import BINDING, DEFAULTS, machine
from jaxrl.study.study import Study


def differing_names(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The names of what differs between two studies as plain values: "steps", "the code of Catch"."""
    found: dict[str, None] = {}
    for name, value in ours.items():
        other = theirs.get(name)
        entries = isinstance(value, list) and value and isinstance(value[0], dict)
        if other == value:
            continue
        if not entries or not isinstance(other, list) or len(other) != len(value):
            found[name] = None
            continue
        for there, here in zip(other, value, strict=True):
            found |= dict.fromkeys(_differing_entries(name, there, here))
    return [*found]


def _differing_entries(kind: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The names of what differs between two entries of a manifest's environments or algorithms."""
    if any(there.get(key) != here.get(key) for key in ("name", "label")):
        return [kind]
    parameters = {**there["parameters"], **here["parameters"]}
    names = [
        f"{here['name']}'s {name}"
        for name in parameters
        if there["parameters"].get(name) != here["parameters"].get(name)
    ]
    return names + ([f"the code of {here['name']}"] if there["code"] != here["code"] else [])


def differences(manifest: Mapping[str, Any], study: Study) -> dict[str, tuple[str, str]]:
    """What bits depend on that differs between the start of a study and here: name -> (there, here).

    These are entries of the machine, switches of jax, and the code of environments and algorithms. If the
    study is only planned, it is the code alone, since nothing was trained on the machine that planned it.
    """
    there, here = (DEFAULTS | entries for entries in (manifest["machine"], machine()))
    names = ("code",) if manifest["status"] == "planned" else (*BINDING, *DEFAULTS)
    found = {name: (there.get(name, ""), here[name]) for name in names if there.get(name) != here[name]}
    for kind, configs in spec_of(study).items():
        if kind in ("environments", "algorithms", "evaluate_in"):
            for began, config in zip(manifest["study"][kind], configs, strict=True):
                if began["code"] != config["code"]:
                    found[f"the code of {config['name']}"] = (began["code"], config["code"])
    return found


def accepted_differences(
    path: Path, manifest: Mapping[str, Any], study: Study, force: bool
) -> dict[str, tuple[str, str]]:
    """The `differences`. Raises InputError if there are any, unless `force` accepts them."""
    found = differences(manifest, study)
    if found and not force:
        name, (there, here) = next(iter(found.items()))
        began = "planned" if manifest["status"] == "planned" else "trained"
        raise InputError(
            f"{path} was {began} with {name} {there!r}, here it is {here!r}, so the bits may differ; "
            "--force continues anyway and records it"
        )
    return found


def trained_elsewhere(
    manifest: Mapping[str, Any], study: Study, sessions: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[str, str]]:
    """The `differences` between here and the sessions that trained a batch, as in `Progress.sessions`."""
    ours, found = differences(manifest, study), {}
    for theirs in [each["differing"] for each in sessions] or [{}]:
        for name in {**ours, **theirs}:
            began = (ours.get(name) or theirs[name])[0]
            there, here = (side.get(name, (began, began))[1] for side in (theirs, ours))
            if there != here:
                found[name] = (there, here)
    return found


def missing_notes(
    manifest: Mapping[str, Any], sessions: Mapping[int, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The notes that a manifest's "resumed" lacks: which batches were trained with which differences.

    `sessions` maps the index of each batch to its `Progress.sessions`.
    """
    noted = [(index, note["differing"]) for note in manifest["resumed"] for index in note["batches"]]
    missing: dict[str, dict[str, Any]] = {}
    trained = [(index, each["differing"]) for index, those in sessions.items() for each in those]
    for index, differing in trained:
        if differing and (index, differing) not in noted:
            note = {"at": now(), "batches": [], "differing": differing}
            missing.setdefault(repr(differing), note)["batches"].append(index)
    return [*missing.values()]
