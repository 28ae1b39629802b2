"""No code of the project turns bytes from outside into objects of any class, or into code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
FILES = sorted(path for folder in ("src", "launch", "scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def offences(text):
    """(line, what) for everything in the source `text` that could run what it reads."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append((node.lineno, node.module))
        elif isinstance(node, ast.Call) and (what := _call(node)):
            found.append((node.lineno, what))
    return found


def _call(node):
    name = ast.unparse(node.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in ("eval", "exec", "compile", "builtins.eval", "builtins.exec"):
        return name
    if options.get("allow_pickle", "False") != "False":
        return "allow_pickle"
    if name == "torch.load" and options.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    if name in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
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
    "text", ["yaml.safe_load(text)", "torch.load(path, weights_only=True)", "np.load(path)", "model.eval()"]
)
def test_what_reads_data_is_let_through(text):
    assert offences(text) == []


def test_there_are_files_to_look_at():
    assert len(FILES) > 100
