"""Scripts written for the earlier arrangement of the library keep working."""

from __future__ import annotations

import importlib
import sys

import pytest

import svr_nb
from svr_nb.former_names import FORMER


@pytest.fixture(autouse=True)
def forgotten():
    """No former module is loaded before or after a test."""

    def forget() -> None:
        for name in FORMER:
            package, _, module = f"svr_nb.{name}".rpartition(".")
            sys.modules.pop(f"svr_nb.{name}", None)
            vars(sys.modules.get(package, svr_nb)).pop(module, None)

    forget()
    yield
    forget()


@pytest.mark.parametrize("former", FORMER)
def test_a_former_module_says_where_it_is_now(former: str) -> None:
    with pytest.warns(DeprecationWarning, match="has moved"):
        module = importlib.import_module(f"svr_nb.{former}")
    for home in FORMER[former]:
        for name in getattr(importlib.import_module(f"svr_nb.{home}"), "__all__", []):
            assert getattr(module, name) is not None


def test_what_it_hands_out_are_todays_objects() -> None:
    with pytest.warns(DeprecationWarning):
        from svr_nb.shapes.files import load_points, save_image
    assert load_points is svr_nb.shapes.load_points
    assert save_image is svr_nb.shapes.save_image


def test_former_modules_are_attributes_too() -> None:
    with pytest.warns(DeprecationWarning):
        assert svr_nb.shapes.files.load_mesh is svr_nb.shapes.load_mesh
    with pytest.warns(DeprecationWarning):
        assert svr_nb.command_line.main.__module__ == "svr_nb.app.command_line"


def test_unknown_names_stay_unknown() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("svr_nb.shapes.filez")
    with pytest.raises(AttributeError, match="public names"):
        print(svr_nb.filez)
    with pytest.raises(AttributeError, match="no attribute"):
        print(svr_nb.shapes.filez)
    with pytest.warns(DeprecationWarning), pytest.raises(ImportError, match="load_everything"):
        from svr_nb.shapes.files import load_everything  # noqa: F401
