"""Values that travel between the grader and a submission arrive as they were."""

from __future__ import annotations

import pytest
import torch
from _grading.wire import Packer

ONE = torch.arange(6.0).reshape(2, 3)
ODD = {
    "a number repeated": torch.zeros(()).expand(1),
    "a row repeated": ONE[:1].expand(4, 3),
    "turned": ONE.T,
    "every second": ONE[:, ::2],
    "a scalar": torch.tensor(3.5),
    "nothing": torch.zeros(0, 3),
    "truths": ONE > 2,
    "complex": torch.complex(ONE, -ONE).conj(),
    "half": ONE.half(),
}


@pytest.mark.parametrize("name", ODD)
def test_tensors_of_any_strides_can_be_sent(name: str) -> None:
    buffers: list[bytes] = []
    tree = Packer(lambda value: {}, lambda value: None).pack(ODD[name], buffers)
    assert tree["tensor"][:2] == [str(ODD[name].dtype), list(ODD[name].shape)]
    if ODD[name].numel():
        got = torch.frombuffer(bytearray(buffers[0]), dtype=ODD[name].dtype)
        assert torch.equal(got.reshape(ODD[name].shape), ODD[name].resolve_conj())
