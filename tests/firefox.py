"""Firefox, driven over its own remote protocol, WebDriver BiDi, with the methods of `browser.Browser` that the page tests use.

Firefox has no WebGL without a display (bugzilla.mozilla.org/show_bug.cgi?id=1375585), so it gets one from Xvfb.
"""

import base64
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
from browser import wait
from PIL import Image
from websockets.sync.client import connect

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
XVFB = shutil.which("Xvfb")


class Firefox:
    """Firefox with one page.

    Args:
        folder: for the files of the browser, such as `tmp_path`.
        width, height: size of the page, in pixels.
    """

    def __init__(self, folder, width=900, height=640):
        profile = Path(folder, "firefox")
        profile.mkdir()
        read, write = os.pipe()
        screen = ["-screen", "0", "1280x1024x24", "-nolisten", "tcp", "-displayfd", str(write)]
        self.display = subprocess.Popen([XVFB, *screen], pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with open(read) as pipe:
            number = pipe.readline().strip()  # to its end, because Xvfb gives up if the pipe closes before
        command = [FIREFOX, "--no-remote", "--profile", str(profile), "--remote-debugging-port=0", "about:blank"]
        env = os.environ | {"DISPLAY": f":{number}", "HOME": str(folder)}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True).start()
        pattern = r"WebDriver BiDi listening on (ws://\S+)"
        address = wait(lambda: re.search(pattern, "".join(list(self.lines))), 60, "Firefox did not start")[1]
        self.socket = connect(f"{address}/session", max_size=None)
        self.numbers, self.requests, self.errors = itertools.count(1), [], []
        self("session.new", capabilities={})
        self.context = self("browsingContext.getTree")["contexts"][0]["context"]
        self("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})

    def __call__(self, method, **params):
        """Sends a command and returns its result.  Requests and errors of the page are kept."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=120))
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.errors.append(answer["params"]["text"])
            elif answer.get("method") == "network.beforeRequestSent":
                self.requests.append(answer["params"]["request"]["url"])
            elif answer.get("id") == number:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['message']}")
                return answer["result"]

    def open(self, url):
        self("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def evaluate(self, script):
        """The value of a JavaScript expression, or of the promise that it is."""
        target = {"context": self.context}
        answer = self("script.evaluate", expression=f"JSON.stringify(({script}) ?? null)", target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def screenshot(self):
        """The visible page, (height, width, 3) uint8."""
        data = base64.b64decode(self("browsingContext.captureScreenshot", context=self.context)["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def click(self, x, y):
        """Presses and releases the left button at a pixel."""
        move = {"type": "pointerMove", "x": round(x), "y": round(y)}
        actions = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": "mouse", "actions": actions}
        self("input.performActions", context=self.context, actions=[pointer])

    def close(self):
        self.socket.close()
        for process in (self.process, self.display):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
