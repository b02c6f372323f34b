"""The page on which the ant walks in the browser: `make page` builds it in `page/build/site` and serves it.

`make page ARGS=--no-serve` only builds it.
"""

import contextlib
import functools
import http.server
import json
import os
import shutil
from pathlib import Path

from page import bullet
from page.article import write_article
from page.policies import export_policies
from training.cli import run_cli
from viewing.web_export import pack

HERE = Path(__file__).resolve().parent
SITE = bullet.CACHE / "site"
"""The folder of the finished page."""

ESBUILD = ["--bundle", "--minify", "--format=iife", "--target=es2022", "--legal-comments=none", "--log-level=error"]


def build(site: Path = SITE, workers: int | None = None) -> Path:
    """Builds the page.

    Args:
        site: folder to write.
        workers: number of compilers that run at once.  The default is the number of cores.

    Returns:
        the folder.

    Raises:
        RuntimeError: a program is missing or ended with an error.
    """
    bullet.require("npm", "Node 18 or newer with npm (on Debian and Ubuntu: 'apt install nodejs npm')")
    bullet.require("em++", "emscripten (on Debian and Ubuntu: 'apt install emscripten')")
    install_packages()
    _, wasm = bullet.build(workers)
    site.mkdir(parents=True, exist_ok=True)
    shutil.copy(wasm, site / "bullet.wasm")
    bullet.run(["node", "node_modules/esbuild/bin/esbuild", "src/main.js", *ESBUILD, f"--outfile={site / 'ant.js'}"])
    for name in ("index.html", "style.css"):
        shutil.copy(HERE / "src" / name, site / name)
    export_policies(site / "policies")
    write_licenses(site)
    write_article(site)
    files = {name: pack((site / name).read_bytes()) for name in ("bullet.wasm", *policy_files(site))}
    (site / "files.js").write_text(f"globalThis.ANT_FILES = {json.dumps(files)};\n", encoding="utf-8")
    first = json.loads((site / "policies/policies.json").read_text("utf-8"))[:1]
    files = {"bullet.wasm": files["bullet.wasm"], "policies/policies.json": pack(json.dumps(first).encode())}
    files[f"policies/{first[0]['file']}"] = pack((site / "policies" / first[0]["file"]).read_bytes())
    (site / "ant.html").write_text(one_file(site, files), encoding="utf-8")
    return site


def install_packages() -> None:
    """Installs the packages of `package-lock.json` unless that is done."""
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    if not bullet.up_to_date(HERE / "node_modules/.package-lock.json", [HERE / "package-lock.json"], command):
        bullet.run(command)


def policy_files(site: Path) -> list[str]:
    """The names of the exported policies and of their list."""
    return sorted(f"policies/{path.name}" for path in (site / "policies").iterdir())


def one_file(site: Path, files: dict[str, str]) -> str:
    """The page with everything inside: `viewing/web_export.py` puts the reader's own policy in place of the one in it."""
    page = (site / "index.html").read_text("utf-8")
    style, script = ((site / name).read_text("utf-8") for name in ("style.css", "ant.js"))
    assert "</script" not in script and "</style" not in style
    licenses = (site / "licenses.txt").read_text("utf-8").replace("--", "- -")
    data = f'<script id="ant-files" type="application/json">{json.dumps(files)}</script>'
    for old, new in {
        "<!doctype html>\n": f"<!doctype html>\n<!--\n{licenses}-->\n",
        '<link rel="stylesheet" href="style.css">': f"<style>\n{style}</style>",
        '<p id="links"><a href="article.html">How it learned this</a> · <a href="licenses.txt">licences</a></p>': "",
        '<script src="ant.js"></script>': f"{data}\n<script>{script}</script>",
    }.items():
        assert page.count(old) == 1, old
        page = page.replace(old, new)
    return page


def write_licenses(site: Path) -> None:
    """Writes the licences of what the page contains."""
    texts = {
        "This page": HERE.parent / "LICENSE",
        "Bullet Physics, from the sources of PyBullet 3.2.7": bullet.unpack() / "LICENSE.txt",
        "Parts of Bullet, and what Emscripten adds": HERE / "src/third_party.txt",
        "three.js": HERE / "node_modules/three/LICENSE",
        "KaTeX, in the article": HERE / "node_modules/katex/LICENSE",
    }
    parts = [f"{title}\n{'=' * len(title)}\n\n{path.read_text('utf-8').strip()}\n" for title, path in texts.items()]
    (site / "licenses.txt").write_text("\n\n".join(parts), encoding="utf-8")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the page without a line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # after another build the browser asks again
        super().end_headers()


def main(serve: bool = True, port: int = 8010) -> None:
    """Builds the page and serves it until Ctrl-C.

    Args:
        serve: Whether to serve the page; otherwise it is only built.
        port: Port to serve it on, on this machine alone.  0 is any free port.
    """
    site = build()
    print(f"The page is in {os.path.relpath(site)}.", flush=True)
    if not serve:
        return
    with contextlib.suppress(KeyboardInterrupt), server_of(site, port) as server:
        taken = f" (port {port} is taken)" if port not in (0, server.server_port) else ""
        print(f"It is served at http://127.0.0.1:{server.server_port}{taken}. To end this, press Ctrl-C.", flush=True)
        server.serve_forever()
    print("It is no longer served.")


def server_of(site: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of a folder on this machine alone, on a free port if the wanted one is taken."""
    if not 0 <= port <= 65535:
        raise ValueError(f"port is {port}: expected 0 to 65535, where 0 is any free port.")
    handler = functools.partial(Handler, directory=str(site))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        return http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)


if __name__ == "__main__":
    run_cli(main, prog="python -m page.build")
