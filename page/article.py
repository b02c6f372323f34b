"""The article, `ModifyingRL.ipynb`, as a page with the live ant at its opening and where the text shows an animation."""

import html
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from page import bullet
from utils import REPO_ROOT

HERE = Path(__file__).resolve().parent

OPENING = "", "A trained ant. Click the ground, and it walks there."
LIVE = {
    "base_ant.gif": ("policy=base_ant_final&targets=1000,0", "The sprinter. Its target is a kilometre ahead."),
    "stuck_ant.gif": ("policy=base_ant_final&targets=-20,14", "The sprinter with a target behind it. Click to try others."),
    "diagon_anty.gif": ("policy=my_ant_final&targets=20,20", "The ant that learned to reach (20, 20), on its way there."),
    "random_points.gif": ("policy=random_circle_final", "The ant for any point. Click the ground, and it walks there."),
    "long_path.gif": (
        "policy=random_circle_final&targets=6,3;11,-4;3,-9;-6,-6;-9,4;0,9;9,11;16,2",
        "The same ant on a path of eight points. Shift and click adds one.",
    ),
}
"""For each animation of the article the options of the page that takes its place, and what is written below it."""

MATH = re.compile(r"(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.S)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="katex/katex.min.css">
<link rel="stylesheet" href="article.css">
</head>
<body>
<main>
{body}
</main>
<footer><a href="index.html">The ant on a page of its own</a> · <a href="licenses.txt">licences</a></footer>
</body>
</html>
"""


def repository_url() -> str:
    """The public address of the repository, or "" where it is not known."""
    if os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return next(iter(project.get("urls", {}).values()), "").rstrip("/")


def write_article(site: Path, notebook: Path = REPO_ROOT / "ModifyingRL.ipynb") -> None:
    """Writes `article.html`, its style, and the fonts of its formulas.  Nothing is loaded from elsewhere.

    Args:
        site: the folder of the page.
        notebook: the article.
    """
    cells = nbformat.read(notebook, as_version=4)
    cells.cells = [cell for cell in cells.cells if "colab" not in cell.metadata.get("tags", [])]  # set-up for Google Colab
    title = re.search(r"(?m)^# (.+)$", cells.cells[0].source)
    formulas: list[tuple[str, bool]] = []

    def set_aside(match: re.Match) -> str:
        if match[1]:
            return match[1]
        formulas.append((match[2] or match[3], bool(match[2])))
        return f"FORMULA{len(formulas) - 1}END"

    for cell in cells.cells:
        if cell.cell_type == "markdown":
            cell.source = MATH.sub(set_aside, cell.source)
    config = Config({"CSSHTMLHeaderPreprocessor": {"style": "friendly"}})
    exporter = HTMLExporter(
        config, template_name="basic", exclude_anchor_links=True, exclude_input_prompt=True, exclude_output_prompt=True
    )
    body, resources = exporter.from_notebook_node(cells)
    for k, formula in enumerate(render_math(formulas)):
        body = body.replace(f"FORMULA{k}END", formula)
    body = re.sub(r"<script.*?</script>", "", body, flags=re.S)
    body = re.sub(r'<p><img alt="[^"]*" src="animations/([^"]+)"\s*/?></p>', lambda match: animation(match, site), body)
    body = body.replace("</h1>", f"</h1>\n{live(*OPENING)}", 1)
    body = re.sub(r'<a href="(?!https?:|#)([^"]+)">(.*?)</a>', link_to_repository, body, flags=re.S)
    page = PAGE.format(title=html.escape(title[1] if title else notebook.stem), body=body)
    (site / "article.html").write_text(page, encoding="utf-8")
    code = "\n".join(resources["inlining"]["css"])
    (site / "article.css").write_text((HERE / "src/article.css").read_text("utf-8") + code, encoding="utf-8")
    katex = HERE / "node_modules/katex/dist"
    (site / "katex/fonts").mkdir(parents=True, exist_ok=True)
    shutil.copy(katex / "katex.min.css", site / "katex/katex.min.css")
    for font in (katex / "fonts").glob("*.woff2"):
        shutil.copy(font, site / "katex/fonts" / font.name)


def render_math(formulas: list[tuple[str, bool]]) -> list[str]:
    """The HTML of formulas in TeX, (source, whether it stands alone)."""
    return json.loads(bullet.run(["node", str(HERE / "math.mjs")], input=json.dumps(formulas)))


def live(options: str, caption: str) -> str:
    """The HTML of the ant with these options, in place of an animation."""
    query = html.escape(f"?embed&{options}" if options else "?embed")
    frame = f'<iframe src="index.html{query}" title="{html.escape(caption)}" loading="lazy"></iframe>'
    return f"<figure>{frame}<figcaption>{html.escape(caption)}</figcaption></figure>"


def animation(match: re.Match, site: Path) -> str:
    """The live ant in place of an animation, or the animation itself if the page has no ant for it."""
    if match[1] in LIVE:
        return live(*LIVE[match[1]])
    (site / "animations").mkdir(exist_ok=True)
    shutil.copy(REPO_ROOT / "animations" / match[1], site / "animations" / match[1])
    return match[0]


def link_to_repository(match: re.Match) -> str:
    """A link to a file of the repository, or its text alone where the address is not known."""
    url = repository_url()
    return f'<a href="{url}/blob/HEAD/{match[1]}">{match[2]}</a>' if url else match[2]
