"""A headless Chromium that is driven through its DevTools protocol over two pipes, with nothing installed."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe"),
]
# Chromium reads commands from file descriptor 3 and writes answers to 4.
LAUNCHER = (
    "import os, sys; read, write = map(int, sys.argv[1:3]); high = os.dup(read), os.dup(write);"
    "os.dup2(high[0], 3); os.dup2(high[1], 4); os.set_inheritable(3, True); os.set_inheritable(4, True);"
    "os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One page. Commands and events are those of the DevTools protocol."""

    def __init__(self, commands, answers):
        self.commands, self.answers, self.unread = commands, answers, b""
        self.sent, self.session, self.events = 0, None, []

    def call(self, method, **parameters):
        """Sends a command and gives its result; keeps the events that come before it."""
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self.sent:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self):
        while b"\0" not in self.unread:
            chunk = os.read(self.answers, 1 << 16)
            assert chunk, "Chromium ended"
            self.unread += chunk
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def open(self, file, width=1200, height=900, dark=False, touch=False):
        """Opens a file in a page of this size and waits until its figures are drawn."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        for domain in ("Network", "Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=f"file://{file}")
        deadline = time.monotonic() + 60
        while self.evaluate("document.documentElement?.dataset.drawn") != "yes":
            assert time.monotonic() < deadline, self.errors()
            time.sleep(0.1)

    def evaluate(self, expression):
        """The value of a JavaScript expression, after its promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, selector):
        """Clicks the middle of the first element that a selector finds, with the mouse."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def hover(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def requests(self):
        """The addresses that the page has asked for."""
        sent = [
            event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"
        ]
        return [each["request"]["url"] for each in sent]

    def errors(self):
        """What the page has complained of."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event.get("method") in kinds]

    def screenshot(self, file, whole=True):
        """A picture of the page for a person to look at."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        with open(file, "wb") as png:
            png.write(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def browser():
    """A Browser, closed at the end of the block."""
    their_read, commands = os.pipe()
    answers, their_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(their_read), str(their_write), *command],
            pass_fds=(their_read, their_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_read)
        os.close(their_write)
        found = Browser(commands, answers)
        try:
            yield found
            found.session = None
            with contextlib.suppress(AssertionError, OSError):
                found.call("Browser.close")
        finally:
            os.close(commands)
            os.close(answers)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
