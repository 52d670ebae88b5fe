"""What a report says of members that diverged."""

from sr2_jax.report import divergences

DONE = (
  '{"seed": 0, "l2": 0.01, "loss_weight": 9.0}\n'
  '{"seed": 1, "l2": 0.01, "loss_weight": 9.0, "phase": "joint", '
  '"diverged_at": 7}\n'
)


def test_each_is_named_with_its_run(tmp_path):
  for name, done in (("good", ""), ("bad", DONE)):
    (tmp_path / name).mkdir()
    (tmp_path / name / "DONE").write_text(done)
  heading, line = divergences.note(
    [tmp_path / "good", tmp_path / "bad"]
  ).splitlines()
  assert heading.startswith("Not in tables and curves")
  assert line == "  bad: seed 1, L2 0.01, λ 9: step 7 of joint"


def test_nothing_is_said_where_nothing_diverged(tmp_path):
  assert divergences.note([tmp_path]) == ""
