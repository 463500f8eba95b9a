import numpy as np

from core.anatomy import Window, anatomy
from core.phantom import phantom


def test_the_brain_lies_inside_the_skull():
    hu = phantom("no_stroke", 3, 160).pixels
    brain = anatomy(hu)
    assert brain is not None
    assert 0.2 < brain.brain.mean() < 0.5
    assert hu[brain.brain].max() < 100
    assert not brain.low
    assert brain.fluid.sum() > 100
    assert not (brain.fluid & ~brain.brain).any()


def test_its_coordinates_follow_the_head():
    brain = anatomy(phantom("no_stroke", 3, 160).pixels)
    rows, columns = np.nonzero(brain.brain)
    top, bottom = rows.argmin(), rows.argmax()
    assert brain.y[rows[top], columns[top]] < -0.85, "the front is up"
    assert brain.y[rows[bottom], columns[bottom]] > 0.85
    left, right = columns.argmin(), columns.argmax()
    assert brain.x[rows[left], columns[left]] < -0.85
    assert brain.x[rows[right], columns[right]] > 0.85
    assert np.abs(brain.r[brain.brain]).max() < 1.2


def test_where_no_bone_encloses_anything_there_is_no_brain():
    assert anatomy(np.full((160, 160), 35.0)) is None
    hu = np.full((160, 160), -1000.0)
    hu[20:140, 30:130] = 45  # a neck
    hu[70:90, 70:90] = 600
    assert anatomy(hu) is None


def test_a_window_and_back():
    window = Window(-20, 120)
    np.testing.assert_allclose(window.grey(window.hu(np.array([0.0, 0.3, 1.0]))), [0, 0.3, 1])
    np.testing.assert_array_equal(window.grey(np.array([-1000.0, 1000.0])), [0, 1])
