"""Fixtures of the effect's tests: a desk, and more of them; closed at the end."""

import pytest

from . import stand_in


@pytest.fixture
def make_desk():
    """Makes desks: `make_desk(names=("Liver",), installed=False)`."""
    from .desk import Desk

    made = []

    def make(**choices):
        made.append(Desk(**choices))
        return made[-1]

    yield make
    for desk in made:
        desk.close()
    stand_in.FileDialog.answers.clear()
    stand_in.FileDialog.asked.clear()


@pytest.fixture
def desk(make_desk):
    """A desk at which the effect is active and its engine ready."""
    desk = make_desk()
    desk.effect.activate()
    desk.run()
    return desk
