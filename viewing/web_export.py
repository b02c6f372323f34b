"""A saved policy as one HTML file in which the ant walks: no Python, no server and no network is needed to open it.

    from viewing.web_export import export_html, show_html
    show_html(export_html("random_circle_final", "animations/my_ant_page.html"))

The file is the page of `make page`, with the reader's own policy in place of the one in it.
"""

import base64
import gzip
import html
import json
import re
import struct
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from TD3 import Actor
from training.files import atomic_write
from utils import REPO_ROOT, args_file, find_checkpoint, load_policy, training_env

if TYPE_CHECKING:
    from IPython.display import HTML

PAGE = REPO_ROOT / "page/build/site/ant.html"
"""The self-contained page that `make page` builds."""

FILES = re.compile(r'(<script id="ant-files" type="application/json">)(.*?)(</script>)', re.S)
"""The files inside the page: {name: base64 of the gzipped bytes}, in JSON."""

MAGIC = b"TD3ACTOR"


def export_html(name: str | Path, path: str | Path, page: str | Path = PAGE) -> Path:
    """Writes a page on which the ant walks with a saved policy.

    Args:
        name: name of a run or of a shipped model ("random_circle_final"), its folder, or a path without "_actor".
        path: file to write, ending in .html.
        page: the page to put the policy into: a file, or the address of `ant.html` next to a published page.

    Returns:
        the path, a `pathlib.Path`.

    Raises:
        FileNotFoundError: there is no such policy, or the page has not been built.
        ValueError: the suffix is another, the file is not a policy of an ant, or the page is another one.
        OSError: the page cannot be loaded, or the file cannot be written.  An existing file is then unchanged.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"path is '{path}': expected a name that ends in .html.")
    actor = load_policy(name, training_env(name)).actor
    if (actor.l1.in_features, actor.l3.out_features) != (28, 8):
        raise ValueError(f"'{name}' is a policy for another robot: expected an ant's, with 28 observations and 8 motors.")
    checkpoint = find_checkpoint(name)
    label = args_file(checkpoint).parent.name if checkpoint.name in ("best", "latest") else checkpoint.name
    policy = {"name": label, "label": label, "file": "policy.bin", "env": training_env(name)}
    text = read_page(page)
    found = FILES.search(text)
    if not found:
        raise ValueError(f"'{page}' has no files inside: expected the page ant.html that 'make page' builds.")
    files = {key: value for key, value in json.loads(found[2]).items() if not key.startswith("policies/")}
    files["policies/policies.json"] = pack(json.dumps([policy]).encode())
    files["policies/policy.bin"] = pack(export_actor(actor))
    with atomic_write(path) as part:
        filled = text[: found.end(1)] + json.dumps(files).replace("</", "<\\/") + text[found.start(3) :]
        part.write_text(filled, encoding="utf-8")
    return path


def show_html(path: str | Path, height: int = 480) -> "HTML":
    """Shows an exported page in a notebook, also where the kernel is on another machine: the output contains the page.

    Args:
        path: as `export_html` returns it.
        height: height of the page, in pixels.

    Returns:
        an `IPython.display.HTML`, which a notebook shows as the value of a cell.
    """
    from IPython.display import HTML

    page = html.escape(Path(path).read_text(encoding="utf-8"))
    return HTML(f'<div><iframe srcdoc="{page}" width="100%" height="{height}" style="border: 0"></iframe></div>')


def export_actor(actor: Actor) -> bytes:
    """An actor as the page reads it: 301,108 bytes for the ant's.

    They are the word TD3ACTOR, the sizes of state, hidden layer and action as uint32, and then weight and bias of the three
    layers as float32, all little-endian, the weights row by row as in PyTorch.
    """
    layers = [actor.l1, actor.l2, actor.l3]
    sizes = struct.pack("<3I", actor.l1.in_features, actor.l1.out_features, actor.l3.out_features)
    arrays = [tensor.detach().cpu().numpy().astype("<f4").tobytes() for each in layers for tensor in (each.weight, each.bias)]
    return MAGIC + sizes + b"".join(arrays)


def pack(data: bytes) -> str:
    """A file as it is kept inside the page: gzipped, in base64."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")


def read_page(page: str | Path) -> str:
    """The text of a page, from a file or an address.  Raises as `export_html` does."""
    if str(page).startswith(("https://", "http://")):
        with urllib.request.urlopen(str(page), timeout=60) as answer:
            return answer.read().decode("utf-8")
    if not Path(page).is_file():
        raise FileNotFoundError(
            f"There is no page '{page}': build it once with 'make page ARGS=--no-serve', which needs emscripten and npm, "
            "or give the address of a published one."
        )
    return Path(page).read_text(encoding="utf-8")
