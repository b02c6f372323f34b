"""The picture of how the code is laid out says what the imports say."""

import ast
import re

import draw_map
import pytest
from conftest import ROOT

SVG = draw_map.MAP.read_text(encoding="utf-8") if draw_map.MAP.exists() else ""


def test_the_committed_picture_is_drawn_from_the_imports_of_today():
    assert draw_map.draw(draw_map.read_imports()) == SVG, "run scripts/draw_map.py"


def test_the_list_in_the_picture_is_the_imports():
    listed = re.findall(r"^(\S+) imports (\S+)( later)?$", SVG, re.M)
    assert {(a, b): bool(later) for a, b, later in listed} == draw_map.read_imports()
    assert ("main", "TD3", "") in listed and ("TD3notebook.ipynb", "main", "") in listed


def test_every_module_and_notebook_is_in_the_picture():
    shown = set(re.findall(r">([^<]+)</text>", SVG))
    assert {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.glob("*.ipynb")} <= shown


def test_imports_run_one_way():
    edges = draw_map.read_imports()
    ends = draw_map.reach(edge for edge, later in edges.items() if not later)  # or a ValueError that shows the circle
    assert not {a for a, after in ends.items() if any(name.endswith(".ipynb") for name in after)}
    assert "main" not in ends["viewer"] and "main" not in ends["utils"]
    assert ends["TD3"] == {"bf16_update", "cuda_graph"}


def test_each_kind_of_import_is_told_from_the_others():
    tree = ast.parse(
        "import a\nfrom b import x\nimport elsewhere\n"
        "with q():\n    import c\n"
        "if TYPE_CHECKING:\n    from d import y\n"
        "def f():\n    import e\n    import a\n"
    )
    assert draw_map.imported(tree, set("abcde")) == {"a": False, "b": False, "c": False, "e": True}


def test_lines_for_ipython_are_passed_over(tmp_path):
    (tmp_path / "m.py").write_text("")
    (tmp_path / "n.ipynb").write_text(
        '{"cells": [{"cell_type": "code", "source": ["if x:\\n", "    !ls\\n", "%cd y\\n", "import m"]}]}'
    )
    assert draw_map.read_imports(tmp_path) == {("n.ipynb", "m"): False}


def test_only_what_follows_from_others_is_left_out():
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d"), ("c", "e"), ("a", "e")}
    kept = draw_map.needed(edges)
    assert kept == [("a", "b"), ("a", "d"), ("b", "c"), ("c", "e")]
    assert draw_map.reach(kept) == draw_map.reach(edges)


def test_a_circle_is_named():
    with pytest.raises(ValueError, match="a -> b -> a"):
        draw_map.reach({("a", "b"), ("b", "a")})


def test_the_notebooks_have_the_first_row_to_themselves():
    rows, chains = draw_map.arrange([("b", "a"), ("notebooks", "a")], {"a", "b", "notebooks"})
    assert rows[0] == ["notebooks"] and rows[-1] == ["a"]
    assert [len(chain) for chain in chains] == [2, 3]  # the long arrow passes the row of b
