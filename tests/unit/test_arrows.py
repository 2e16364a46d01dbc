"""Imports point down only: a room may import rooms below it, and itself."""

import ast
from pathlib import Path

import holdfast

SOURCE = Path(holdfast.__file__).parent
LEVELS = [
    {"core"},
    {"domains"},
    {"models"},
    {"train"},
    {"attacks", "defences", "measures"},
    {"organism"},
    {"engine"},
    {"price"},
    {"report"},
    {"verbs"},
    {"cli", "testing"},  # nothing imports what plug-ins are tested with
]
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
METHOD_ROOMS = {"attacks", "defences", "measures"}
ABOVE_THEIR_ROOM = {("price", "study"), ("price", "soundness")}
BELOW_THEIR_ROOM = {("price", "statistics")}
"""Rooms within a room: those that its own files never import, and those that import none of them."""


def imports_of(tree: ast.Module) -> list[str]:
    """Every holdfast module that `tree` imports, also inside functions and type checks."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that arrows can be read"
            found.append(node.module)
            found += [f"{node.module}.{a.name}" for a in node.names]
    return [name for name in found if name.split(".")[0] == "holdfast"]


def violations(source: Path) -> list[str]:
    bad = []
    for path in sorted(source.rglob("*.py")):
        here = path.relative_to(source).with_suffix("").parts
        if here in {("__init__",), ("__main__",)}:
            continue  # the package's front doors
        room = here[0]
        for name in imports_of(ast.parse(path.read_text())):
            parts = name.split(".")
            if len(parts) < 2 or parts[1] not in LEVEL:
                continue
            other = parts[1]
            sibling_method = room == other and room in METHOD_ROOMS and len(parts) > 2
            if (room != other and LEVEL[other] >= LEVEL[room]) or sibling_method:
                bad.append(f"{'/'.join(here)} imports {name}")
    return bad


def inner_violations(source: Path) -> list[str]:
    bad = []
    for path in sorted(source.rglob("*.py")):
        here = path.relative_to(source).with_suffix("").parts
        for name in imports_of(ast.parse(path.read_text())):
            parts = tuple(name.split(".")[1:])
            inner = parts[:2]
            if not parts or here[0] != parts[0] or here[:2] == inner:
                continue
            if inner in ABOVE_THEIR_ROOM or here[:2] in BELOW_THEIR_ROOM:
                bad.append(f"{'/'.join(here)} imports {name}")
    return bad


def test_every_room_has_a_level() -> None:
    rooms = {p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()}
    modules = {p.stem for p in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert rooms | modules == set(LEVEL)


def test_arrows_point_down() -> None:
    assert violations(SOURCE) == []


def test_arrows_point_down_within_a_room() -> None:
    assert inner_violations(SOURCE) == []
    assert all((SOURCE.joinpath(*inner)).is_dir() for inner in ABOVE_THEIR_ROOM | BELOW_THEIR_ROOM)


def test_the_reader_of_inner_arrows_sees_both_kinds(tmp_path: Path) -> None:
    for folder in ("study", "statistics"):
        (tmp_path / "price" / folder).mkdir(parents=True)
    (tmp_path / "price" / "cost.py").write_text("import holdfast.price.study.arms\n")
    (tmp_path / "price" / "statistics" / "s.py").write_text("import holdfast.price.cost\n")
    assert len(inner_violations(tmp_path)) == 2


def test_the_reader_of_arrows_sees_upward_and_sideways_ones(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "up.py").write_text("def f():\n    from holdfast.models import Handle\n")
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "a.py").write_text("from holdfast.attacks.b import B\n")
    (tmp_path / "attacks" / "m.py").write_text("import holdfast.measures.refusal\n")
    seen = violations(tmp_path)
    assert len({line.split(" ")[0] for line in seen}) == 3
