"""Arithmetic, files and tables of the benchmarks; no test measures speed."""

import dataclasses
import io
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
  convolutions,
  digits,
  effort,
  evaluation,
  goals,
  ours,
  prepared,
  programs,
  records,
  run,
  sides,
  table,
  worker,
)
from sr2_jax.models import conv_choice, conv_forms, sr2
from sr2_jax.training import optimizer, progress
from tests import child

ROOT = pathlib.Path(run.__file__).parents[1]
MACHINE = {
  "date": "2026-01-31T14:05+00:00",
  "processor": "a processor",
  "cores": 2,
  "load_average": [0.1, 0.2, 0.3],
  "system": "Linux x86_64",
  "python": "3.11.7",
  "packages": {"jax": "0.10.2", "torch": "missing"},
  "git_revision": "0123abc",
}
# Parameters of each network, gray images, at x2 and x4.
NUM_PARAMETERS = {
  "fsrcnn": (63_064, 226_396),
  "wdsr": (321_736, 361_192),
  "sr2_fsrcnn": (3_469_882, 3_633_214),
  "sr2_wdsr": (3_714_658, 3_754_114),
  "sequential_fsrcnn": (3_438_037, 3_601_369),
}


@pytest.fixture(scope="module")
def peers():
  pytest.importorskip("torch", reason="PyTorch is not installed")
  from benchmarks import peers

  return peers


def test_the_table_of_goals_is_complete():
  expected = {
    f"{network}_x{scale}": "≥ 1.0"
    for network in NUM_PARAMETERS
    for scale in (2, 4)
  } | {
    "geometric_mean": "≥ 1.2",
    "inputs": "≤ 5 %",
    "evaluation": "-",
    "evaluation_rate": "≥ 60 %",
    "population": "≥ 1.8",
    "quickstart_cold": "≤ 60 s",
    "quickstart_warm": "≤ 40 s",
    "first_step": "≤ 4 s",
    "memory": "≤ 1.5 GB",
  }
  actual = {name: table.goal(row) for name, row in goals.ROWS.items()}
  assert actual == expected
  assert {row.kind for row in goals.ROWS.values()} == set(run.MEASURE)


def test_quick_leaves_out_what_takes_long():
  quick = goals.select([], quick=True)
  assert set(quick) < set(goals.select([], quick=False)) == set(goals.ROWS)
  assert not {"population", "quickstart_cold"} & set(quick)
  for more, less in zip(effort.FULL, effort.QUICK, strict=True):
    assert more > less


@pytest.mark.parametrize(
  ("patterns", "expected"),
  [
    (["memory", "fsrcnn_x2"], ["fsrcnn_x2", "memory"]),
    (["sr2_*_x2"], ["sr2_fsrcnn_x2", "sr2_wdsr_x2"]),
    (["inputs", "wdsr_x2"], ["wdsr_x2", "inputs"]),
    (["geometric_mean"], [*goals.TRAINING, "geometric_mean"]),
    (["quickstart_warm"], ["quickstart_cold", "quickstart_warm"]),
  ],
)
def test_select(patterns, expected):
  assert goals.select(patterns, quick=False) == expected


def test_quick_selects_few_steps_for_what_needs_some():
  names = goals.select(["inputs"], quick=True)
  assert 1 < len(names) < len(goals.TRAINING)


def test_select_names_an_unknown_row():
  with pytest.raises(ValueError, match='no row is called "memroy"'):
    goals.select(["memroy"], quick=False)


def test_versus_is_the_median_of_the_rounds_ratios():
  # Ours was slow in the second round, and the whole machine in the last.
  measured = records.versus([1.0, 4.0, 2.0], [2.0, 2.0, 4.0], per_second=64)
  assert measured.ratio == 2.0
  assert (measured.ours, measured.theirs) == (32.0, 32.0)
  measured = records.versus([1.0], [3.0])
  assert (measured.ours, measured.theirs, measured.ratio) == (1.0, 3.0, 3.0)


def test_geometric_mean():
  ratios = [records.Measurement(ratio=ratio) for ratio in (0.5, 8.0)]
  assert records.geometric_mean(ratios) == pytest.approx(2.0)
  failed = records.Measurement(error="no")
  assert records.geometric_mean([*ratios, failed]) == pytest.approx(2.0)
  assert records.geometric_mean([failed]) is None


