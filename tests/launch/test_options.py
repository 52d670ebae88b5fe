import pathlib

import pytest

from launch import options
from sr2_jax import errors

NEEDED = ("--sweep=a.py", "--workdir=x")


def parse(*arguments):
  return options.parse([*NEEDED, *arguments], engines=["local", "ray"])


def test_defaults():
  asked = parse()
  assert (asked.sweep, asked.workdir) == ("a.py", pathlib.Path("x"))
  assert (asked.mode, asked.action, asked.engine) == ("train", "run", "local")
  assert asked.settings == {}
  assert asked.policy.retries == 2
  assert asked.policy.stall == 0


def test_what_is_typed():
  asked = parse("--retries=0", "--stall=1.5h", "--status", "--only", "a", "b*")
  assert asked.policy == options.attempts.Policy(0, 5400.0)
  assert asked.action == "status"
  assert asked.only == ("a", "b*")
  asked = parse("--set", "config.seed=1", "--set", "a=b=c", "--dry-run")
  assert asked.settings == {"seed": "1", "a": "b=c"}
  assert asked.action == "dry-run"


@pytest.mark.parametrize(
  ("argument", "expected"),
  [
    ("--retries=-2", "from 0 to 1000, not -2"),
    ("--retries=x", "--retries"),
    ("--set=--", "--set=--: the value is missing"),
    ("--stall=5", 'such as 90s, 30m or 2h, not "5"'),
    ("--stall=5s", "at least 10s"),
    ("--stall=-1m", "such as"),
    ("--stall=31d", "at most 30d"),
    ("--stall=1e9h", "such as"),
    ("--engine=lcal", "lcal"),
    ("--workdir=gs://x", "has no bucket's name"),
    ("--workdir=az://x/a", "is a URL"),
    ("--workdir=", "has to name a folder"),
    ("--slices=2", "goes with --engine=ray"),
    ("--notify=gs://x", "is a URL"),
    ("--at_once=0", "--at_once has to be at least 1, not 0"),
    ("--at_once=2.5", "--at_once"),
    ("--at_once=100000", "this machine has"),
  ],
)
def test_mistake(argument, expected):
  with pytest.raises(errors.UserError) as caught:
    parse(argument)
  assert expected in str(caught.value)
  assert len(str(caught.value).splitlines()) <= 2


def test_a_field_of_a_grid_is_there_once():
  assert parse("--grid", "seed=0..9").grid == {"seed": "0..9"}
  with pytest.raises(errors.UserError, match="--grid seed is there twice"):
    parse("--grid", "seed=0..9", "--grid", "config.seed=20..29")


def test_listing_and_looking_do_not_go_together():
  with pytest.raises(errors.UserError, match="not allowed with"):
    parse("--status", "--dry-run")


@pytest.mark.parametrize(
  ("typed", "expected"),
  [("0", 0), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172_800)],
)
def test_seconds(typed, expected):
  assert options.seconds(typed, "--x") == expected


def test_emulated_gpus_and_parts():
  asked = parse("--engine=ray", "--address=emulate-gpu:2x4", "--gpus=1")
  assert asked.slice_.name == "emulated-gpux1"
  asked = parse("--engine=ray", "--address=emulate:1x1x8", "--cut=2x2")
  assert asked.slice_.cut == "2x2"
  with pytest.raises(errors.UserError, match="--topology does not go with"):
    parse("--engine=ray", "--address=emulate:1x1x8", "--topology=2x4")


def test_slice():
  assert parse().slice_ is None
  asked = parse("--accelerator=v5e", "--topology=2x4", "--dry-run")
  assert asked.slice_.chips == 8
  for flag in ("topology=2x4", "gpus=1", "chips_per_host=4", "cut=2x2"):
    with pytest.raises(errors.UserError, match="goes with --accelerator"):
      parse(f"--{flag}")


H100 = ("--accelerator=h100", "--gpus=1")


def test_what_goes_with_emit():
  asked = parse(
    *H100, "--emit=jobset", "--image=a/b:1", "--volume=c:/d", "--slices=3"
  )
  assert (asked.emit, asked.image, asked.volume) == (
    "jobset", "a/b:1", ("c", "/d"),
  )  # fmt: skip
  assert asked.slices == 3


@pytest.mark.parametrize(
  ("arguments", "expected"),
  [
    (["--emit=jobset"], "--emit needs --accelerator"),
    ([*H100, "--emit=yaml"], "yaml"),
    ([*H100, "--image=x"], "--image goes with --emit"),
    ([*H100, "--emit=jobset", "--image=x;y"], "odd characters"),
    ([*H100, "--emit=jobset", "--volume=/a"], "CLAIM:/PATH"),
    ([*H100, "--emit=jobset", "--volume=a:b"], "has to be a folder"),
    ([*H100, "--emit=jobset", "--status"], "not allowed with"),
    ([*H100, "--slices=-1"], "from 1 to 10000"),
    ([*H100, "--emit=jobset", "--at_once=2"], "runs on this machine"),
    ([*H100, "--engine=ray", "--at_once=2"], "--slices=N says how many"),
  ],
)
def test_mistake_in_what_is_emitted(arguments, expected):
  with pytest.raises(errors.UserError, match=expected):
    parse(*arguments)


def test_engine_on_a_cluster():
  asked = parse("--engine=ray", "--address=emulate:2x2x4", "--wait=1h")
  assert (asked.engine, asked.wait, asked.policy.stall) == ("ray", 3600, 1800)
  assert (asked.slice_.hosts, asked.slice_.chips) == (2, 8)
  assert parse("--engine=ray", *H100).address == "auto"
  assert parse("--engine=ray", *H100, "--stall=0").policy.stall == 0


@pytest.mark.parametrize(
  ("arguments", "expected"),
  [
    (["--engine=ray"], "--engine=ray needs --accelerator"),
    (["--address=auto"], "--address goes with --engine=ray"),
    (["--wait=1h"], "--wait goes with --engine=ray"),
    (H100, "--accelerator goes with --engine=ray"),
    (["--engine=ray", "--address=emulate:2"], "as in emulate:2x2x2"),
    (["--engine=ray", *H100, "--address=emulate:1x1x1"], "does not go with"),
    (["--engine=ray", *H100, "--wait=5"], "such as 90s"),
  ],
)
def test_mistake_in_flags_of_clusters(arguments, expected):
  with pytest.raises(errors.UserError, match=expected):
    parse(*arguments)


def test_price():
  assert parse().price == 0
  assert parse("--price=1.20").price == 1.2
  assert parse("--price=.0125").price == 0.0125


@pytest.mark.parametrize("typed", ["-1", "1,20", "$2", "nan", "1e3", "."])
def test_mistake_in_the_price(typed):
  with pytest.raises(errors.UserError, match=r"as in 1\.20"):
    parse(f"--price={typed}")
