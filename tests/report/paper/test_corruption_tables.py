from sr2_jax import names
from sr2_jax.records import rows as rows_lib
from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import corruption_tables
from sr2_jax.report.paper import measurements as measurements_lib
from tests import result_rows


def _section(folder, rows):
  rows_lib.merge(folder / "results.jsonl", rows)
  measurements = measurements_lib.read(folder, split="test")
  return blocks_lib.markdown(corruption_tables.section(measurements))


def test_corruptions_have_a_row_each(tmp_path):
  rows = [
    result_rows.row(
      method,
      dataset="mnist",
      metric=metric,
      corruption=kind,
      corruption_level=level,
      seed=seed,
      value=value + 0.001 * seed,
      loss_weight=0.11 if method == "sequential_fsrcnn" else 9.0,
    )
    for method, value in (("sr2_fsrcnn", 0.9), ("sequential_fsrcnn", 0.7))
    for metric in ("ssim_uniform7_range2", "accuracy")
    for kind in names.CORRUPTIONS
    for level in (1.0, 2.0)
    for seed in (0, 1, 2)
  ]
  text = _section(tmp_path, rows)
  assert text.count("| JPEG, quality 1 | 0.701 ± 0.002 | 0.901 ± 0.002 |") == 2
  assert text.count("| Speckle") == 4


def test_corruptions_of_svhn_have_tables_by_shared_layers(tmp_path):
  rows = [
    result_rows.row(
      "sr2_wdsr",
      dataset="svhn_cropped",
      shared_layers=shared_layers,
      metric="accuracy",
      corruption="jpeg",
      corruption_level=30.0,
      value=0.1 * shared_layers,
    )
    for shared_layers in (1, 4)
  ]
  text = _section(tmp_path, rows)
  assert "Not run on mnist at x4." in text
  table = text.partition("<summary>Accuracy, SVHN, x4")[2]
  assert "| JPEG, quality 30 | 0.100 | 0.400 |" in table
  assert "Not run: Speckle" in table
