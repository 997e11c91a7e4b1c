"""The lines that hold the design: who imports whom, what no module does, and that everything public is documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import utad_monai
from utad_monai import transforms
from utad_monai.earlier_names import EARLIER_NAMES

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted(path for package in ("utad_monai", "transforms") for path in (ROOT / package).rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in LIBRARY]
LAYERS = (
    ("earlier_names", "errors", "keys"),
    ("runtime", "transforms"),
    ("data", "metrics"),
    ("phantom", "networks"),
    ("losses", "models"),
    ("contrast", "bundle"),
    ("inferers",),
    ("engines",),
    ("handlers",),
    ("apps",),
    ("translator", "__main__"),
)
"""What lies directly under `utad_monai`, from the ground up; nothing imports upward (docs/design.md)."""
LAYER = {name: height for height, names in enumerate(LAYERS) for name in names}
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

every_module = pytest.mark.parametrize("path", LIBRARY, ids=IDS)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of every imported module, and of every name imported from one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls_of(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def public_definitions(node: Definition, name: str) -> Iterator[tuple[str, Definition]]:
    """Yield a module and its public classes, functions and methods; what is inside a function is private."""
    yield name, node
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and child.name[0] != "_":
                yield from public_definitions(child, f"{name}.{child.name}")


def test_library_was_found() -> None:
    assert len(LIBRARY) > 40


def test_packages_are_those_of_this_checkout() -> None:
    assert Path(str(transforms.__file__)).resolve() == ROOT / "transforms" / "__init__.py"
    assert Path(utad_monai.__file__).resolve() == ROOT / "utad_monai" / "__init__.py"


@cache
def module_of(path: Path) -> str:
    """Return the dotted name of a module; `transforms` is installed inside the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = parts if parts[0] == "utad_monai" else ("utad_monai", *parts)
    return ".".join(inside[:-1] if inside[-1] == "__init__" else inside)


@cache
def graph() -> dict[str, set[str]]:
    """Return which modules of the project each module imports, also inside functions."""
    modules = {module_of(path) for path in LIBRARY}
    return {
        module_of(path): {name for name in imports_of(tree_of(path)) if name in modules - {module_of(path)}}
        for path in LIBRARY
    }


def room(module: str, depth: int) -> str:
    """Return the sub-package that a module lies in, `depth` levels below `utad_monai`."""
    return ".".join(module.split(".")[1 : 1 + depth])


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Return what is left when all that imports nothing that is left is taken away, again and again."""
    while free := {name for name, others in edges.items() if not others & set(edges)}:
        edges = {name: others for name, others in edges.items() if name not in free}
    return sorted(edges)


def test_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_no_module_imports_itself_through_others() -> None:
    assert circle({name: others - {"utad_monai"} for name, others in graph().items() if name != "utad_monai"}) == []


@pytest.mark.parametrize("package", ["", "apps", "handlers", "inferers", "models"])
def test_no_sub_package_imports_itself_through_others(package: str) -> None:
    """A package's own face (`__init__`) belongs to the package that it lies in."""
    depth = 2 if package else 1
    edges: dict[str, set[str]] = {}
    for name, others in graph().items():
        if name != "utad_monai" and room(name, depth).startswith(package):
            edges.setdefault(room(name, depth), set()).update(room(other, depth) for other in others)
    edges = {name: {other for other in others - {name, ""} if other != package} for name, others in edges.items()}
    assert circle({name: others for name, others in edges.items() if name != package}) == []


@every_module
def test_nothing_imports_upward(path: Path) -> None:
    module = module_of(path)
    if module == "utad_monai":
        return
    height = LAYER[room(module, 1)]
    upward = [other for other in graph()[module] if other != "utad_monai" and LAYER[room(other, 1)] > height]
    assert upward == []


def test_top_level_is_small() -> None:
    inside = [path for path in (ROOT / "utad_monai").iterdir() if path.name != "__pycache__"]
    assert len([path for path in inside if path.suffix == ".py"]) <= 6
    assert len([path for path in inside if path.is_dir()]) <= 14


