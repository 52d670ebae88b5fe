"""The project's shape, read off its files; docs/design.md explains it."""

import ast
import graphlib
import importlib.util
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Who may import whom: a package, or a module outside packages, and what it may
# use besides itself and GROUND.
GROUND = {
  "buckets",
  "cluster",
  "compilation",
  "cpu_tuning",
  "environment",
  "errors",
  "file_locks",
  "files",
  "json_files",
  "memory",
  "messages",
  "names",
  "parallel",
  "paths",
  "peers",
  "program",
  "rng",
  "streams",
}
MAY_IMPORT = {
  "main": {"train", "agreement", "config"},
  "train": {
    "output",
    "evaluation",
    "training",
    "agreement",
    "records",
    "config",
  },
  "predict": {"prediction", "training"},
  "demo": {
    "prediction",
    "training",
    "records",
    "config",
    "models",
    "imaging",
  },
  "prediction": {
    "training",
    "records",
    "config",
    "models",
    "data",
    "imaging",
  },
  "export": {"prediction", "training", "records", "models", "data"},
  "output": {"evaluation", "training", "report", "records", "config"},
  "evaluation": {"training", "records", "config", "models", "data", "imaging"},
  "training": {
    "agreement",
    "records",
    "config",
    "models",
    "data",
    "imaging",
  },
  "agreement": {"records", "config"},
  "report": {"records", "config"},
  "release": {
    "prediction",
    "evaluation",
    "training",
    "report",
    "records",
    "config",
    "data",
  },
  "records": {"config"},
  "config": {"data"},
  "data": set(),
  "models": {"imaging"},
  "imaging": set(),
  **dict.fromkeys(GROUND, GROUND),
}
# Folders of the project that hold modules, beside the tests.
FOLDERS = ("sr2_jax", "experiments", "launch", "benchmarks")
# What these hold imports nothing heavy, however indirectly.
WITHOUT_JAX = (
  "agreement", "buckets", "config", "errors", "file_locks", "files",
  "json_files", "names", "paths", "peers", "program", "records", "report",
  "streams",
)  # fmt: skip
HEAVY = {
  "chex", "dm_pix", "flax", "jax", "jaxlib", "mlxtend", "optax", "orbax",
  "pix", "tensorflow", "tensorflow_datasets",
}  # fmt: skip
# These need an extra of pyproject.toml.
WITH_EXTRAS = {"sr2_jax.buckets.gcs", "sr2_jax.buckets.s3"}
# Modules and functions that are long, but have only one subject.
LONG_MODULES = {
  "sr2_jax.report.paper.claims",
  "sr2_jax.train",
}
LONG_FUNCTIONS = {
  "sr2_jax.train": {"train_phase"},
  "sr2_jax.report.paper.claims": {
    "_classification",
    "_sequential",
    "_shared_layers",
    "_table1",
  },
  "experiments.default": {"get_config"},
}
# Modules whose behavior shows in another module's tests.
TESTED_ELSEWHERE = {
  "sr2_jax.errors": "sr2_jax.main",
  "sr2_jax.config.accepted": "sr2_jax.config.fields",
  "sr2_jax.data.check": "sr2_jax.training.check",
}
# Commands that stand where users look for them, and start what is elsewhere.
ENTRIES = {"sr2_jax.data.check": {"training"}}


def _modules(folder):
  """Dotted names and trees of a package's modules, without `__init__`."""
  trees = {}
  for path in sorted((ROOT / folder).rglob("*.py")):
    if path.name != "__init__.py":
      name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
      trees[name] = ast.parse(path.read_text())
  return trees


PACKAGE = _modules("sr2_jax")
EXPERIMENTS = _modules("experiments")
LAUNCH = _modules("launch")
# Those who measure the project stand above all of it.
BENCHMARKS = _modules("benchmarks")
EVERYTHING = {**PACKAGE, **EXPERIMENTS, **LAUNCH, **BENCHMARKS}


def _imports(tree, *, top_level_only=False):
  """Dotted names that a module imports, `from a import b` as `a.b`."""
  nodes = tree.body if top_level_only else ast.walk(tree)
  for node in nodes:
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, "imports are absolute"
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own(names):
  """The project's modules among imported names."""
  for name in names:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
      if ".".join(parts[:length]) in EVERYTHING:
        yield ".".join(parts[:length])
        break


