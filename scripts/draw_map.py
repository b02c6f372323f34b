"""Draws docs/map.svg: which module imports which, read from the imports themselves. tests/test_map.py holds it to them.

.venv/bin/python scripts/draw_map.py

What a module imports when it is imported counts, and what it imports later, inside of a function, is drawn dashed; imports that
only a type checker sees do not count. An arrow that follows from others is left out of the drawing, but not of the list in it.
"""

import ast
import itertools
import json
import random

from install import ROOT

MAP = ROOT / "docs" / "map.svg"
NOTEBOOKS = "notebooks"
PLUMBING = {"bf16_update", "cuda_graph", "fast_walker", "vector"}
"""What nobody needs to read who wants to change the ant; drawn in grey."""

WIDTH, MARGIN = 400, 8  # at the width of a telephone, some 360 pixels, the letters are then still 11 pixels high
LETTER, LINE, PAD = 7.23, 17, 8  # width of a letter of 12 pixels in a monospaced face; height of a line; room around it
GAP = 38  # between two rows
STARTS = 100  # orders to begin with; the best of what they lead to is drawn


def imported(tree, modules):
    """{module: whether it is imported later, inside of a function, only} for those of `modules` that a syntax tree imports."""
    found = {}

    def visit(node, later):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and getattr(child.test, "id", None) == "TYPE_CHECKING":
                continue
            inside = later or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            names = [alias.name for alias in child.names] if isinstance(child, ast.Import) else []
            names += [child.module] if isinstance(child, ast.ImportFrom) else []
            for name in modules.intersection(names):
                found[name] = found.get(name, True) and inside
            visit(child, inside)

    visit(tree, False)
    return found


def read_imports(root=ROOT):
    """{(importer, imported): later} of the modules and notebooks of a folder; a notebook is named with its ending."""
    modules = {path.stem for path in root.glob("*.py")}
    edges = {}
    for path in sorted(root.glob("*.py")):
        edges |= {(path.stem, to): later for to, later in imported(ast.parse(path.read_text("utf-8")), modules).items()}
    for path in sorted(root.glob("*.ipynb")):
        cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
        lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
        # what IPython alone understands imports nothing
        code = "\n".join(line.replace(line.lstrip(), "pass") if line.lstrip()[:1] in ("%", "!") else line for line in lines)
        edges |= {(path.name, to): later for to, later in imported(ast.parse(code), modules).items()}
    return dict(sorted(edges.items()))


def reach(edges):
    """{node: all that can be got to along the edges}; ends with a ValueError if the edges go in a circle."""
    after = {}
    for start, end in edges:
        after.setdefault(start, set()).add(end)
    found = {}

    def visit(node, way):
        if node in way:
            raise ValueError(f"modules import each other in a circle: {' -> '.join([*way, node])}")
        if node not in found:
            ends = after.get(node, set())
            found[node] = ends.union(*(visit(end, [*way, node]) for end in ends))
        return found[node]

    for node in sorted(after):
        visit(node, [])
    return found


def needed(edges):
    """The edges without those that follow from others."""
    ends = reach(edges)
    return sorted((a, b) for a, b in edges if not any(b in ends.get(c, ()) for start, c in edges if start == a and c != b))


def arrange(edges, nodes):
    """Rows of nodes from top to bottom, everything below whatever imports it; None stands where a long arrow passes.

    Returns:
        (rows, chains): lists of keys, and for each edge the keys that its arrow passes, both ends included.
    """
    below = {node: [b for a, b in edges if a == node] for node in nodes}

    def height(node):
        under = [each for each in nodes if each != NOTEBOOKS] if node == NOTEBOOKS else below[node]  # their box is a row
        return 1 + max(map(height, under), default=-1)

    rows = [[] for _ in range(1 + max(map(height, nodes)))]
    for node in sorted(nodes):
        rows[height(node)].append(node)
    chains = []
    for a, b in edges:
        passes = [(a, b, level) for level in range(height(a) - 1, height(b), -1)]
        for key in passes:
            rows[key[2]].append(key)
        chains.append([a, *passes, b])

    links = [pair for chain in chains for pair in itertools.pairwise(chain)]

    def cost():
        # crossings first, then how far arrows go to the side
        at = {key: (k, row.index(key) / (len(row) - 1) if len(row) > 1 else 0.5) for k, row in enumerate(rows) for key in row}
        lines = [(at[a][0], at[a][1], at[b][1]) for a, b in links]
        crossings = sum(
            level == other and (x - u) * (y - v) < 0 for (level, x, y), (other, u, v) in itertools.combinations(lines, 2)
        )
        return crossings, sum(abs(x - y) for _, x, y in lines)

    found = {}
    for start in range(STARTS):
        for row in rows:
            random.Random(start).shuffle(row)
        best, before = cost(), None
        while best != before:  # two that stand in one row change places, until this betters nothing
            before = best
            for row in rows:
                for i, j in itertools.combinations(range(len(row)), 2):
                    row[i], row[j] = row[j], row[i]
                    if cost() < best:
                        best = cost()
                    else:
                        row[i], row[j] = row[j], row[i]
        found.setdefault(cost(), [list(row) for row in rows])
    rows = found[min(found)]
    return rows[::-1], chains


