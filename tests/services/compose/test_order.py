"""Who is in front of whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compose.edit import OrderRun
from services.compose.order import check_runs, order_at
from services.errors import BadInput

LABELS = ["a", "b", "c", "d"]


@given(st.permutations(LABELS), st.sets(st.sampled_from(LABELS)), st.booleans())
def test_every_shown_layer_is_painted_once_in_the_order_that_was_given(order, shown, asked):
    shown = [label for label in LABELS if label in shown]
    runs = (OrderRun(0, tuple(order)),) if asked else ()
    found = order_at(0, own=[order], shown=shown, runs=runs)
    assert found == [label for label in order if label in shown]


def test_inserted_layers_are_in_front_the_latest_first():
    assert order_at(0, own=[["b", "a"]], shown=["a", "b", "x", "y"], runs=()) == ["y", "x", "b", "a"]


def test_runs_hold_until_the_next():
    runs = (OrderRun(2, ("a", "b")), OrderRun(5, ("b", "a")))
    found = [order_at(t, own=[["b", "a"]] * 8, shown=["a", "b"], runs=runs) for t in range(8)]
    assert found == [["a", "b"]] * 5 + [["b", "a"]] * 3


def test_a_label_that_does_not_exist_is_named():
    with pytest.raises(BadInput, match="order names the layer 'x', which does not exist; the layers are a, b"):
        check_runs((OrderRun(0, ("a", "x")),), known=["a", "b"])
