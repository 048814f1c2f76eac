"""Who may import whom, and what no module does: read from the source, not from a run of it."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "bars_gateway"
LONGEST_MODULE = 600
LONGEST_FUNCTION = 40

GROUND = {"errors", "standard", "permissions", "ownership", "disk", "keyring", "frozen"}
FLOW = GROUND | {
    "model",
    "store",
    "config",
    "log",
    "log_lines",
    "tls",
    "listeners",
    "stopping",
    "libraries",
}
LIBRARIES = {
    "sqlite3": "store.sqlite",
    "aiosqlite": "store.sqlite",
    "psycopg": "store.postgresql",
}
ENGINES = ("store.sqlite", "store.postgresql")
PROCESS = FLOW | {*ENGINES, "engine", "outbound", "inbound", "epr", "upkeep", "status", "console"}

# An area is a module or folder of the package; each may import itself and these.
MAY_IMPORT = {
    "errors": {"frozen"},
    "frozen": set(),
    "log": {"frozen", "log_lines"},
    "log_lines": set(),
    "listeners": {"errors"},
    "stopping": set(),
    "libraries": set(),
    "ownership": {"frozen"},
    "permissions": {"errors", "frozen", "ownership"},
    "disk": {"ownership"},
    "keyring": {"errors", "standard", "frozen"},
    "options": {"errors", "permissions", "config", "standard"},
    "standard": {"errors", "frozen"},
    "tls": {"errors", "frozen"},
    "config": GROUND | {"tls", "model"},
    "model": GROUND,
    "store": GROUND | {"model"},
    "store.sqlite": GROUND | {"model", "store"},
    "store.postgresql": GROUND | {"model", "store"},
    "engine": GROUND
    | set(ENGINES)
    | {"config", "model", "store"},  # by the settings, and at their call
    # The flows: they rest on the ground and meet in the store, and see nothing of its engine.
    "outbound": FLOW,
    "inbound": FLOW,
    "epr": FLOW,
    "upkeep": FLOW,
    "status": FLOW | {"upkeep"},
    "console": FLOW | {"status", "upkeep"},  # what acts is handed in
    "safety": GROUND
    | {"model", "contacts"},  # what is judged and counted: values, and nothing that runs
    "daemon": PROCESS,
    # It runs beside the gateway, and tries what the flows do with their own code.
    "contacts": {"config", "frozen"},
    "onboarding": FLOW | {"store.sqlite", "engine", "outbound", "options", "contacts"},
    # A process of its own, and no part of the gateway: it knows the standard, and of ours only how
    # what is not HTTP is answered.
    "sandbox": GROUND | {"log", "listeners", "demo.messages"},
    "demo.messages": {"standard"},  # systems are named once
    # It looks into the database that two of its gateways share.
    "demo": GROUND | {"log", "sandbox", "config", "demo.messages", "model", "store", "engine"},
    # It plays the sandbox and a gateway, as the demo does, and tells of an installation.
    "evidence": FLOW
    | {"store.sqlite", "engine", "epr", "safety", "sandbox", "demo", "demo.messages"},
    # It plays the other side at somebody else's EPR, and looks at the doors from without.
    "epr_check": GROUND | {"model", "listeners", "epr", "demo", "demo.messages"},
    "cli": PROCESS
    | {"daemon", "onboarding", "options", "safety", "sandbox", "demo", "evidence", "epr_check"},
    "__main__": {"cli"},
}
MAY_READ_THE_CLOCK = {"daemon", "cli", "sandbox", "demo", "demo.messages", "onboarding", "evidence"}
PURE = {"standard": {"orjson"}}  # areas that import nobody else's packages but these


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str  # dotted, without the package
    path: Path
    tree: ast.Module

    @property
    def area(self) -> str:
        """The row of the table that it stands in."""
        return area_of(self.name)

    def at(self, node: ast.AST) -> str:
        """Return where *node* stands, as editors understand it."""
        return f"{self.path.relative_to(PACKAGE.parent)}:{getattr(node, 'lineno', 1)}"


def area_of(name: str) -> str:
    """Return the area of a module: its folder or name, but for three areas within a folder."""
    for engine in ENGINES:
        if name.startswith(engine):
            return engine  # below the seam: an engine, and what repairs what it has
    if name == "onboarding.contacts":
        return "contacts"  # who is asked, and how: words
    if name == "demo.messages":
        return "demo.messages"  # what the demo and the sandbox's counterparty send
    return name.partition(".")[0]


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found.append(Module(name, path, ast.parse(path.read_text("utf-8"))))
    return tuple(module for module in found if module.name)  # the package itself holds a version


def imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield each dotted name that *module* imports, wherever in it."""
    names = {other.name for other in modules()}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            inside = source.removeprefix("bars_gateway").removeprefix(".")
            for alias in node.names:
                full = f"{inside}.{alias.name}".removeprefix(".")
                deeper = source.startswith("bars_gateway") and full in names
                yield node, f"bars_gateway.{full}" if deeper else source


def calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def task_groups(module: Module) -> set[str]:
    """Return the names under which *module* knows a TaskGroup: bound by `with`, or annotated."""
    names = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.withitem) and "TaskGroup" in ast.unparse(node.context_expr):
            names.add(ast.unparse(node.optional_vars) if node.optional_vars else "")
        elif isinstance(node, ast.arg | ast.AnnAssign) and "TaskGroup" in _annotation(node):
            names.add(node.arg if isinstance(node, ast.arg) else ast.unparse(node.target))
    return names


def makes_a_task(call: ast.Call) -> bool:
    return ast.unparse(call.func).rpartition(".")[2] in {"create_task", "ensure_future", "gather"}


def _annotation(node: ast.arg | ast.AnnAssign) -> str:
    return ast.unparse(node.annotation) if node.annotation else ""


def test_every_area_stands_in_the_table():
    """A new area says what it may import before it imports anything."""
    assert set() == {module.area for module in modules()} - MAY_IMPORT.keys()


def test_flows_rest_on_the_ground_and_never_on_each_other():
    """Hand-overs go through the store, so that each of them survives a crash."""
    found = [
        f"{module.at(node)}: {module.area} imports {target}"
        for module in modules()
        for node, target in imports(module)
        if target.startswith("bars_gateway.")
        and (area := area_of(target.removeprefix("bars_gateway."))) != module.area
        and area not in MAY_IMPORT.get(module.area, set())
    ]

    assert [] == found


def test_only_the_engine_knows_of_its_library():
    """Another engine is another room beside it: nothing above the seam would change."""
    found = [
        f"{module.at(node)}: {target}"
        for module in modules()
        for node, target in imports(module)
        if LIBRARIES.get(target.partition(".")[0], module.area) != module.area
    ]

    assert [] == found


def test_the_standard_is_pure():
    """What BaRS says depends on Python and a JSON parser, and can be handed to an assessor."""
    found = [
        f"{module.at(node)}: {target}"
        for module in modules()
        if module.area in PURE
        for node, target in imports(module)
        if (top := target.partition(".")[0]) != "bars_gateway"
        and top not in sys.stdlib_module_names | PURE[module.area]
    ]

    assert [] == found


def test_no_module_has_two_jobs():
    """A module that grows beyond a few screens wants to be two."""
    lengths = {m.at(m.tree): m.path.read_text("utf-8").count("\n") for m in modules()}

    assert {} == {place: lines for place, lines in lengths.items() if lines > LONGEST_MODULE}


def test_no_function_is_longer_than_a_screen():
    """A function is read at one look."""
    found = {
        f"{module.at(node)} {node.name}": lines
        for module in modules()
        for node in functions(module)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    }

    assert {} == found


def raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))


def is_marked(module: Module, handler: ast.ExceptHandler) -> bool:
    """Tell whether the line says that it is where one unit of work ends."""
    line = module.path.read_text("utf-8").splitlines()[handler.lineno - 1]
    return line.strip() == "except Exception as error:  # unit of work"


def test_nothing_swallows_everything():
    """An error that nobody thought of is caught where one unit of work ends, and nowhere else."""
    found = [
        module.at(node)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and not raises_again(node)
        and not is_marked(module, node)
    ]

    assert [] == found


def at_run_time(module: Module) -> set[str]:
    """Return the modules of ours that *module* imports, wherever, but for annotations alone."""
    only_typed = {
        node
        for guard in ast.walk(module.tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.unparse(guard.test)
        for node in ast.walk(guard)
    }
    return {
        target.removeprefix("bars_gateway.")
        for node, target in imports(module)
        if target.startswith("bars_gateway.") and node not in only_typed
    }


def test_no_module_imports_one_that_imports_it() -> None:
    """Not by way of others either, and not late in a function: each is read after those below."""
    left = {module.name: at_run_time(module) - {module.name} for module in modules()}
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]

    assert {} == left


def test_a_class_name_stands_for_one_thing() -> None:
    """Whoever reads a name, in a trace or a signature, knows which class it is."""
    places: dict[str, list[str]] = {}
    for module in modules():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module.at(node))

    assert {} == {name: where for name, where in places.items() if len(where) > 1}


def test_tasks_live_in_task_groups():
    """A task outside of a group can die without anybody noticing."""
    found = [
        f"{module.at(call)}: {ast.unparse(call.func)}"
        for module in modules()
        for call in calls(module)
        if makes_a_task(call)
        and ast.unparse(call.func).rpartition(".")[0] not in task_groups(module)
    ]

    assert [] == found


def test_time_is_an_argument():
    """Only the outermost layer reads the clock; everything else is told, and so can be tested."""
    clocks = {"datetime.now", "datetime.utcnow", "date.today", "time.time"}
    found = [
        f"{module.at(call)}: {ast.unparse(call.func)}"
        for module in modules()
        if module.area not in MAY_READ_THE_CLOCK
        for call in calls(module)
        if ast.unparse(call.func).removeprefix("datetime.datetime.") in clocks
        or ast.unparse(call.func) in {f"datetime.{clock}" for clock in clocks}
    ]

    assert [] == found


def test_every_module_says_what_it_is_for():
    """The docstring is the first thing that somebody reads at three in the morning."""
    assert [] == [
        module.at(module.tree) for module in modules() if not ast.get_docstring(module.tree)
    ]
