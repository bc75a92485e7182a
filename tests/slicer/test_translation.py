"""Every text for the user is given to the function that translates it, as a literal."""

import ast
import pathlib
import re

import pytest

LIBRARY = (
    pathlib.Path(__file__).resolve().parents[2] / "slicer-module" / "SegmentEditorProMem" / "SegmentEditorProMemLib"
)
FILES = sorted(LIBRARY.glob("*.py"))

# Two words, one after the other.
SENTENCE = re.compile(r"[A-Za-z]{2,}[.,:)]? +[A-Za-z(]{2,}")
# Not for the user: names of nodes and states, style sheets, filters of file dialogs, errors of programmers.
OTHER = re.compile(
    r"^(ProMem \w+|loading model|sending scan|QToolButton .*|.*\(\*\..*|mask: .*| on slice |.* expected two nodes .*)$",
    re.DOTALL,
)


def is_translated(node, above):
    while node in above:
        node = above[node]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            return True
    return False


def texts(path):
    """Strings of a file that are no documentation: node, and the node above each."""
    tree = ast.parse(path.read_text())
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not isinstance(above[node], ast.Expr):
            yield node, above


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_sentence_is_translated(path):
    missed = [
        f"{node.lineno}: {node.value!r}"
        for node, above in texts(path)
        if SENTENCE.search(node.value) and not OTHER.match(node.value) and not is_translated(node, above)
    ]
    assert missed == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_literals_are_translated(path):
    """Slicer collects the texts from the sources: values are put in afterwards."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            (argument,) = node.args
            assert isinstance(argument, ast.Constant), f"{path.name}:{node.lineno}"


def test_slicers_own_function_is_used_where_there_is_one(monkeypatch):
    import importlib
    import sys
    import types

    from SegmentEditorProMemLib import i18n

    slicers = types.ModuleType("slicer.i18n")
    slicers.tr = lambda text: text.upper()
    monkeypatch.setitem(sys.modules, "slicer.i18n", slicers)
    if "slicer" not in sys.modules:
        monkeypatch.setitem(sys.modules, "slicer", types.ModuleType("slicer"))
    try:
        assert importlib.reload(i18n)._ is slicers.tr
    finally:
        monkeypatch.undo()
        importlib.reload(i18n)
    assert i18n._("Slice {number}").format(number=3) == "Slice 3"