def _step(ours, theirs, inputs):
  compared = records.versus([ours], [theirs], per_second=64)
  samples = {**compared.samples, "inputs_s": [inputs]}
  return dataclasses.replace(compared, samples=samples, note="as trained")


STEPS = {"fsrcnn_x4": _step(0.1, 0.2, 0.004), "wdsr_x2": _step(1, 0.5, 0.01)}


def test_rows_computed_from_training_steps():
  failed = {**STEPS, "wdsr_x4": records.Measurement(error="no")}
  mean = run.training.geometric_mean(failed)
  assert mean.ratio == pytest.approx(1.0)
  assert mean.note == "over 2 of the 10 networks"
  inputs = run.training.inputs(failed)
  assert inputs.ours == pytest.approx(4.0)
  assert inputs.note.endswith("FSRCNN x4 4.0 %, WDSR x2 1.0 %")
  with pytest.raises(ValueError, match="no training step"):
    run.training.inputs({})


def test_record_survives_its_file(tmp_path):
  record = records.Record(MACHINE, True, STEPS)
  path = tmp_path / "results" / "record.json"
  record.write(path)
  assert records.read(path) == record


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": {"a": {"b": 1}}}'])
def test_a_file_of_another_kind_is_named(tmp_path, capsys, text):
  path = tmp_path / "record.json"
  path.write_text(text)
  assert run.main(["--show", str(path)]) == 2
  assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
  ("value", "unit", "expected"),
  [
    (2734.6, "img/s", "2,735 img/s"),
    (4.26, "s", "4.3 s"),
    (1234.5, "s", "1,234 s"),
    (1.234, "GB", "1.23 GB"),
    (3.14, "%", "3.1 %"),
    (0.996, "x", "1.00"),
    (None, "s", "-"),
  ],
)
def test_number(value, unit, expected):
  assert table.number(value, unit) == expected


@pytest.mark.parametrize(
  ("name", "measurement", "expected"),
  [
    ("fsrcnn_x2", {"ratio": 1.0}, "met"),
    ("fsrcnn_x2", {"ratio": 0.99}, "missed"),
    ("memory", {"ours": 1.5}, "met"),
    ("memory", {"ours": 1.51}, "missed"),
    ("evaluation_rate", {"ours": 60.0}, "met"),
    ("evaluation_rate", {"ours": 59.9}, "missed"),
    ("evaluation", {"ours": 9.0, "ratio": 2.0}, "-"),
    ("memory", {"error": "no"}, "failed"),
    ("memory", {}, "not measured"),
  ],
)
def test_verdict(name, measurement, expected):
  measured = records.Measurement(**measurement)
  assert table.verdict(goals.ROWS[name], measured) == expected
  assert table.verdict(goals.ROWS[name], None) == "not measured"


def test_markdown(tmp_path, capsys):
  failed = records.Measurement(error="ValueError: it broke")
  rows = {
    **STEPS,
    "population": records.Measurement(ours=50.0, theirs=90.0, ratio=1.8),
    "memory": failed,
  }
  path = tmp_path / "record.json"
  records.Record(MACHINE, False, rows).write(path)
  assert table.main([str(path)]) == 0
  text = capsys.readouterr().out
  lines = {
    cells[0]: cells[1:]
    for line in text.splitlines()
    if line.startswith("| ")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
  }
  assert set(lines) == {"what", *(row.what for row in goals.ROWS.values())}
  assert lines["training step, FSRCNN x4"] == [
    "640 img/s", "320 img/s", "2.00", "≥ 1.0", "met",
  ]  # fmt: skip
  assert lines["population of 6 against six solo runs"][:3] == [
    "50.0 s", "90.0 s (solo runs)", "1.80",
  ]  # fmt: skip
  memory = goals.ROWS["memory"].what
  assert lines[memory] == ["-", "-", "-", "≤ 1.5 GB", "failed"]
  assert f"* {memory}: failed: ValueError: it broke" in text
  assert text.count("as trained") == 1
  assert "2 cores of a processor" in text


