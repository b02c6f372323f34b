"""Writes the notebooks' first cell, for Google Colab, and the line of badges in README.md that opens the notebooks elsewhere.

    .venv/bin/python scripts/launch_buttons.py                                  after a notebook was added
    .venv/bin/python scripts/launch_buttons.py https://github.com/OWNER/NAME    when the public address is known or has changed

The address is kept in `[project.urls]` of pyproject.toml. Without one, the badges lead to the forms of Colab, Binder and
Codespaces that ask for it, and so does the cell on Colab. tests/test_launch_buttons.py holds cells and badges to the address.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CELL_ID = "colab"
CELL = """\
if "google.colab" in str(get_ipython()):  # prepares Google Colab; elsewhere it does nothing
    !test -e {folder} || git clone -q --depth 1 "{address}" {folder}
    if _exit_code:
        raise SystemExit("Nothing was fetched. Run this cell again with the repository's address.")
    %run {folder}/scripts/colab.py"""
FOLDER = "/content/ant"  # /content is where a notebook on Colab starts
# IPython puts the value of an expression in braces into the command. The question has no colon, which would end the expression.
QUESTION = "{input('Address on GitHub? ')}"

COLAB = "https://colab.research.google.com/github/"
IMAGES = {
    "in Colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "on Binder": "https://mybinder.org/badge_logo.svg",
    "in Codespaces": "https://github.com/codespaces/badge.svg",
}


def read_address():
    """The repository's public address, or None."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {}).get("Repository")


def set_address(pyproject, url):
    """The text of pyproject.toml with an address; raises a ValueError unless it is that of a repository on GitHub."""
    match = re.fullmatch(r"(https://github\.com/[\w.-]+/[\w.-]+?)(\.git)?/?", url)
    if not match:
        raise ValueError(
            f"The address is {url!r}: expected one like https://github.com/OWNER/NAME, where Colab finds notebooks."
        )
    pyproject = re.sub(r"\[project\.urls\]\nRepository = .*\n\n", "", pyproject)
    extras = "[project.optional-dependencies]"
    return pyproject.replace(extras, f'[project.urls]\nRepository = "{match[1]}"\n\n{extras}')


def put_cell(notebook, url):
    """Puts the cell below the title of a notebook, as read by `json`, or renews its source."""
    source = CELL.format(address=url or QUESTION, folder=FOLDER).splitlines(keepends=True)
    for cell in notebook["cells"]:
        if cell.get("id") == CELL_ID:
            cell["source"] = source
            return
    place = 1 if notebook["cells"][0]["cell_type"] == "markdown" else 0
    new = {"cell_type": "code", "execution_count": None, "id": CELL_ID, "metadata": {"tags": [CELL_ID]}, "outputs": []}
    notebook["cells"].insert(place, {**new, "source": source})


def badge(where, link, what=""):
    return f"[![Open {what}{where}]({IMAGES[where]})]({link})"


def put_badges(readme, url, titles):
    """The text of README.md with its line of badges renewed; `titles` is {file name: title} of the notebooks."""
    if url:
        name = url.removeprefix("https://github.com/")
        links = [
            badge("in Colab", f"{COLAB}{name}/blob/HEAD/{file}", f"{file} ") + f" {title}" for file, title in titles.items()
        ]
        binder = badge("on Binder", f"https://mybinder.org/v2/gh/{name}/HEAD")
        line = " · ".join([*links, binder + " " + badge("in Codespaces", f"https://codespaces.new/{name}") + " all"])
    else:
        forms = zip(IMAGES, [COLAB, "https://mybinder.org/", "https://github.com/codespaces/new"], strict=True)
        line = " ".join(badge(*form) for form in forms) + " Each asks for a repository: paste the address of this page."
    return re.sub(r"^\[!\[Open .*$", lambda _: line, readme, count=1, flags=re.MULTILINE)


def main(url=None):
    if url:
        path = ROOT / "pyproject.toml"
        path.write_text(set_address(path.read_text(encoding="utf-8"), url), encoding="utf-8")
    titles = {}
    for path in sorted(ROOT.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        put_cell(notebook, read_address())
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        title = "".join(notebook["cells"][0]["source"]).splitlines()[0]
        titles[path.name] = re.sub(r"^#+\s*(\d+\s*·\s*)?", "", title)
    path = ROOT / "README.md"
    path.write_text(put_badges(path.read_text(encoding="utf-8"), read_address(), titles), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
