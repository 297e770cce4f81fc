"""The layers of the design: a module imports only from its own package or from a lower level, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import magistrate

SOURCE = Path(magistrate.__file__).parent
LEVELS = {
    "errors": 0,
    "types": 0,
    "digest": 0,
    "home": 0,
    "policy": 1,
    "case": 2,
    "row": 2,
    "dialects": 3,
    "backends": 3,
    "encoders": 3,
    "classifiers": 4,
    "config": 5,
    "store": 5,
    "models": 5,
    "run": 6,
    "evaluate": 7,
    "train": 8,
    "cli": 9,
    "__init__": 10,
    "__main__": 10,
}


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, *, only_top: bool) -> set[str]:
    """Modules of magistrate that a file imports, apart from those for type checkers only."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if only_top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "magistrate":
            module = (node.module or "").partition(".")[2]
            known = modules()
            found |= {
                f"{module}.{a.name}" if f"{module}.{a.name}" in known else module or "__init__" for a in node.names
            }
        if isinstance(node, ast.Import):
            found |= {a.name.partition(".")[2] for a in node.names if a.name.startswith("magistrate.")}
        waiting.extend(ast.iter_child_nodes(node))
    return found


def test_every_module_has_a_level() -> None:
    assert {name.split(".")[0] for name in modules()} <= set(LEVELS)


def test_modules_import_only_from_lower_levels_or_their_own_package() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, path in modules().items()
        for other in sorted(imports(path, only_top=False))
        if name.split(".")[0] != other.split(".")[0] and LEVELS[other.split(".")[0]] >= LEVELS[name.split(".")[0]]
    ]
    assert wrong == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: imports(path, only_top=True) for name, path in modules().items()}
    finished: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in finished:
            for other in sorted(graph.get(name, ())):
                visit(other, (*above, name))
            finished.add(name)

    for name in graph:
        visit(name, ())