def test_a_busy_machine_is_named():
  record = records.Record({**MACHINE, "load_average": [2.0, 0, 0]}, False, {})
  assert "BUSY" in table.markdown(record)
  for load in (MACHINE["load_average"], None):
    record = records.Record({**MACHINE, "load_average": load}, False, {})
    assert "BUSY" not in table.markdown(record)


def test_other_rows_continue_after_one_fails(tmp_path, monkeypatch, capsys):
  def fail(*_):
    raise ValueError("it broke,\nbadly")

  fine = records.Measurement(ours=1.0)
  monkeypatch.setitem(run.MEASURE, "first_step", fail)
  monkeypatch.setitem(run.MEASURE, "memory", lambda *_: fine)
  path = tmp_path / "record.json"
  argv = ["--only", "first_step", "memory", "--out", str(path)]
  assert run.main(argv) == 1
  written = records.read(path).rows
  assert written["first_step"].error == "ValueError: it broke, badly"
  assert written["memory"].ours == 1.0
  assert "not measured" in capsys.readouterr().out


def test_the_rate_of_an_evaluation_is_that_of_its_rounds():
  samples = {
    "ours_s": [10.0, 20.0], "product_s": [1.0, 0.5], "product_flop": 2e9,
    "flop_per_image": 8e5, "levels": 8,
  }  # fmt: skip
  measured = {"evaluation": records.Measurement(samples=samples)}
  found = evaluation.rate(measured)
  # 10,000 images: 0.8 of 2 GFLOP/s, and 0.4 of 4.
  assert found.ours == pytest.approx((40 + 10) / 2)
  assert "0.1 MFLOP" in found.note
  with pytest.raises(ValueError, match="was not measured"):
    evaluation.rate({})


def test_operations_are_those_of_the_convolutions():
  """XLA counts no products with the zeros around a map."""
  config = ours.config_of("sr2_fsrcnn", 4)
  model = sr2.SR2("fsrcnn", "parallel", 4, 1)
  low_res = jnp.zeros((1, 7, 7, 1))
  variables = jax.eval_shape(
    lambda: model.init(jax.random.key(0), low_res, train=False)
  )
  jaxpr = jax.make_jaxpr(lambda v: model.apply(v, low_res, train=False))(
    variables
  )
  products = 0
  for equation in jaxpr.eqns:
    if equation.primitive.name == "conv_general_dilated":
      kernel = equation.invars[1].aval.shape  # [h, w, in, out]
      result = equation.outvars[0].aval.shape
      products += math.prod(kernel[:3]) * math.prod(result)
  assert products > 1e6
  found = ours._flop_of_image(config, (28, 28, 1))
  assert 0.6 * 2 * products < found < 1.1 * 2 * products


def test_a_mistyped_row_ends_with_code_2(capsys):
  with pytest.raises(SystemExit) as stopped:
    run.main(["--only", "memroy"])
  assert stopped.value.code == 2
  assert "memroy" in capsys.readouterr().err


class FakeSide:
  """Remembers requests; each piece of work takes one second."""

  def __init__(self, requests):
    self.requests = requests

  def run(self, name, count=1):
    self.requests.append((name, count))
    return float(count)


def test_take_turns_alternates():
  requests = []
  side = FakeSide(requests)
  seconds = sides.take_turns(
    {"a": (side, "step"), "b": (side, "other")}, rounds=2, seconds=3.0
  )
  assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
  turns = [("step", 3), ("other", 3)]
  assert requests[-4:] == turns * 2


def test_worker_answers():
  done = []
  kinds = {"count": lambda case: prepared.Prepared(done.append, case)}
  it = worker.Worker(kinds)
  request = {"do": "prepare", "name": "a", "kind": "count", "case": {"n": 1}}
  assert it.answer(request) == {"n": 1}
  assert it.answer({"do": "run", "name": "a", "count": 3}) >= 0
  assert done == [3]
  it.answer({"do": "clear"})
  with pytest.raises(KeyError):
    it.answer({"do": "run", "name": "a", "count": 3})
  with pytest.raises(ValueError, match="does not know how to fly"):
    it.answer({"do": "fly"})


