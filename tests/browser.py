"""Headless Chromium, driven over its DevTools protocol."""

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """A browser with one page.

    Args:
        folder: for the files of the browser, such as `tmp_path`.
        width, height: size of the window, in pixels.
        touch: whether it behaves like a phone.
        resolve: {host name: address} that the browser uses in place of DNS.
    """

    def __init__(self, folder, width=900, height=640, touch=False, resolve=None):
        options = ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-extensions", "--hide-scrollbars"]
        options += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--remote-debugging-port=0"]
        options += [f"--host-resolver-rules=MAP {name} {address}" for name, address in (resolve or {}).items()]
        folder = Path(folder, "browser")
        self.process = subprocess.Popen(
            [CHROMIUM, *options, f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = folder / "DevToolsActivePort"
        wait(lambda: port_file.exists() and len(port_file.read_text().split()) == 2, 60, "the browser did not start")
        port = port_file.read_text().split()[0]
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
        self.socket = connect(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"), max_size=None)
        self.numbers, self.requests, self.errors = itertools.count(1), [], []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)

    def __call__(self, method, **params):
        """Sends a command and returns its result.  Requests and exceptions of the page are kept."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=120))
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            elif answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"])
            elif answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, url):
        self("Page.navigate", url=url)
        ready = f"location.href.startsWith({json.dumps(url)}) && document.readyState == 'complete'"
        wait(lambda: self.evaluate(ready), 60, f"{url} did not open")

    def evaluate(self, script):
        """The value of a JavaScript expression, or of the promise that it is."""
        return self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)["result"].get("value")

    def screenshot(self):
        """The visible page, (height, width, 3) uint8."""
        data = base64.b64decode(self("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def click(self, x, y, shift=False):
        """Presses and releases the left button at a pixel."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1, "buttons": int(kind == "mousePressed")}
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, modifiers=8 if shift else 0, **button)

    def close(self):
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def wait(condition, seconds, message):
    """Waits until `condition()` is neither None nor false and returns it, or raises an AssertionError with the message."""
    deadline = time.time() + seconds
    while (value := condition()) is None or not np.any(value):
        assert time.time() < deadline, message
        time.sleep(0.2)
    return value
