"""Gives every notebook a first cell for Google Colab, and README.md the badges that open the notebooks elsewhere.

.venv/bin/python scripts/anywhere.py                                  after a notebook was added or run anew
.venv/bin/python scripts/anywhere.py https://github.com/OWNER/NAME    once, when the public address is known (or has changed)

The address is kept in one place, `[project.urls]` of pyproject.toml; cells and badges are made from it, and
tests/test_anywhere.py holds them to it. Without an address the badges lead to where Colab, Binder and Codespaces ask for one, and
so does the cell on Colab. Run again, it changes nothing. Outputs stay as they are; only the numbers of the cells below a new one
go up.
"""

import json
import re
import sys

from install import ROOT, read_project

ID = "colab"
"""The cell's id, by which it is found again."""

ASK = 'input("The address of this repository, like https://github.com/OWNER/NAME: ")'
"""What stands in the cell for the address while there is none."""

CELL = """\
# For Google Colab alone: fetches the rest of the repository and installs what Colab lacks. Everywhere else it does nothing.
import sys
from pathlib import Path

if "google.colab" in sys.modules and not Path("TD3.py").exists():
    address = {address}
    !git clone --quiet --depth 1 "{{address}}" ant
    if not Path("ant/TD3.py").exists():
        raise SystemExit(f"Nothing came from {{address!r}}: run this cell again with the repository's address on GitHub.")
    %cd -q ant
    !{{sys.executable}} scripts/install.py --colab
    sys.path.insert(0, "")
"""

BADGE = "[![Open {what}]({image})]({link})"
COLAB, COLAB_IMAGE = "https://colab.research.google.com/github/", "https://colab.research.google.com/assets/colab-badge.svg"
BINDER, BINDER_IMAGE = "https://mybinder.org/", "https://mybinder.org/badge_logo.svg"
CODESPACES_IMAGE = "https://github.com/codespaces/badge.svg"


def address():
    """The repository's public address, or None while there is none."""
    return read_project().get("urls", {}).get("Repository")


def check(url):
    """The address without a slash or ".git" at its end; ends the program unless it is that of a repository on GitHub."""
    match = re.fullmatch(r"(https://github\.com/[\w.-]+/[\w.-]+?)(\.git)?/?", url)
    if not match:
        sys.exit(
            f"The address is {url!r}: expected one like https://github.com/OWNER/NAME, for Colab opens notebooks from there."
        )
    return match[1]


def write_address(url, folder=ROOT):
    """Puts the address into pyproject.toml."""
    path = folder / "pyproject.toml"
    text = re.sub(r"\[project\.urls\]\nRepository = .*\n\n", "", path.read_text(encoding="utf-8"))
    head, mark, rest = text.partition("[project.optional-dependencies]")
    path.write_text(f'{head}[project.urls]\nRepository = "{url}"\n\n{mark}{rest}', encoding="utf-8")


def cell(url):
    """The source of the first code cell."""
    return CELL.format(address=f'"{url}"' if url else ASK)


def put_cell(notebook, url):
    """Puts the cell below a notebook's title, or brings it up to date, and numbers the code cells anew if they were numbered.

    Args:
        notebook: a notebook as read by `json`; changed in place.
        url: the repository's address, or None.
    """
    cells = [each for each in notebook["cells"] if each.get("id") != ID]
    place = 1 if cells and cells[0]["cell_type"] == "markdown" else 0
    code = [each for each in cells if each["cell_type"] == "code"]
    was_run = any(each["execution_count"] for each in code)
    new = {
        "cell_type": "code",
        "execution_count": None,
        "id": ID,
        "metadata": {"tags": [ID]},
        "outputs": [],
        "source": cell(url).rstrip("\n").splitlines(keepends=True),
    }
    notebook["cells"] = [*cells[:place], new, *cells[place:]]
    if was_run:
        # the cell has no output, so it counts as run: the others go up by one
        for number, each in enumerate((each for each in notebook["cells"] if each["cell_type"] == "code"), start=1):
            each["execution_count"] = number
            for output in each["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = number


def badges(url, names):
    """One line of Markdown: each notebook on Colab, all of them on Binder and in a codespace.

    Args:
        url: the repository's address, or None: then a badge leads to the form that asks for it.
        names: {file name: title} of the notebooks.
    """
    if not url:
        links = {"in Colab": (COLAB_IMAGE, COLAB), "on Binder": (BINDER_IMAGE, BINDER)}
        links["in Codespaces"] = (CODESPACES_IMAGE, "https://github.com/codespaces/new")
        row = [BADGE.format(what=what, image=image, link=link) for what, (image, link) in links.items()]
        return " ".join(row) + " Each asks for a repository: paste the address of this page."
    where = url.removeprefix("https://github.com/")
    row = [
        BADGE.format(what=f"{name} in Colab", image=COLAB_IMAGE, link=f"{COLAB}{where}/blob/HEAD/{name}") + f" {title}"
        for name, title in names.items()
    ]
    binder = BADGE.format(what="on Binder", image=BINDER_IMAGE, link=f"{BINDER}v2/gh/{where}/HEAD")
    codespaces = BADGE.format(what="in Codespaces", image=CODESPACES_IMAGE, link=f"https://codespaces.new/{where}")
    return " · ".join([*row, f"{binder} {codespaces} all"])


def put_badges(text, url, names):
    """README.md's text with the line of badges below its first commands, and without an older one."""
    lines = text.splitlines(keepends=True)
    for old in [k for k, line in enumerate(lines) if line.startswith("[![Open ")]:
        del lines[old - 1 : old + 1]  # with the empty line above
    place = lines.index("```\n") + 1
    lines[place:place] = ["\n", badges(url, names) + "\n"]
    return "".join(lines)


def titles(paths):
    """{file name: title without its number} of notebooks."""
    found = {}
    for path in paths:
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        found[path.name] = re.sub(r"^#+\s*(\d+\s*·\s*)?", "", "".join(first).splitlines()[0])
    return found


def main(arguments):
    if arguments:
        write_address(check(arguments[0]))
    url = address()
    paths = sorted(ROOT.glob("*.ipynb"))
    for path in paths:
        before = path.read_text(encoding="utf-8")
        notebook = json.loads(before)
        put_cell(notebook, url)
        after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.name}: the cell for Colab was written.")
    readme = ROOT / "README.md"
    readme.write_text(put_badges(readme.read_text(encoding="utf-8"), url, titles(paths)), encoding="utf-8")
    if not url:
        print(
            "The public address is not known yet, so the badges lead to forms that ask for it: see the first lines of this file."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