def test_inputs_of_the_peer_are_means_of_blocks():
  images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
  low_res = digits.low_res(images, 2)
  assert low_res.shape == (2, 2, 2, 1)
  assert low_res[0, 0, 0, 0] == pytest.approx((0 + 1 + 4 + 5) / 4 / 255)


def test_digits_are_repeated_where_there_is_no_mnist(monkeypatch, tmp_path):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  images, labels, source = digits.test(5_002)
  assert images.shape == (5_002, 28, 28, 1)
  np.testing.assert_array_equal(images[5_000:], images[:2])
  np.testing.assert_array_equal(labels[5_000:], labels[:2])
  assert "repeated" in source


@pytest.mark.parametrize("network", NUM_PARAMETERS)
def test_peers_have_our_number_of_parameters(peers, network):
  _, trunk, wiring = goals.NETWORKS[network]
  for scale, expected in zip(
    goals.SCALES, NUM_PARAMETERS[network], strict=True
  ):
    peer = peers.create(trunk, wiring, scale=scale, channels=1)
    assert sum(p.numel() for p in peer.parameters()) == expected


@pytest.mark.parametrize("network", NUM_PARAMETERS)
def test_peers_regularize_the_same_kernels(peers, network):
  assert peers.L2_EXEMPT == sr2.L2_EXEMPT
  _, trunk, wiring = goals.NETWORKS[network]
  model = sr2.SR2(trunk, wiring, 2, 1)
  params = jax.eval_shape(
    lambda key: model.init(
      key, np.zeros((1, 8, 8, 1), np.float32), train=False
    ),
    jax.random.key(0),
  )["params"]
  mask = optimizer.l2_mask(params, scope="authors", exempt=sr2.L2_EXEMPT)
  ours = {
    ".".join(entry.key for entry in path[:-1]): leaf.size
    for (path, is_regularized), leaf in zip(
      jax.tree_util.tree_leaves_with_path(mask),
      jax.tree.leaves(params),
      strict=True,
    )
    if is_regularized
  }
  peer = peers.create(trunk, wiring, scale=2, channels=1)
  theirs = {
    name.removesuffix(".weight"): value.numel()
    for name, value in peers.regularized(peer)
  }
  assert ours == theirs


def test_image_scores_of_equal_images():
  from benchmarks import image_scores

  images = np.random.default_rng(0).uniform(size=(2, 28, 28))
  with np.errstate(divide="ignore"):
    sums = image_scores.sums((images, images))
  np.testing.assert_allclose(sums[:3], 2.0)
  assert math.isinf(sums[3])


def test_help_needs_nothing_heavy():
  program = (
    "import sys; from benchmarks import run, table; print(sorted("
    "{'jax', 'torch', 'numpy', 'skimage'} & set(sys.modules)))"
  )
  done = child.played(program)
  assert done.stdout == "[]\n"


def test_convolutions_of_networks_share_their_rows():
  found = convolutions.rows_of(
    ["fsrcnn_x4", "wdsr_x4", "sr2_wdsr_x4"], image_shape=(28, 28, 1), batch=2
  )
  by_text = {str(case): occurs for case, occurs in found.items()}
  mapping = "of 2 x 7x7 x 12, kernel 3x3 x 12, strides 1x1, padding 1+1 and 1+1"
  # Four layers; the input gradient of each is a convolution like them.
  assert by_text[f"kernel gradient {mapping}"] == {"fsrcnn_x4": 4}
  assert by_text[f"result {mapping}"] == {"fsrcnn_x4": 8}
  block = "of 2 x 7x7 x 32, kernel 3x3 x 32, strides 1x1, padding 1+1 and 1+1"
  # Two in each of 16 mappings, and the second head (authors).
  both = {"wdsr_x4": 33, "sr2_wdsr_x4": 33}
  assert by_text[f"kernel gradient {block}"] == both


def test_a_convolution_is_timed_by_each_form_that_may_be_fast():
  geometry = conv_forms.geometry_of((1, 3, 3, 2), (3, 3, 2, 4), (1, 1), "SAME")
  assert geometry is not None
  case = conv_choice.Case("result", 1, 2, 4, geometry)
  row = convolutions.measure(case, {"fsrcnn_x4": 1}, runs=1)
  assert set(row["seconds"]) == set(conv_forms.FORMS)
  assert (row["case"], row["chosen"]) == (str(case), "xla")
  assert row["better"] in {None, *conv_forms.FORMS} - {"xla"}
  assert json.loads(json.dumps(row)) == row


