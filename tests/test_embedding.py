"""The steering page in a notebook: on a remote Jupyter server with a real browser, on Colab, and on the reader's machine."""

import json
import os
import subprocess
import sys
import types
import urllib.parse
import urllib.request

import pytest
from browser import CHROMIUM, Browser, wait
from conftest import ROOT

from viewing.embedding import embed_port, proxy_path

STEER = """
from viewing import embedding, steer
embedding.display_path = open({path!r}, "w")
steer.in_notebook = lambda: True
steer.embed_port = lambda port, height, path: print(
    embedding.proxy_path(port), embedding.proxy_path(port, path), file=embedding.display_path, flush=True
)
steer.steer(model="base_ant_final", port=0, seconds=120)
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_is_shown_and_steered_through_the_jupyter_server_of_its_kernel(tmp_path):
    """As on Binder: the browser reaches the Jupyter server alone, under a base URL, and the page through it.

    The server's address is not a loopback name, as on a JupyterHub.  The path with the key is let in, and the one without is not.
    """
    from jupyter_client import BlockingKernelClient

    runtime, token = tmp_path / "runtime", "secret"
    options = [
        "--no-browser",
        "--allow-root",
        "--port=0",
        f"--IdentityProvider.token={token}",
        "--ServerApp.allow_remote_access=true",
        "--ServerApp.base_url=/user/me/",
    ]
    env = os.environ | {"JUPYTER_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "server", *options], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL
    )
    browser = client = None
    try:
        (info_file,) = wait(lambda: list(runtime.glob("jpserver-*.json")), 60, "the Jupyter server did not start")
        url = json.loads(info_file.read_text())["url"]
        request = urllib.request.Request(f"{url}api/kernels?token={token}", data=b"{}", method="POST")
        kernel = json.load(urllib.request.urlopen(request))["id"]
        client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.start_channels()
        client.hb_channel.time_to_dead = 60  # a kernel on a busy machine is not dead after the usual second of silence
        client.wait_for_ready(timeout=60)
        path_file = tmp_path / "path"
        client.execute(STEER.format(path=str(path_file)))
        paths = wait(lambda: path_file.exists() and path_file.read_text().strip(), 60, "steer() did not display a page")
        guessed, path = paths.split()
        assert path.startswith(guessed) and guessed.startswith("/user/me/proxy/") and len(path) > len(guessed) + 20
        url = f"http://hub.example:{urllib.parse.urlsplit(url).port}/"
        browser = Browser(tmp_path, 1100, 700, resolve={"hub.example": "127.0.0.1"})
        browser.open(f"{url}{guessed[1:]}?token={token}")
        assert "This address is refused" in browser.evaluate("document.body.innerText")
        browser.open(f"{url}{path[1:]}?token={token}")
        wait(
            lambda: (browser.screenshot().astype(int)[..., 0] - browser.screenshot()[..., 2] > 60).mean() > 0.0005,
            90,
            "no orange leg in sight",
        )
        assert not [each for each in browser.requests if not each.startswith((url, "data:", "blob:"))], (
            "through the server alone"
        )
    finally:
        if browser:
            browser.close()
        if client:
            client.shutdown()
            client.stop_channels()
        server.terminate()
        server.wait(20)


def test_on_colab_its_own_port_forwarding_is_used(monkeypatch):
    calls = []
    colab = types.ModuleType("google.colab")
    colab.output = types.SimpleNamespace(
        serve_kernel_port_as_iframe=lambda port, path, height: calls.append((port, path, height))
    )
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    embed_port(8008, 620, "/key/")
    assert calls == [(8008, "/key/", 620)]


def test_elsewhere_the_page_is_local_and_a_sentence_says_what_to_do_if_it_is_not(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    assert proxy_path(8008) is None, "this process is not a kernel of a Jupyter server"
    embed_port(8008, 620, "/key/")
    assert shown[0].src == "http://127.0.0.1:8008/key/"
    out = capsys.readouterr().out
    assert "ssh -L 8008:127.0.0.1:8008" in out and out.count("\n") == 1
