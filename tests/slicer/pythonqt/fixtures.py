"""Fixtures of the effect's tests: a SlicerApp, and more of them, closed at the end."""

import pytest

from . import stand_in


@pytest.fixture
def make_app():
    """Makes SlicerApps: `make_app(names=("Liver",), installed=False)`."""
    from .slicer_app import SlicerApp

    made = []

    def make(**choices):
        made.append(SlicerApp(**choices))
        return made[-1]

    yield make
    for app in made:
        app.close()
    stand_in.FileDialog.answers.clear()
    stand_in.FileDialog.asked.clear()
    stand_in.Settings.forget()


@pytest.fixture
def app(make_app):
    """A SlicerApp in which the effect is active and the engine ready."""
    app = make_app()
    app.effect.activate()
    app.run()
    return app
