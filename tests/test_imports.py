"""The house's plan as a test: imports run one way, siblings keep apart, heavy libraries wait until they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edgecomp"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [
    {"errors", "progress", "shipped", "threads"},
    {"portable", "tables"},
    {"form"},
    {"recipe", "artifact", "metrics", "schedule"},
    {"code", "spread"},
    {"target"},
    {"store"},
    {"data"},
    {"students"},
    {"teachers"},
    {"task"},
    {"training"},
    {"lowering"},
    {"runtimes"},
    {"devices"},
    {"measure", "results"},
    {"audit"},
    {"passes"},
    {"plan"},
    {"compiler"},
    {"evaluate"},
    {"proof"},
    {"appraisal"},
    {"cases"},
    {"account"},
    {"bundle"},
    {"roofline"},
    {"report"},
    {"papers"},
    {"bench", "delivery", "embed", "site", "verification"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
APART = {"teachers", "passes", "runtimes", "devices", "embed"}
HEAVY = {
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "ai_edge_litert",
    "transformers",
    "matplotlib",
    "scipy",
    "sklearn",
    "librosa",
    "tensorflow",
}
HEAVY_BY_NATURE = {
    "students/net.py",
    "students/log_mel.py",
    "students/student.py",
    "students/pruning.py",
    "training.py",
    "lowering",
    "teachers/training.py",
    "teachers/residual_net.py",
}
"""Rooms and files that are made of tensors or of a format's own types, and are imported only when they are needed."""


def _room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(tree: ast.AST, file: Path) -> set[str]:
    """Return the full names that a tree imports, relative ones resolved."""
    package = ("edgecomp", *file.relative_to(PACKAGE).parent.parts)
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def _runs_on_import(tree: ast.Module) -> ast.Module:
    """Return a module without the bodies of its functions and of its TYPE_CHECKING blocks."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)

    return Strip().visit(tree)


def _rooms_used(file: Path) -> set[str]:
    names = _imported(ast.parse(file.read_text(encoding="utf-8")), file)
    return {name.split(".")[1] for name in names if name.startswith("edgecomp.")}


def _breaks_of_order(file: Path) -> list[str]:
    room = _room(file)
    if room == "__init__":  # the public names come from everywhere
        return []
    return [
        f"{room} imports {other}"
        for other in sorted(_rooms_used(file) - {room, "__version__"})
        if other not in FLOOR or FLOOR[other] >= FLOOR.get(room, -1)
    ]


@pytest.fixture(params=FILES, ids=lambda f: f.relative_to(PACKAGE).as_posix())
def file(request) -> Path:
    return request.param


def test_every_room_has_its_floor(file):
    assert _room(file) in {*FLOOR, "__init__"}, "a new room needs its place in ROOMS and in the README's map"


def test_imports_run_one_way(file):
    assert _breaks_of_order(file) == []


def _is_kind(file: Path) -> bool:
    """Tell a kind, which has the function that its room asks of every kind, from what kinds share."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    wanted = {"teachers": "load", "devices": "open_device", "embed": "files"}.get(file.parent.name)
    return file.name != "__init__.py" and (
        wanted is None or any(isinstance(node, ast.FunctionDef) and node.name == wanted for node in tree.body)
    )


def test_siblings_never_import_each_other(file):
    room = _room(file)
    if room not in APART or file.parent == PACKAGE:
        return
    kinds = {f"edgecomp.{room}.{other.stem}" for other in file.parent.glob("*.py") if other != file and _is_kind(other)}
    names = _imported(ast.parse(file.read_text(encoding="utf-8")), file)
    assert {name for name in names for kind in kinds if name == kind or name.startswith(kind + ".")} == set()


def test_the_kinds_of_teacher_are_known():
    kinds = {file.stem for file in (PACKAGE / "teachers").glob("*.py") if _is_kind(file)}
    assert kinds >= {"torch", "onnx", "litert", "transformers"}


def test_heavy_libraries_wait_until_they_are_used(file):
    place = file.relative_to(PACKAGE)
    if place.as_posix() in HEAVY_BY_NATURE or place.parts[0] in HEAVY_BY_NATURE:
        return
    tree = _runs_on_import(ast.parse(file.read_text(encoding="utf-8")))
    assert {name.split(".")[0] for name in _imported(tree, file)} & HEAVY == set()


def test_no_exception_outlives_its_file():
    assert all((PACKAGE / place).exists() for place in HEAVY_BY_NATURE)


def test_the_rules_see_a_break(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "passes").mkdir()
    bad = tmp_path / "passes" / "prune.py"
    bad.write_text(
        "from ..plan import plan\nfrom .distil import Distil\nimport torch.nn\n"
        "def f():\n    import edgecomp.cli\n    import onnx\n"
    )
    assert _breaks_of_order(bad) == ["passes imports cli", "passes imports plan"]
    assert "edgecomp.passes.distil.Distil" in _imported(ast.parse(bad.read_text()), bad)
    assert _imported(_runs_on_import(ast.parse(bad.read_text())), bad) & {"torch.nn", "onnx"} == {"torch.nn"}


def _loaded(statement: str) -> set[str]:
    """Return the top names in sys.modules after a statement in a fresh process."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    return {name.split(".")[0] for name in said.split()}


def test_importing_edgecomp_loads_nothing_heavy():
    assert _loaded("import edgecomp") & (HEAVY | {"numpy", "soundfile", "pydantic", "typer"}) == set()


def test_reading_a_recipe_and_a_target_loads_nothing_heavy():
    loaded = _loaded("import edgecomp.recipe, edgecomp.target, edgecomp.store, edgecomp.shipped")
    assert "pydantic" in loaded
    assert loaded & (HEAVY | {"numpy", "soundfile"}) == set()


def test_importing_the_command_line_loads_nothing_heavy():
    assert _loaded("import edgecomp.cli") & HEAVY == set()


def test_a_compile_whose_steps_are_all_kept_needs_no_torch():
    loaded = _loaded(
        "import edgecomp.plan, edgecomp.compiler, edgecomp.delivery\n"
        "from edgecomp.students.families import *\nimport edgecomp.passes as p\n"
        "from importlib import import_module\nfrom pathlib import Path\n"
        "[import_module(f'edgecomp.passes.{f.stem}') for f in Path(p.__file__).parent.glob('*.py') if f.stem != '__init__']"
    )
    assert "numpy" in loaded and "torch" not in loaded
