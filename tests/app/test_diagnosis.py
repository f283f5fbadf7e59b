"""The doctor never fails, whatever is broken."""

from __future__ import annotations

from svr_nb.app import diagnosis


def test_core_capabilities_run():
    states = {row["capability"]: row["state"] for row in diagnosis.doctor().rows}
    for name in ("CPU tensors", "point splatting", "rasteriser", "iso-surfaces"):
        assert states[name] == "runs"


def test_a_broken_package_costs_one_line(monkeypatch):
    def broken():
        raise SystemError("half a package")

    monkeypatch.setitem(diagnosis.PROBES, "k3d scenes", (broken, "reinstall it"))
    row = next(r for r in diagnosis.doctor().rows if r["capability"] == "k3d scenes")
    assert (
        row["state"] == "no"
        and "half a package" in row["remark"]
        and row["time, or what to do"] == "reinstall it"
    )


def test_versions_are_listed():
    note = diagnosis.doctor().note
    assert "torch 2." in note and "svr_nb 0." in note
