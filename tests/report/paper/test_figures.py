from sr2_jax.report import blocks as blocks_lib
from sr2_jax.report.paper import figures as paper_figures
from sr2_jax.report.paper import measurements as measurements_lib
from tests import paper_world


def _figures(folder):
  """The section's figures by heading."""
  measurements = measurements_lib.read(folder, split="test")
  _, *blocks = paper_figures.section(measurements)
  return {
    heading.text.partition(":")[0]: figure
    for heading, figure in zip(blocks[::2], blocks[1::2], strict=True)
    if isinstance(heading, blocks_lib.Heading)
  }


def test_a_figure_without_runs_says_so(tmp_path):
  paper_world.write_run(
    tmp_path / "run", "fsrcnn", paper_world.constant(0.7), examples=True
  )
  figures = _figures(tmp_path)
  assert [*figures] == [f"Fig. {number}" for number in range(4, 11)]
  shown = {name for name, figure in figures.items() if figure.pictures}
  assert shown == {"Fig. 6"}
  assert [x.stem for x in figures["Fig. 6"].pictures] == ["fig6_x4"]
  assert "Not run: FSRCNN at x2, FSRCNN continued at x2" in (
    figures["Fig. 6"].caption
  )
  # There is no bicubic run to take the truth from.
  assert "without example images" in figures["Fig. 7"].caption
