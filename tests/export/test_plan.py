"""What will be written, and what is refused before JAX is loaded."""

import pytest

from sr2_jax import errors, paths
from sr2_jax.export import command_line, plan
from tests import tiny_predictor


@pytest.fixture
def run(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return tiny_predictor.write(tmp_path / "run")


@pytest.fixture
def installed(monkeypatch):
  """The packages that are there; the test changes them."""
  found = {"jax2onnx", "onnx", "onnxruntime", "flatbuffers"}
  monkeypatch.setattr(
    plan.importlib.util, "find_spec", lambda name: name in found or None
  )
  return found


def prepare(text):
  return plan.prepare(command_line.parse(text.split()))


def refusal(text):
  with pytest.raises(errors.UserError) as raised:
    prepare(text)
  assert len(str(raised.value).splitlines()) <= 2
  return str(raised.value)


@pytest.mark.usefixtures("run", "installed")
def test_a_file_of_each_form_and_seed():
  planned = prepare("run --out=out --seeds=0,2")
  names = [[path.name for path in target.paths] for target in planned.targets]
  assert names == [
    [
      f"sr2_fsrcnn_x2_seed_{seed}.{end}"
      for end in (
        "safetensors", "onnx", "stablehlo", "safetensors.sha256", "json",
      )
    ]
    for seed in (0, 2)
  ]  # fmt: skip
  [target] = prepare(
    "run --to=onnx --seeds=first --dtype=float16 --out=out"
  ).targets
  assert [str(path) for path in target.paths] == [
    "out/sr2_fsrcnn_x2_seed_0_float16.onnx",
    "out/sr2_fsrcnn_x2_seed_0_float16.json",
  ]


@pytest.mark.parametrize(
  ("form", "package"),
  [
    ("onnx", "jax2onnx"),
    ("onnx", "onnxruntime"),
    ("stablehlo", "flatbuffers"),
  ],
)
@pytest.mark.usefixtures("run")
def test_a_missing_package_is_named_with_its_extra(installed, form, package):
  installed.remove(package)
  text = refusal(f"run --to={form}")
  assert text.startswith(f"--to={form} needs {package}, which is not")
  assert 'extra `export` brings it: pip install ".[export]"' in text
  prepare("run --to=safetensors")


@pytest.mark.usefixtures("installed")
def test_a_transposed_convolution_has_no_onnx(run):
  origin = tiny_predictor.origin()
  config = {**origin.config}
  config["model"] = {**config["model"], "transposed_convolution": True}
  tiny_predictor.write(run, config=config)
  assert refusal("run").startswith("--to=onnx: a transposed convolution")
  prepare("run --to=safetensors,stablehlo")


@pytest.mark.usefixtures("installed")
def test_srmd_needs_to_be_told(run):
  config = {**tiny_predictor.origin().config}
  config["model"] = {**config["model"], "trunk": "srmd", "wiring": "none"}
  tiny_predictor.write(run, config=config)
  assert "SRMD has to be told" in refusal("run")


@pytest.mark.usefixtures("installed")
def test_what_exists_is_replaced_by_force_only(run):
  out = run.parent / "out"
  out.mkdir()
  for seed in (0, 1):
    for end in ("onnx", "json"):
      (out / f"sr2_fsrcnn_x2_seed_{seed}.{end}").touch()
  assert refusal("run --out=out").startswith(
    "These exist: out/sr2_fsrcnn_x2_seed_0.onnx, "
    "out/sr2_fsrcnn_x2_seed_0.json, out/sr2_fsrcnn_x2_seed_1.onnx and 1 more.\n"
  )
  prepare("run --out=out --seeds=2")
  prepare("run --out=out --force")


@pytest.mark.usefixtures("installed")
def test_where_nothing_can_be_written(run, monkeypatch):
  (run.parent / "file").touch()
  assert refusal("run --out=file") == "--out=file is a file, not a folder."
  assert "nothing can be written to" in refusal("run --out=file/below")
  # Root may write everywhere, so the folder is only said to be read-only.
  monkeypatch.setattr(paths.os, "access", lambda path, mode: False)
  assert refusal("run --out=a/b").startswith("--out=a/b: nothing can be")


@pytest.mark.usefixtures("run", "installed")
def test_weights_are_found_as_predict_finds_them():
  assert "there is no such file or folder" in refusal("nowhere")
  assert "no seed 9; it has 0, 1, 2" in refusal("run --seeds=9")
  assert "--method=wdsr" in refusal("run --method=wdsr")