@every_module
def test_dependencies_point_one_way(path: Path) -> None:
    imported = set(imports_of(tree_of(path)))
    assert not {name for name in imported if name.split(".")[0] in ("bundles", "tests", "benchmarks", "docs")}
    assert not {name for name in imported if name.split(".")[0] == "transforms"}, "it is `utad_monai.transforms`"
    if path.is_relative_to(ROOT / "transforms"):
        own = {name for name in imported if name.startswith("utad_monai.") and name != "utad_monai.transforms"}
        assert all(name.split(".")[1] in ("keys", "errors", "transforms") for name in own)


def test_transforms_really_use_the_keys() -> None:
    assert any("utad_monai.keys" in set(imports_of(tree_of(path))) for path in (ROOT / "transforms").glob("*.py"))


@every_module
def test_module_is_named_after_an_idea(path: Path) -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert not vague & {part.removesuffix(".py").strip("_") for part in path.relative_to(ROOT).parts}


@every_module
def test_weights_are_only_read_as_data(path: Path) -> None:
    for name, call in calls_of(tree_of(path)):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("weights_only", "True") == "True", ast.unparse(call)
        assert given.get("allow_pickle", "False") == "False", ast.unparse(call)
        assert name not in ("pickle.load", "pickle.loads", "pickle.Unpickler", "eval", "exec"), ast.unparse(call)
        if name == "torch.load":
            assert given.get("weights_only") == "True", ast.unparse(call)
    assert not {"pickle.load", "pickle.loads", "torch.load"} & set(imports_of(tree_of(path)))


@every_module
def test_nothing_is_printed(path: Path) -> None:
    assert "print" not in {name for name, _ in calls_of(tree_of(path))}


@every_module
def test_everything_public_is_documented(path: Path) -> None:
    definitions = list(public_definitions(tree_of(path), path.stem))
    assert [name for name, node in definitions if not ast.get_docstring(node)] == []


@every_module
def test_every_function_is_typed(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert bare == [], node.name
            assert node.returns is not None, node.name


def positional(definition: ast.ClassDef) -> list[str]:
    """Return what a constructor takes by position: of a data class its fields before `KW_ONLY`."""
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)][1:]
    made = [ast.unparse(one) for one in definition.decorator_list if ast.unparse(one).startswith("dataclass")]
    if not made or "kw_only=True" in made[0]:
        return []
    fields = [node for node in definition.body if isinstance(node, ast.AnnAssign)]
    kinds = [ast.unparse(field.annotation) for field in fields]
    return kinds[: kinds.index("KW_ONLY")] if "KW_ONLY" in kinds else kinds


def is_error(definition: ast.ClassDef) -> bool:
    return definition.name.endswith("Error")


@every_module
def test_public_constructors_take_at_most_two_arguments_by_position(path: Path) -> None:
    """Errors are exempt: path, reason and remedy read as the line that they become."""
    classes = [node for node in tree_of(path).body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    assert {one.name: names for one in classes if not is_error(one) and len(names := positional(one)) > 2} == {}


def test_bundles_hold_no_python() -> None:
    assert list((ROOT / "bundles").rglob("*.py")) == []


def names_used(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module uses, but not those that it imports or lists in `__all__`."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"\w+", node.value)  # of annotations and of addresses


def public_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_" and not node.decorator_list:
            yield node.name
        elif isinstance(node, ast.Assign):
            names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            yield from (name for name in names if name[0] != "_")


def test_every_public_name_is_used_outside_the_tests() -> None:
    """By the library, a bundle, a benchmark or the documentation of the Python interface; commands are decorated."""
    used: set[str] = {name.rpartition(".")[2] for name in EARLIER_NAMES.values()}
    for path in [*LIBRARY, *(ROOT / "benchmarks").glob("*.py")]:
        used.update(names_used(ast.parse(strip_docstrings(path.read_text(encoding="utf-8")))))
    texts = [
        *(ROOT / "bundles").glob("*.json"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "utad_monai").rglob("*.md"),
        ROOT / "README.md",
    ]
    used.update(word for path in texts for word in re.findall(r"\w+", path.read_text(encoding="utf-8")))
    assert {path.name: dead for path in LIBRARY if (dead := sorted(set(public_names(tree_of(path))) - used))} == {}


def strip_docstrings(source: str) -> str:
    return re.sub(r'"""(?:.|\n)*?"""', '""', source)
