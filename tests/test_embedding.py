"""The steering page in a notebook: on a remote Jupyter server with a real browser, on Colab, and on the reader's machine."""

import json
import os
import subprocess
import sys
import types
import urllib.request

import pytest
from browser import CHROMIUM, Browser, wait
from conftest import ROOT

from viewing.embedding import embed_port, proxy_path

STEER = """
from viewing import embedding, steer
embedding.display_path = open({path!r}, "w")
steer.in_notebook = lambda: True
steer.embed_port = lambda port, height: print(embedding.proxy_path(port), file=embedding.display_path, flush=True)
steer.steer(model="base_ant_final", port=0, seconds=120)
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_is_shown_and_steered_through_the_jupyter_server_of_its_kernel(tmp_path):
    """As on Binder: the browser reaches the Jupyter server alone, under a base URL, and the page through it."""
    from jupyter_client import BlockingKernelClient

    runtime, token = tmp_path / "runtime", "secret"
    options = [
        "--no-browser",
        "--allow-root",
        "--port=0",
        f"--IdentityProvider.token={token}",
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
        client.wait_for_ready(timeout=60)
        path_file = tmp_path / "path"
        client.execute(STEER.format(path=str(path_file)))
        path = wait(lambda: path_file.exists() and path_file.read_text().strip(), 60, "steer() did not display a page")
        assert path.startswith("/user/me/proxy/")
        browser = Browser(tmp_path, 1100, 700)
        browser.open(f"{url.removesuffix('/user/me/')}{path}?token={token}")
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
    colab.output = types.SimpleNamespace(serve_kernel_port_as_iframe=lambda port, height: calls.append((port, height)))
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    embed_port(8008, 620)
    assert calls == [(8008, 620)]


def test_elsewhere_the_page_is_local_and_a_sentence_says_what_to_do_if_it_is_not(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    assert proxy_path(8008) is None, "this process is not a kernel of a Jupyter server"
    embed_port(8008, 620)
    assert shown[0].src == "http://127.0.0.1:8008"
    out = capsys.readouterr().out
    assert "ssh -L 8008:127.0.0.1:8008" in out and out.count("\n") == 1