def of_convolutions(processor, seconds, better):
  return {
    "machine": {
      "cores": 2, "processor": processor, "date": "2026-01-31T14:05",
      "packages": {"jax": "1.2"}, "git_revision": "0123456789",
    },
    "batch": 64,
    "image_shape": [28, 28, 1],
    "rows": [
      {
        "case": "result of a", "chosen": "xla", "better": better,
        "seconds": {n: [cpu / 2, cpu] for n, cpu in seconds.items()},
        "networks": {"fsrcnn_x4": 2, "wdsr_x4": 1},
      },
      {
        "case": "result of b", "chosen": "map", "better": None,
        "seconds": {"map": [0.001, 0.001]},
        "networks": {"wdsr_x4": 3},
      },
    ],
  }  # fmt: skip


def test_records_of_two_processors_beside_each_other(tmp_path, capsys):
  paths = [tmp_path / name for name in ("one.json", "other.json")]
  records = [
    of_convolutions("One", {"xla": 0.003, "rows": 0.002}, "rows"),
    of_convolutions("Other", {"xla": 0.002, "rows": 0.003}, None),
  ]
  for path, found in zip(paths, records, strict=True):
    path.write_text(json.dumps(found))
  assert convolutions.main(["--compare", *map(str, paths)]) == 0
  lines = [line.split() for line in capsys.readouterr().out.splitlines()]
  words = [" ".join(line) for line in lines]
  assert words[0] == (
    "A: 2 cores of One, 2026-01-31, JAX 1.2, 64 images of 28x28x1, "
    "revision 0123456"
  )
  first = words.index("result of a")
  assert words[first + 1 : first + 3] == [
    "A rows 2.00 xla* 3.00 wrong: rows",
    "B xla* 2.00 rows 3.00",
  ]
  # 2 x 3 ms and 2 x 2 ms; 3 + 3 x 1 ms and 2 + 3 x 1 ms.
  assert words[-4:] == [
    "A fsrcnn_x4 6.0 4.0 50.0 %",
    "A wdsr_x4 6.0 5.0 20.0 %",
    "B fsrcnn_x4 4.0 4.0 0.0 %",
    "B wdsr_x4 5.0 5.0 0.0 %",
  ]


@pytest.mark.parametrize("text", ["", "[]", '{"rows": []}'])
def test_another_file_is_no_record_of_convolutions(text, tmp_path, capsys):
  path = tmp_path / "other.json"
  path.write_text(text)
  assert convolutions.main(["--compare", str(path)]) == 2
  assert convolutions.main(["--compare", str(tmp_path / "none")]) == 2
  assert len(capsys.readouterr().err.splitlines()) == 2


def test_an_unknown_network_has_no_convolutions(capsys):
  assert convolutions.main(["--only", "sr3_*"]) == 2
  assert capsys.readouterr().err == "no network is called sr3_*\n"


def test_a_measured_run_keeps_what_python_compiles(monkeypatch, tmp_path):
  """Otherwise a start takes twice as long, and the user's does not."""
  monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "the user's own")
  environment = programs._environment(tmp_path)
  assert "PYTHONDONTWRITEBYTECODE" not in environment
  assert "JAX_COMPILATION_CACHE_DIR" not in environment
  assert environment["SR2_JAX_CACHE_DIR"] == str(tmp_path)


def test_the_first_step_is_seen_in_what_a_run_prints():
  stream = io.StringIO()
  with progress.Progress(
    "pretrain", first_step=0, num_steps=4000, images_per_step=64, stream=stream
  ) as shown:
    before = stream.getvalue()
    shown.update(1, 0.5)
  assert "compiling" in before
  assert not any(map(programs._HAS_TRAINED.match, before.splitlines()))
  lines = stream.getvalue().removeprefix(before).splitlines()
  assert any(map(programs._HAS_TRAINED.match, lines)), lines
