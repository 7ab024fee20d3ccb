"""Figures have the common style, and leave the style of whoever draws them alone."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gdyn.figures import style
from gdyn.figures.order import draw_order
from gdyn.report import pages
from gdyn.statistics.interval import Interval
from gdyn.structure.order import Order

OTHER = {"font.size": 20.0, "axes.labelsize": 30.0, "xtick.labelsize": 5.0, "xtick.direction": "out", "axes.grid": True}


@pytest.fixture
def mine():
    """A style of the user's own, and that it stays."""
    with matplotlib.rc_context(OTHER):
        before = dict(matplotlib.rcParams)
        yield
        assert dict(matplotlib.rcParams) == before


def order():
    density = pd.DataFrame({"state": [1, 1, 2, 2], "order": [0.1, 0.2, 0.6, 0.7], "density": [1.0, 2.0, 2.0, 1.0]})
    names = [f"{name}{part}" for name in ("by_order", "by_states", "disagreement") for part in ("", "_low", "_high")]
    profile = pd.DataFrame({"axis": "z", "place_A": [0.0, 1.0], **{name: [0.2, 0.4] for name in names}})
    share = Interval(0.1, 0.0, 0.2)
    return Order(degree=6, neighbors=4, threshold=0.5, ordered=[False, True], mean=share, disagreement=share,
                 disagreement_by_state=share, frames=1, distribution=density, profile=profile)  # fmt: skip


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def test_drawing_leaves_the_style_of_the_user(mine, tmp_path):
    style.save(draw_order(order()), tmp_path / "a.pdf")


def test_drawing_that_fails_leaves_the_style_of_the_user(mine, tmp_path):
    result = order()
    incomplete = result.model_copy(update={"profile": result.profile.drop(columns="by_states_low")})
    with pytest.raises(KeyError, match="by_states_low"):
        draw_order(incomplete)
    with pytest.raises(AttributeError):
        style.save(None, tmp_path / "a.pdf")


def test_a_figure_looks_the_same_wherever_it_is_drawn_and_shown(tmp_path):
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **style.PARAMETERS}):
        expected = pixels(draw_order(order()))
        style.save(draw_order(order()), tmp_path / "a.pdf")
    with matplotlib.rc_context({name: OTHER[name] for name in OTHER if name in style.PARAMETERS}):
        np.testing.assert_array_equal(pixels(draw_order(order())), expected)
        style.save(draw_order(order()), tmp_path / "b.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_pages_of_text_too(mine):
    page = pages._text_page([(1.0, 1.0, "a line", {"color": "black"})])
    assert [float(side) for side in page.mediabox.upper_right] == pytest.approx([8.27 * 72, 11.69 * 72], abs=0.01)
    assert "a line" in page.extract_text()
    (font,) = (font.get_object() for font in page["/Resources"]["/Font"].values())
    assert font["/Subtype"] == "/Type0"  # of pdf.fonttype 42
