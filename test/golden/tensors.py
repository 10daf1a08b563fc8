"""Writes tensors of every type and layout that the reader of .pth files takes: tensors.py FOLDER (made with torch 2.13)."""

import json
import math
import sys

import torch

folder = sys.argv[1]
base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8 - 1
tensors = {
    "float32": base,
    "transposed": base.transpose(0, 2),
    "part": base[1, :, 1:3],
    "repeated": torch.tensor([[1.5], [-2.0]]).expand(2, 3),
    "scalar": torch.tensor(0.25),
    "empty": torch.zeros(0, 3),
    "parameter": torch.nn.Parameter(torch.tensor([3.0, -4.0])),
    "float64": torch.tensor([1.0, -1e-30, 1 / 3], dtype=torch.float64),
    "float16": torch.tensor([1.0, -65504.0, 2.0**-24, 1 / 3, math.inf, 0.0], dtype=torch.float16),
    "bfloat16": torch.tensor([1.0, -3e38, 1 / 3, 1e-40, math.inf], dtype=torch.bfloat16),
    "int64": torch.tensor([1, -2, 2**40]),
    "int32": torch.tensor([7, -(2**31)], dtype=torch.int32),
    "uint8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
}
torch.save(tensors, f"{folder}/tensors.pth")
torch.save(tensors, f"{folder}/tensors-protocol4.pth", pickle_protocol=4)
torch.save({"epoch": 3, "state_dict": tensors}, f"{folder}/tensors-legacy.pth", _use_new_zipfile_serialization=False)
number = lambda value: str(value) if math.isinf(value) else value
with open(f"{folder}/tensors.json", "w") as file:
    values = lambda t: [number(v) for v in t.detach().double().flatten().tolist()]
    json.dump({name: {"shape": list(t.shape), "values": values(t)} for name, t in tensors.items()}, file, indent=1)
    file.write("\n")
