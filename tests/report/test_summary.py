"""What a run shows: from invented rows, of a run that was never trained."""

from sr2_jax.records import rows as rows_lib
from sr2_jax.report import summary
from tests import result_rows, tiny_network


def test_curves_are_drawn_and_tables_printed(tmp_path, capsys):
  run = tiny_network.make_run(tmp_path, eval__splits=("test",))
  rows = [
    *result_rows.run(),
    *result_rows.corrupted("sr2_fsrcnn", 0.7, jpeg=(30.0,)),
  ]
  summary.show(run, rows)
  printed = capsys.readouterr().out
  for expected in ("SSIM", "Accuracy", "JPEG, quality", str(tmp_path)):
    assert expected in printed
  picture = run.folder.images / "curves_test.png"
  assert picture.read_bytes().startswith(b"\x89PNG")
  old = picture.read_bytes()
  summary.show(run, result_rows.run(), checkpoint="best")
  assert (run.folder.images / "curves_best_test.png").exists()
  assert picture.read_bytes() == old
  capsys.readouterr()
  summary.show(run, [row for row in rows if row.method == "bicubic"])
  printed = capsys.readouterr().out
  assert "SSIM" in printed
  assert "SR2" not in printed
  assert "Accuracy" not in printed


def test_rows_of_the_pretraining_it_started_from(tmp_path):
  """Of the run's seeds alone, and not what that run did afterwards."""
  source, own = tmp_path / "source", tmp_path / "own"
  own.mkdir()
  source.mkdir()
  theirs = [
    result_rows.row("fsrcnn", seed=0),
    result_rows.row("fsrcnn", seed=1),
    result_rows.row("sr2_fsrcnn", seed=1),
    result_rows.row("bicubic"),
  ]
  mine = [
    result_rows.row("sr2_fsrcnn", seed=1, value=0.9),
    result_rows.row("bicubic", value=0.9),
  ]
  rows_lib.merge(own, mine)
  run = tiny_network.make_run(own, init_from=str(source), seed=1, num_seeds=1)
  assert summary.pretraining_rows(run) == []  # that run has no rows yet
  rows_lib.merge(source, theirs)
  assert summary.pretraining_rows(run) == [theirs[1]]
  assert summary.pretraining_rows(tiny_network.make_run(own)) == []


def test_damaged_rows_of_another_run_are_left_out(tmp_path, capsys):
  source = tmp_path / "source"
  source.mkdir()
  (source / rows_lib.FILE_NAME).write_text('{"torn')
  run = tiny_network.make_run(tmp_path / "own", init_from=str(source))
  assert summary.pretraining_rows(run) == []
  assert f"{source / rows_lib.FILE_NAME}:1" in capsys.readouterr().err
