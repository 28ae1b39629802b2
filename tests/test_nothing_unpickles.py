"""No code of the project turns bytes from outside into objects of any class, or into code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
# What a module of these has that reads nothing: the exception that torch.load(weights_only=True) raises.
HARMLESS = {"UnpicklingError"}
# Called by these names alone, so that the options are looked at where they are given.
TO_BE_CALLED_IN_FULL = {"torch": {"load"}, "yaml": {"load", "load_all", "unsafe_load", "full_load"}}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}
FILES = sorted(path for folder in ("src", "launch", "scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def offences(text):
    """(line, what) for everything in the source `text` that could run what it reads."""
    found = []
    tree = ast.parse(text)
    safe = SAFE_LOADERS | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} <= SAFE_LOADERS and node.bases
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            package, names = (node.module or "").split(".")[0], {alias.name for alias in node.names}
            if package in MODULES and not names <= HARMLESS or names & TO_BE_CALLED_IN_FULL.get(package, set()):
                found.append((node.lineno, node.module))
        elif isinstance(node, ast.Call) and (what := _call(node, safe)):
            found.append((node.lineno, what))
    return found


def _call(node, safe_loaders):
    name = ast.unparse(node.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in ("eval", "exec", "compile", "builtins.eval", "builtins.exec"):
        return name
    if options.get("allow_pickle", "False") != "False":
        return "allow_pickle"
    if name == "torch.load" and options.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    if name in ("yaml.load", "yaml.load_all"):
        loader = options.get("Loader") or ast.unparse(node.args[1] if node.args[1:] else ast.Constant(None))
        return "" if loader in safe_loaders else f"{name} by {loader}"
    if name in ("yaml.unsafe_load", "yaml.full_load"):
        return name
    if options.get("trust_remote_code", "False") != "False":
        return "trust_remote_code"
    return ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_reads_data_only(path):
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "from pickle import UnpicklingError, loads",
        "from pickle import *",
        "from torch import load",
        "from yaml import unsafe_load",
        "yaml.load(text)",
        "yaml.load(text, yaml.Loader)",
        "class Own(yaml.Loader): ...\nyaml.load(text, Own)",
        "class Own(yaml.SafeLoader, yaml.FullLoader): ...\nyaml.load(text, Own)",
        "class Own: ...\nyaml.load(text, Own)",
        "eval(text)",
        "exec(text)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_what_would_unpickle_is_noticed(text):
    assert len(offences(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "yaml.safe_load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "class Own(yaml.SafeLoader): ...\nyaml.load(text, Own)",
        "from pickle import UnpicklingError",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "model.eval()",
    ],
)
def test_what_reads_data_is_let_through(text):
    assert offences(text) == []


def test_there_are_files_to_look_at():
    assert len(FILES) > 100
