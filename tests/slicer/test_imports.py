"""The Python files of one folder do not import each other in a circle."""

import ast
import pathlib

import pytest

MODULE = pathlib.Path(__file__).resolve().parents[2] / "slicer-module"
PACKAGES = ("SegmentEditorProMem/SegmentEditorProMemLib", "viewer/promem_browser", "python/promem/worker")


def imports(folder):
    """Module -> modules of the same folder that it imports."""
    names = {path.stem for path in folder.glob("*.py")}
    found = {}
    for path in folder.glob("*.py"):
        found[path.stem] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = node.module or ""
            if node.level == 0 and module.split(".")[0] == folder.name:
                module = module.partition(".")[2]
            elif node.level != 1:
                continue
            imported = [module.split(".")[0]] if module else [alias.name for alias in node.names]
            found[path.stem] |= {name if name in names else "__init__" for name in imported}
    return found


def circle(found):
    """The first circle, as a list of modules; None if there is none."""
    finished = set()

    def visit(name, path):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return None
        for imported in sorted(found.get(name, ())):
            there = visit(imported, [*path, name])
            if there:
                return there
        finished.add(name)
        return None

    return next(filter(None, (visit(name, []) for name in sorted(found))), None)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_no_circular_imports(package):
    found = imports(MODULE / package)
    assert sum(map(len, found.values())) > 5, found
    assert circle(found) is None


def test_planted_circle_is_found(tmp_path):
    package = tmp_path / "planted"
    package.mkdir()
    (package / "first.py").write_text("from . import second\n")
    (package / "second.py").write_text("def late():\n    from planted.third import value\n")
    (package / "third.py").write_text("from .first import value\n")
    assert circle(imports(package)) == ["first", "second", "third", "first"]
