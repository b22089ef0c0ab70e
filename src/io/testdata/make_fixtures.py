#!/usr/bin/env python3
"""Writes the pytorch files that torch_bin_test reads. Needs torch; Debian 12's python3-torch
(1.13) wrote the committed ones. Usage: make_fixtures.py [directory]"""

import pathlib
import sys
from collections import OrderedDict

import torch


def tensors():
    """Values that name their place, in every form a state dict of ours may hold."""
    base = torch.arange(12, dtype=torch.float32)
    weight = torch.tensor([[1.0, -1.0, 0.0], [0.5, -0.5, -0.0]])
    state = OrderedDict()
    state["f32"] = weight
    state["bf16"] = weight.bfloat16()
    state["f16"] = weight.half()
    state["i64"] = torch.tensor([7, -7])
    state["bool"] = torch.tensor([True, False, True])
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.empty(0, 4)
    state["tied"] = state["bf16"]
    state["view"] = base[4:10].view(2, 3)
    state["parameter"] = torch.nn.Parameter(weight.bfloat16())
    return state


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    state = tensors()
    torch.save(state, folder / "state_dict.bin")
    torch.save(dict(state), folder / "protocol4.bin", pickle_protocol=4)
    torch.save(
        torch.nn.Linear(3, 2).bfloat16().state_dict(), folder / "module.bin"
    )  # carries a _metadata attribute
    torch.save({"state_dict": dict(list(state.items())[:1])}, folder / "wrapped.bin")
    torch.save({"w": torch.arange(6.0).view(2, 3).t()}, folder / "transposed.bin")
    torch.save({"w": torch.zeros(1), "epoch": 3}, folder / "training.bin")
    torch.save({"w": torch.zeros(1), "steps": [1, 2]}, folder / "list.bin")
    torch.save(
        {"w": torch.zeros(1)}, folder / "legacy.bin", _use_new_zipfile_serialization=False
    )


if __name__ == "__main__":
    main()
