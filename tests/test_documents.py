"""What the documents point at is there: links, paths, modules and names in the code, and the arrows of the picture."""

import ast
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from clwm_bringup.graph import StackOptions, build_graph

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page.name: page.read_text() for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
FOLDERS = "src|config|tests|docs|launch|models|scripts|benchmarks|docker"
every_page = pytest.mark.parametrize("name", PAGES)


def place(name):
    """Folder from which the links of a page count."""
    return ROOT if name == "README.md" else ROOT / "docs"


def prose(name):
    return re.sub(r"^```.*?^```", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)


def references(name):
    """{label: target} of the links that are written below the text."""
    return dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", PAGES[name], re.MULTILINE))


def anchors(text):
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(name):
    targets = [*re.findall(r"\]\(([^)\s]+)\)", prose(name)), *references(name).values()]
    for target in targets:
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        found = place(name) / path if path else place(name) / name
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text()), target


@every_page
def test_every_link_written_below_is_used_and_every_label_is_written(name):
    labels = re.findall(r"(?<!\])\[([a-z][^\]\[]*)\](?![(\[:])|\]\[([^\]]+)\]", re.sub(r"`[^`]*`", "", prose(name)))
    if written := references(name).keys():
        assert {inline or full for inline, full in labels} == set(written)


@every_page
def test_every_path_that_is_named_exists(name):
    for path in re.findall(rf"`((?:{FOLDERS})/[^`\s<>*{{]*)`", prose(name)):
        file, _, test = path.partition("::")
        assert (ROOT / file).exists(), path
        assert not test or f"def {test}(" in (ROOT / file).read_text(), path


def test_every_new_name_of_a_module_is_right():
    rows = re.findall(r"^\| `([\w/]+\.py)` \| `([\w/]+\.py)` \|$", PAGES["upgrading.md"], re.MULTILINE)
    assert len(rows) > 150
    assert [new for _, new in rows if not (ROOT / "src" / new.partition("/")[0] / new).is_file()] == []


def test_every_module_that_is_run_by_name_exists():
    """In documents and sources; the left column of upgrading.md names those that were."""
    texts = [re.sub(r"^\| `[^`]*`", "", text, flags=re.MULTILINE) for text in PAGES.values()]
    texts += [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    modules = {module for text in texts for module in re.findall(r"python -m (clwm_\w+(?:\.\w+)+)", text)}
    assert len(modules) > 8
    for module in modules:
        path = module.replace(".", "/")
        assert (ROOT / "src" / path.partition("/")[0] / path).with_suffix(".py").is_file(), module


def test_the_command_for_a_machine_without_ros_names_all_packages_that_it_needs():
    (path, module) = re.search(r"^PYTHONPATH=(\S+) python -m (\S+)", PAGES["benchmarks.md"], re.MULTILINE).groups()
    code = (
        f"import sys, importlib; sys.modules.update(rclpy=None); importlib.import_module({module!r})\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules if name.startswith('clwm_')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == sorted(folder.removeprefix("src/") for folder in path.split(":")), done.stderr[-500:]


@pytest.mark.parametrize("name", ["architecture.md", "paper.md"])
def test_every_class_and_function_beside_a_link_is_in_the_file(name):
    """`[label], `Name`` and `[text][label], `Name`, `other``: defined, or called, in the file of the label."""
    where = references(name)
    cells = re.findall(r"\[([^\]\[]+)\],\s((?:`[\w.]+`(?:,\s|\sand\s)?)+)", PAGES[name])
    assert len(cells) > 20
    for label, names in cells:
        known = identifiers(place(name) / where[label])
        for symbol in re.findall(r"`([\w.]+)`", names):
            assert set(symbol.split(".")) <= known, f"{symbol} is not in {where[label]}"


def identifiers(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        found.add(getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "attr", None))
    return found


def test_the_arrows_of_the_picture_are_those_of_the_imports():
    """Whatever a package imports can be reached from it along arrows, and each arrow is an import."""
    picture = PAGES["architecture.md"].partition("```mermaid")[2].partition("```")[0]
    arrows = set(re.findall(r"^\s*(\w+)(?:\[.*?\])? --> (\w+)", picture, re.MULTILINE))
    imports = {pair for pair in package_imports() if pair[0] != pair[1]}
    reached = set(arrows)
    while more := {(a, d) for a, b in reached for c, d in reached if b == c} - reached:
        reached |= more
    assert imports - reached == set()
    assert arrows - imports == set()


def package_imports():
    for path in (ROOT / "src").glob("clwm_*/clwm_*/**/*.py"):
        package = path.relative_to(ROOT / "src").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from ((short(package), short(name)) for name in names if name.startswith("clwm_"))


def short(module):
    return module.partition(".")[0].removeprefix("clwm_").removeprefix("sai_")


def stacks_started():
    """Options of every `clwm up` in pages and heads of launch files, robots of the reader's own left out."""
    texts = [*PAGES.values(), *(file.read_text() for file in (ROOT / "launch").glob("*.py"))]
    lines = [line for text in texts for line in re.findall(r"^ *\./clwm up\b([^#\n]*)", text, re.MULTILINE)]
    return sorted({line.strip() for line in lines if "my_" not in line})


@pytest.mark.parametrize("line", stacks_started())
def test_every_stack_that_is_to_be_started_can_be_built(line):
    words = shlex.split(line)
    given = {word[2:]: following for word, following in itertools.pairwise([*words, ""]) if word[:2] == "--"}
    options = {name: given[name] for name in ("robot", "model", "task") if name in given}
    rate = float(given.get("rate", 0.0))
    assert build_graph(StackOptions(**options, rate=rate, sim_time="sim-time" in given))