def _room(module):
  """The package of a module of sr2_jax, or the module if it has none."""
  return module.split(".")[1]


def test_every_room_has_its_line():
  assert MAY_IMPORT.keys() == {_room(module) for module in PACKAGE}


@pytest.mark.parametrize("module", PACKAGE)
def test_imports_are_allowed(module):
  allowed = MAY_IMPORT[_room(module)] | GROUND | {_room(module)}
  allowed |= ENTRIES.get(module, set())
  for imported in _own(_imports(PACKAGE[module])):
    assert imported in PACKAGE, f"{module} imports {imported}"
    assert _room(imported) in allowed, f"{module} imports {imported}"


@pytest.mark.parametrize("modules", [PACKAGE, EXPERIMENTS, LAUNCH, BENCHMARKS])
def test_imports_have_no_circle(modules):
  graph = {name: set(_own(_imports(tree))) for name, tree in modules.items()}
  assert tuple(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", EVERYTHING)
def test_only_tests_import_benchmarks_and_nothing_imports_tests(module):
  imported = {name.split(".")[0] for name in _imports(EVERYTHING[module])}
  assert "tests" not in imported
  assert module in BENCHMARKS or "benchmarks" not in imported


@pytest.mark.parametrize("module", EVERYTHING)
def test_what_the_project_imports_of_itself_exists(module):
  for name in _imports(EVERYTHING[module]):
    if name.split(".")[0] in FOLDERS:
      assert list(_own([name])), f"{module} imports {name}, not a module"


LIGHT = [module for module in PACKAGE if _room(module) in WITHOUT_JAX]


# These load JAX within a function, once the command is understood.
COMMANDS = (
  "sr2_jax.main", "sr2_jax.predict", "sr2_jax.demo.__main__",
  "sr2_jax.export.__main__", "sr2_jax.release.__main__",
  "sr2_jax.training.check",
)  # fmt: skip
PLANS = ("sr2_jax.prediction.plan", "sr2_jax.export.plan")
STARTS = [*COMMANDS, *PLANS, *LIGHT, *LAUNCH]


@pytest.mark.parametrize("start", STARTS)
def test_no_jax_however_indirectly(start):
  seen, queue = {start}, [start]
  while queue:
    module = queue.pop()
    names = list(
      _imports(EVERYTHING[module], top_level_only=module in COMMANDS)
    )
    heavy = HEAVY & {name.split(".")[0] for name in names}
    assert not heavy, f"{start} reaches {heavy} by way of {module}"
    queue += set(_own(names)) - seen
    seen |= set(queue)


def _loaded(names, suspects):
  """Which of the suspects these modules of ours load."""
  names = ", ".join(names)
  program = (
    f"import sys, {names}; print(*sorted({suspects!r} & {{*sys.modules}}))"
  )
  done = subprocess.run(
    [sys.executable, "-c", program],
    check=True,
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  return done.stdout.split()


def test_no_jax_in_fact():
  always = [module for module in LIGHT if module not in WITH_EXTRAS]
  assert not _loaded([*COMMANDS, *PLANS, *always], HEAVY)


def test_a_command_answers_before_it_loads_what_takes_seconds():
  suspects = {"matplotlib", "scipy", "tensorboardX", "tqdm"}
  commands = (*COMMANDS, "sr2_jax.report.__main__")
  records = ("sr2_jax.records.rows", "sr2_jax.records.metrics_log")
  assert not _loaded((*commands, *records), suspects)


# These make the images that they train on.
MORE_IMPORTS = {
  "experiments.plates": ("numpy", "PIL"),
  "experiments.faces": ("PIL", "scipy", "skimage"),
}


@pytest.mark.parametrize("module", EXPERIMENTS)
def test_experiments_need_only_ml_collections(module):
  allowed = ("ml_collections", "experiments", *MORE_IMPORTS.get(module, ()))
  for name in _imports(EXPERIMENTS[module]):
    word = name.split(".")[0]
    assert word in allowed or word in sys.stdlib_module_names


@pytest.mark.parametrize("module", EVERYTHING)
def test_only_parallel_names_pmap(module):
  if module == "sr2_jax.parallel":
    return
  tree = EVERYTHING[module]
  named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
  named |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
  named |= {word for name in _imports(tree) for word in name.split(".")}
  assert not {"pmap", "shard_map"} & named


# Modules that read files or delete folders, beside those that know how. They
# read what comes with the package or the system, or what they have verified.
READERS = {
  "json.loads": {
    "sr2_jax.json_files", "sr2_jax.data.mapped_images", "sr2_jax.peers.link",
  },
  "np.load": {
    "sr2_jax.records.npz", "sr2_jax.data.cache", "sr2_jax.data.mapped_images",
  },
  "read_text": {
    "sr2_jax.demo.page", "sr2_jax.memory", "sr2_jax.records.provenance",
    "sr2_jax.report.blocks", "sr2_jax.report.reproduction.__main__",
  },
  "read_bytes": {"sr2_jax.agreement"},
  "rmtree": {
    "sr2_jax.buckets.fetch", "sr2_jax.buckets.snapshot",
    "sr2_jax.training.stored",
  },
}  # fmt: skip


@pytest.mark.parametrize("module", [*PACKAGE, *LAUNCH])
def test_files_of_others_are_read_in_one_place(module):
  """A FIFO hangs a program, and JSON may be of other types, or too deep."""
  named = {
    ast.unparse(node)
    for node in ast.walk(EVERYTHING[module])
    if isinstance(node, ast.Attribute)
  }
  for reader, allowed in READERS.items():
    uses = any(x == reader or x.endswith(f".{reader}") for x in named)
    assert module in allowed or not uses, f"{module} uses {reader}"


@pytest.mark.parametrize(
  "module", [name for name in PACKAGE if ".models." in name]
)
def test_models_read_no_config(module):
  tree = PACKAGE[module]
  imported = {name.split(".")[0] for name in _imports(tree)}
  assert not {"ml_collections", "experiments", "absl"} & imported
  assert not {_room(name) for name in _own(_imports(tree))} & {"config"}
  named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
  named |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
  assert "config" not in named


def _public_functions(tree):
  """Public functions and methods: at the top level or in public classes."""
  for node in tree.body:
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
      yield from _public_functions(node)
    elif isinstance(node, ast.FunctionDef) and (
      not node.name.startswith("_") or node.name in ("__init__", "__call__")
    ):
      yield node


@pytest.mark.parametrize("module", EVERYTHING)
def test_public_functions_are_annotated(module):
  for function in _public_functions(EVERYTHING[module]):
    where = f"{module}.{function.name}"
    assert function.returns is not None, f"{where} has no return annotation"
    arguments = function.args
    for argument in (
      *arguments.posonlyargs,
      *arguments.args,
      *arguments.kwonlyargs,
      *filter(None, (arguments.vararg, arguments.kwarg)),
    ):
      if argument.arg not in ("self", "cls"):
        assert argument.annotation is not None, f"{where}: {argument.arg}"


@pytest.mark.parametrize("module", [*PACKAGE, *LAUNCH])
def test_module_has_a_mirror_test(module):
  module = TESTED_ELSEWHERE.get(module, module)
  *rooms, name = module.removeprefix("sr2_jax.").split(".")
  test = ROOT.joinpath("tests", *rooms, f"test_{name.strip('_')}.py")
  assert test.is_file(), f"{module} has no {test.relative_to(ROOT)}"


@pytest.mark.parametrize("module", EVERYTHING)
def test_modules_and_functions_are_short(module):
  path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
  num_lines = len(path.read_text().splitlines())
  assert num_lines <= 350 or module in LONG_MODULES, f"{num_lines} lines"
  long = {
    node.name
    for node in ast.walk(EVERYTHING[module])
    if isinstance(node, ast.FunctionDef)
    and (node.end_lineno or 0) - node.lineno + 1 > 60
  }
  assert long <= LONG_FUNCTIONS.get(module, set())


def test_packages_are_empty():
  for folder in ("sr2_jax", "experiments", "launch"):
    for path in (ROOT / folder).rglob("__init__.py"):
      assert path.read_text() == "", path


def test_no_module_is_a_drawer():
  for module in EVERYTHING:
    assert module.rpartition(".")[2] not in ("utils", "helpers", "common")


def test_all_modules_are_found():
  # Guards the tests above against an empty list.
  assert importlib.util.find_spec("sr2_jax.main") is not None
  assert {"sr2_jax.main", "sr2_jax.names"} <= set(PACKAGE)
  assert "experiments.default" in EXPERIMENTS
  assert "launch.sweep" in LAUNCH
