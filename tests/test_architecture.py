"""The house keeps its plan: which room may import which, how light the door, how long things."""

import ast
import importlib
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import amphid

HOUSE = Path(amphid.__file__).parent

MAY_IMPORT = {
    "kernels": set(),
    "wiring": set(),
    "dynamics": {"kernels"},
    "simulation": {"kernels", "wiring", "dynamics"},
    "models": {"kernels", "wiring", "dynamics", "simulation"},
    "measures": {"kernels", "wiring", "dynamics", "simulation", "models"},
    "learning": {"kernels", "wiring", "dynamics", "simulation", "models", "measures"},
    "tasks": {"kernels", "wiring", "dynamics", "simulation", "models", "measures"},
    "studies": {
        "kernels", "wiring", "dynamics", "simulation", "models", "measures", "learning", "tasks",
    },
    "interfaces": {
        "kernels", "wiring", "dynamics", "simulation", "models", "measures", "learning", "tasks",
        "studies",
    },
}  # fmt: skip

HEAVY = {
    "aiohttp", "anywidget", "cma", "fsspec", "h5py", "IPython", "matplotlib", "networkx", "neuroml",
    "llvmlite", "nir", "numba", "onnx", "optuna", "pandas", "PIL", "pyarrow", "pydantic", "pylsl",
    "pynwb", "rich", "scipy", "sklearn", "sqlalchemy", "starlette", "tqdm", "uvicorn",
}  # fmt: skip

LONG_FILES: dict[str, str] = {}
"""Files between 400 and 600 lines, each with its reason."""


def files() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(HOUSE).parts
    return parts[0] if len(parts) > 1 else ""


def rooms_imported(path: Path) -> set[str]:
    """Rooms that a file imports anywhere in it, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    names = {name.split(".")[1] for name in found if name.startswith("amphid.")}
    return names & set(MAY_IMPORT)


def functions(path: Path) -> list[int]:
    """Lengths of all functions of a file, without their docstrings."""
    lengths = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node, clean=False)
            body = node.body[0]
            own = body.end_lineno - body.lineno + 1 if doc is not None else 0
            lengths.append(node.end_lineno - node.lineno + 1 - own)
    return lengths


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(HOUSE)))
def test_arrows_run_to_the_right_only(path):
    own = room(path)
    if own:
        assert own in MAY_IMPORT, f"{own} is a room that the plan does not know"
        assert rooms_imported(path) - {own} <= MAY_IMPORT[own]


def test_every_room_has_its_sentence():
    for name in MAY_IMPORT:
        assert (importlib.import_module(f"amphid.{name}").__doc__ or "").strip(), name


def test_an_import_with_all_its_names_is_light():
    ask = (
        "import sys, torch, numpy; before = set(sys.modules); import amphid; "
        "[getattr(amphid, name) for name in amphid.__all__]; "
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & HEAVY


def test_few_names_stand_at_the_top():
    assert len(amphid.__all__) <= 25
    for name in amphid.__all__:
        assert hasattr(amphid, name)


def test_no_room_for_odds_and_ends():
    forbidden = {"utils", "util", "helpers", "common", "misc"}
    assert not [path for path in files() if forbidden & {path.stem, *path.parts}]


def test_functions_and_files_are_short():
    lengths = [length for path in files() for length in functions(path)]
    assert statistics.median(lengths) <= 9
    for path in files():
        lines = path.read_text(encoding="utf-8").count("\n")
        allowed = 600 if str(path.relative_to(HOUSE)) in LONG_FILES else 400
        assert lines <= allowed, f"{path} has {lines} lines"