def size(node, names):
    """Width and height of a box; of the place where an arrow passes, if it is none."""
    if node == NOTEBOOKS:
        return WIDTH - 2 * MARGIN, LINE * len(names) + 2 * PAD
    return (LETTER * len(node) + 2 * PAD, LINE + PAD) if isinstance(node, str) else (14, LINE + PAD)


def draw(imports):
    """The picture, as the text of an SVG file.

    Args:
        imports: as `read_imports` returns them.
    """
    names = sorted({a for a, _ in imports if a.endswith(".ipynb")})
    joined = {(NOTEBOOKS if a in names else a, b) for (a, b), later in imports.items() if not later}
    ends = reach(joined)
    back = {(a, b) for (a, b), later in imports.items() if later and a in ends.get(b, ())}  # against all others: drawn upward
    edges = needed(joined | {edge for edge, later in imports.items() if later} - back)
    rows, chains = arrange(edges, {node for edge in edges for node in edge})
    middle, top, y = {}, {}, MARGIN
    for row in rows:
        widths = [size(node, names)[0] for node in row]
        gap = (WIDTH - 2 * MARGIN - sum(widths)) / (len(row) + 1)
        x = MARGIN + gap
        for node, width in zip(row, widths, strict=True):
            middle[node], top[node] = x + width / 2, y
            x += width + gap
        y += size(row[0], names)[1] + GAP
    height = y - GAP + 2 * LINE + 2 * MARGIN

    def line(points, style=""):
        path = f"M{points[0][0]:.0f},{points[0][1]:.0f}"
        for (x, y), (u, v) in itertools.pairwise(points):
            bend = abs(v - y) / 2 * (1 if v > y else -1)
            path += f" C{x:.0f},{y + bend:.0f} {u:.0f},{v - bend:.0f} {u:.0f},{v:.0f}"
        return f'<path d="{path}"{style} marker-end="url(#tip)"/>'

    arrows, boxes = [], []
    dashed = ' stroke-dasharray="4 3"'
    for chain in chains:
        leaving = sorted((each for each in chains if each[0] == chain[0]), key=lambda each: middle[each[1]])
        step = size(chain[0], names)[0] / (len(leaving) + 1)
        start = middle[chain[0]] + step * (leaving.index(chain) - (len(leaving) - 1) / 2)
        if chain[0] == NOTEBOOKS:
            start = middle[chain[1]]
        points = [(start, top[chain[0]] + size(chain[0], names)[1])]
        for node in chain[1:-1]:
            points += [(middle[node], top[node]), (middle[node], top[node] + size(node, names)[1])]
        arriving = sorted((each for each in chains if each[-1] == chain[-1]), key=lambda each: middle[each[-2]])
        step = size(chain[-1], names)[0] / (len(arriving) + 1)
        end = middle[chain[-1]] + step * (arriving.index(chain) - (len(arriving) - 1) / 2)
        arrows.append(line([*points, (end, top[chain[-1]] - 5)], dashed if imports.get((chain[0], chain[-1])) else ""))
    for a, b in sorted(back):
        arrows.append(line([(middle[a] + 24, top[a]), (middle[b] + 24, top[b] + size(b, names)[1] + 5)], dashed))
    for node in middle:
        if isinstance(node, str):
            width, tall = size(node, names)
            fill = "#D6ECF9" if node == NOTEBOOKS else "#EDEDED" if node in PLUMBING else "#FFFFFF"
            boxes.append(
                f'<rect x="{middle[node] - width / 2:.0f}" y="{top[node]}" width="{width:.0f}" height="{tall}" rx="4" fill="{fill}"/>'
            )
            for k, text in enumerate(names if node == NOTEBOOKS else [node]):
                below = top[node] + (PAD if node == NOTEBOOKS else PAD / 2) + LINE * k + 13
                boxes.append(f'<text x="{middle[node]:.0f}" y="{below:.0f}">{text}</text>')
    legend = [
        "An arrow means: imports. Dashed: later, in a function.",
        "What follows from other arrows is left out. Grey: plumbing.",
    ]
    words = "\n".join(
        f'<text x="{WIDTH / 2:.0f}" y="{y - GAP + LINE * (k + 1) + 6}" class="legend">{text}</text>'
        for k, text in enumerate(legend)
    )
    listed = "\n".join(f"{a} imports {b}{' later' if later else ''}" for (a, b), later in imports.items())
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * 1.4:.0f}" viewBox="0 0 {WIDTH} {height}" role="img">
<title>Which module imports which</title>
<!-- Written by scripts/draw_map.py. All imports, those that are not drawn included:
{listed}
-->
<style>
path {{ fill: none; stroke: #0072B2; stroke-width: 1.3 }}
rect {{ stroke: #333333 }}
text {{ font: 12px "DejaVu Sans Mono", Menlo, Consolas, monospace; text-anchor: middle; fill: #111111 }}
text.legend {{ font: 12px Helvetica, Arial, sans-serif }}
</style>
<defs><marker id="tip" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" orient="auto">
<polygon points="0,0 6,3 0,6" fill="#0072B2"/></marker></defs>
<rect width="{WIDTH}" height="{height}" fill="#FFFFFF" style="stroke: none"/>
{chr(10).join(arrows)}
{chr(10).join(boxes)}
{words}
</svg>
"""


def main():
    MAP.parent.mkdir(exist_ok=True)
    MAP.write_text(draw(read_imports()), encoding="utf-8")


if __name__ == "__main__":
    main()
