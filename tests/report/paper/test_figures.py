from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import figures as paper_figures
from sr2_jax.report.paper import measurements as measurements_lib
from tests import paper_world


def _section(folder):
  """The section's figures by heading, and what is said of the others."""
  measurements = measurements_lib.read(folder, split="test")
  _, *blocks, last = paper_figures.section(measurements)
  figures = {
    heading.text.partition(":")[0]: figure
    for heading, figure in zip(blocks[::2], blocks[1::2], strict=True)
    if isinstance(heading, blocks_lib.Heading)
  }
  return figures, last.text


def test_what_images_need_is_said_once(tmp_path):
  paper_world.write_run(
    tmp_path / "run", "fsrcnn", paper_world.constant(0.7), examples=True
  )
  figures, text = _section(tmp_path)
  assert [*figures] == ["Fig. 4", "Fig. 6", "Fig. 10"]
  shown = {name for name, figure in figures.items() if figure.pictures}
  assert shown == {"Fig. 6"}
  assert [x.stem for x in figures["Fig. 6"].pictures] == ["fig6_x4"]
  assert "Not run: FSRCNN at x2, Sequential FSRCNN at x2" in (
    figures["Fig. 6"].caption
  )
  # There is no bicubic run to take the truth from.
  assert text.startswith("Not shown: Fig. 5, 7, 8, 9.")
  assert "python -m launch.sweep" in text
