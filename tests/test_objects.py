"""Objects are complete when they are made, and one file replaces attributes of others' objects."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "render"
PATCHES = PACKAGE / "kernels" / "patches.py"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PATCHES]
SETTERS = {"setattr", "delattr", "object.__setattr__", "object.__delattr__"}
ASSIGNED = {
    "__main__: sys.path[0]": "the current folder is no place for imports",
    "cli/compose: SourcesRegistry.instance().types['file']": (
        "Hydra registers no second source of files; `own_hydra` puts the first back"
    ),
    "cli/compose: OwnSearchPath.given['given']": "an entry of a dict, of a class in that file",
    "cli/compose: TimelineSource.documents[choice]": "an entry of a dict, of a class in that file",
    "cli/sweep_size: sweeper.split_arguments": "the command's own process; Hydra calls it by name",
    "cli/main: os.environ['HYDRA_FULL_ERROR']": "the command's own process",
    "cli/main: sys.argv": "the command's own process; Hydra reads them there",
    "diffusion/lora_layers: layer.lora_alpha[adapter]": "PEFT has no method for it",
    "models/images: picture.info['transparency']": "Pillow has no method for it",
    "models/token_limits: tokenizer.normalizer": "made there; its class takes none",
    "models/token_limits: tokenizer.pre_tokenizer": "made there; its class takes none",
    "report/streams: sys.stderr": "the command's own process, which has none",
    "report/streams: sys.stdout": "the command's own process, which has none",
}
"""Where an attribute of another object is set all the same, or an entry in one, and why."""


def called(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def targets(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that a statement gives new values, or deletes."""
    if isinstance(node, ast.Assign | ast.Delete):
        yield from node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.NamedExpr):
        yield node.target
    elif isinstance(node, ast.With):
        yield from [item.optional_vars for item in node.items if item.optional_vars]


def single(target: ast.expr) -> Iterator[ast.expr]:
    """The targets in a tuple of them."""
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from single(each)
    else:
        yield target.value if isinstance(target, ast.Starred) else target


def own_names(function: ast.AST) -> set[str]:
    """The names whose attributes a function may set: a method's own object, and one that its
    `__new__` made."""
    if not isinstance(function, ast.FunctionDef):
        return set()
    first = {argument.arg for argument in function.args.args[:1]}
    made = {
        node.targets[0].id
        for node in ast.walk(function)
        if function.name == "__new__"
        and isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
    }
    return first & {"self", "cls"} | made


def is_foreign(target: ast.expr, own: set[str]) -> bool:
    """Whether a target is an attribute of another object, or an entry in one."""
    if isinstance(target, ast.Subscript):
        holder = target.value
        if isinstance(holder, ast.Call):
            return ast.unparse(holder) != "globals()"
        return isinstance(holder, ast.Attribute) and is_foreign(holder, own)
    if not isinstance(target, ast.Attribute):
        return False
    return not (isinstance(target.value, ast.Name) and target.value.id in own)


def assigned(node: ast.AST, own: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    """Attributes of others that are set below a node, as they are written."""
    own = own_names(node) or own
    for target in targets(node):
        yield from [ast.unparse(one) for one in single(target) if is_foreign(one, set(own))]
    for child in ast.iter_child_nodes(node):
        yield from assigned(child, own)


def read(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_no_attribute_of_another_object_is_set():
    """It is handed in when the object is made, or a method sets it; a library's goes through
    `Patches`."""
    found = {f"{called(path)}: {one}" for path in FILES for one in assigned(read(path))}
    assert found == set(ASSIGNED)


def test_attributes_are_set_by_name_in_one_file_alone():
    found = [
        f"{called(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in FILES
        for node in ast.walk(read(path))
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in SETTERS
    ]
    assert found == []
    text = PATCHES.read_text(encoding="utf-8")
    assert all(f"{name}(" in text for name in ("setattr", "delattr"))


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("class A:\n def f(self): self.x = 1", []),
        ("class A:\n def f(self): self.x[0] = 1", []),
        ("class A:\n def f(self, other): other.x = 1", ["other.x"]),
        ("class A:\n def f(self): self.part.x = 1", ["self.part.x"]),
        ("class A:\n def f(self):\n  def g(other): other.x, self.y = 1, 2", ["other.x"]),
        ("def f(self): pass\nnet.layer.forward = g", ["net.layer.forward"]),
        ("def f(a):\n for a.x in b: pass\n del a.y\n a.z += 1", ["a.x", "a.y", "a.z"]),
        ("def f(a):\n with b as a.x: pass\n g(a).d['k'] = 1", ["a.x", "g(a).d['k']"]),
        ("def f(a):\n a['k'] = 1\n vars(a)['k'] = 1", ["vars(a)['k']"]),
    ],
)
def test_an_assignment_is_found(code, wrong):
    assert list(assigned(ast.parse(code))) == wrong
