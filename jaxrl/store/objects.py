"""Objects in a store that a URL names, such as s3://bucket/lakes, through the library obstore.

Credentials come from the environment, as obstore reads it. No message holds the library's words, since they
may hold a key or a signed URL.
"""

import importlib
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from jaxrl.errors import InputError, unknown

SCHEMES = ("s3", "gs", "az", "file", "memory")
PIECE = 2**24  # bytes of one request
# A store that does not answer is named within seconds.
CLIENT = {"connect_timeout": "3s", "timeout": "30s", "allow_http": True}
RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
PAUSES = (5.0, 20.0, 60.0)  # seconds after which a save that has failed is tried again
SILENT, REFUSED = "it does not answer", "the request failed"  # reasons that may pass
T = TypeVar("T")


class Objects:
    """The objects below a URL. A tag is another one after each change of its object.

    All methods raise InputError if the store does not answer or refuses.
    """

    def __init__(self, url: str) -> None:
        """Raises InputError for a URL of an unknown scheme or a store that cannot be used."""
        self.url, self.store = url, _store(url)
        self.failures = (OSError, ValueError, importlib.import_module("obstore.exceptions").BaseError)

    def tags(self) -> dict[str, str]:
        """The tag of each object by its name."""
        listed = self._ask("read", lambda: [*self.store.list()])
        return {each["path"]: _tag(each) for chunk in listed or () for each in chunk}

    def put(self, name: str, file: Path) -> str:
        """Puts a file in the place of an object. Returns its tag."""
        put = partial(self.store.put, name, file, max_concurrency=4)
        return _tag(self._ask("written", put, pauses=PAUSES) or {})

    def put_new(self, name: str, file: Path) -> str | None:
        """Puts a file unless there is such an object. Returns its tag, or None if there is one."""
        put = partial(self.store.put, name, file, mode="create")
        done = self._ask("written", put, "AlreadyExistsError", PAUSES)
        return None if done is None else _tag(done)

    def fetch(self, name: str, file: Path) -> str | None:
        """Writes an object to a file, with its time. Returns its tag, or None if there is no such object."""
        temporary = file.with_name(f"{file.name}.tmp")
        with temporary.open("wb") as written:
            start, size, about = 0, 1, dict[str, Any]()
            while start < size:
                piece = self._ask("read", partial(self._piece, name, start), "FileNotFoundError")
                if piece is None:
                    return None
                about, content = piece
                written.write(content)
                start, size = start + PIECE, about["size"]
        modified = about["last_modified"].timestamp()
        os.utime(temporary, (modified, modified))
        os.replace(temporary, file)
        return _tag(about)

    def _piece(self, name: str, start: int) -> tuple[dict[str, Any], bytes]:
        """What the library says of an object, and at most PIECE of its bytes."""
        got = self.store.get(name, options={"range": (start, start + PIECE)})
        return got.meta, got.bytes()

    def delete(self, name: str) -> None:
        """Deletes an object, if there is one."""
        self._ask("written", partial(self.store.delete, name), "FileNotFoundError")

    def _ask(
        self, how: str, call: Callable[[], T], expected: str = "", pauses: Sequence[float] = ()
    ) -> T | None:
        """The answer to a request; None if it fails as `expected`, which is the name of an exception."""
        for pause in (*pauses, None):
            try:
                return call()
            except self.failures as error:
                if type(error).__name__ == expected:
                    return None
                why = _reason(error)
            if pause is None or not why.startswith((SILENT, REFUSED)):
                break
            time.sleep(pause)
        # Outside of the handler, so that no traceback shows the library's error.
        raise InputError(f"{self.url} cannot be {how}: {why}")


def _store(url: str) -> Any:
    """The store of obstore for a URL."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise unknown("kind of object store", parts.scheme, SCHEMES)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"the URL of a study is {parts.scheme}://BUCKET/FOLDER and no more; credentials come from the "
            "environment"
        )
    try:
        library = importlib.import_module("obstore.store")
    except ImportError:
        raise InputError(
            "an object store needs obstore, which is not installed: pip install -e '.[objects]'"
        ) from None
    if parts.scheme == "memory":
        return _memory(url)
    if parts.scheme == "file":
        folder = url2pathname(parts.path)
        if not os.path.isdir(folder):
            raise InputError(f"{url} is not a folder; make it first")
        return library.LocalStore(folder)
    try:
        return library.from_url(url, client_options=CLIENT, retry_config=RETRIES)
    except Exception as error:  # obstore has several classes
        why = _reason(error)
    raise InputError(f"{url} cannot be used: {why}")


@cache
def _memory(_: str) -> Any:
    """The store in the memory of this process for a URL."""
    return importlib.import_module("obstore.store").MemoryStore()


def _tag(described: Any) -> str:
    """The tag in what obstore says of an object."""
    return str(described.get("e_tag"))


def _reason(error: Exception) -> str:
    """Why a request failed, in our words."""
    text, kind = str(error), type(error).__name__
    status = found[1] if (found := re.search(r"status code: (\d{3})", text)) else ""
    if re.search(r"169\.254\.|token request|must be specified", text):
        return "the environment has no credentials for it"
    if status in ("401", "403") or kind in ("UnauthenticatedError", "PermissionDeniedError"):
        return "the credentials in the environment do not allow it"
    if status == "404" or isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    if not status and re.search("error sending request|timed out", text):
        return SILENT
    return f"{REFUSED}{f' with status {status}' if status else f' ({kind})'}"
