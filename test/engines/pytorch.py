"""PyTorch's side of pytorch.test.ts; needs torch and numpy.

pytorch.py write: reads {file, legacy, tensors: [{name, shape}]} from standard input and saves a state dict of that form,
parameter k holding (i mod 1021) / 1024 + k at its flat index i.
pytorch.py load FILE MODEL: loads a state dict strictly, with weights_only, into a module of torchvision's names, and
prints its logits for the inputs of test/golden (evaluation mode), its keys and the types of its tensors.
pytorch.py freeze FILE STEPS: loads a state dict into ResNet-18, keeps all but the last layer as it is (no gradients, batch
norm in evaluation mode) and prints the losses before STEPS updates by Adam at 1e-3 on those inputs, labels 0 and 1.
"""

import json
import sys

import numpy as np
import torch
from torch import nn


class LeNet5(nn.Module):
    shape = (4, 1, 32, 32)

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = nn.functional.avg_pool2d(torch.relu(conv(x)), 2)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1))))))


class AlexNet(nn.Module):
    shape = (2, 3, 224, 224)

    def __init__(self):
        super().__init__()
        conv = lambda *args, **kwargs: [nn.Conv2d(*args, **kwargs), nn.ReLU()]
        pool = lambda: nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(
            *conv(3, 64, 11, stride=4, padding=2),
            pool(),
            *conv(64, 192, 5, padding=2),
            pool(),
            *conv(192, 384, 3, padding=1),
            *conv(384, 256, 3, padding=1),
            *conv(256, 256, 3, padding=1),
            pool(),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        dense = lambda a, b: [nn.Dropout(), nn.Linear(a, b), nn.ReLU()]
        self.classifier = nn.Sequential(*dense(9216, 4096), *dense(4096, 4096), nn.Linear(4096, 1))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        same = stride == 1 and inside == out
        self.downsample = None if same else nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    shape = (2, 3, 224, 224)

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        for i, (inside, out) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)]):
            setattr(self, f"layer{i + 1}", nn.Sequential(Block(inside, out, 1 if i == 0 else 2), Block(out, out, 1)))
        self.fc = nn.Linear(512, 1)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def golden_input(shape):
    i = np.arange(np.prod(shape), dtype=np.uint64)
    z = (i * 0x9E3779B1 + 1000 * 0x85EBCA77 + 0x165667B1) & 0xFFFFFFFF
    z ^= z >> np.uint64(15)
    z = (z * 0x2C1B3C6D) & 0xFFFFFFFF
    z ^= z >> np.uint64(12)
    z = (z * 0x297A2D39) & 0xFFFFFFFF
    z ^= z >> np.uint64(15)
    return torch.from_numpy((z / 2**31 - 1).astype(np.float32)).reshape(shape)


if sys.argv[1] == "write":
    for request in json.load(sys.stdin):
        tensors = {}
        for k, tensor in enumerate(request["tensors"]):
            ramp = torch.arange(int(np.prod(tensor["shape"])), dtype=torch.int32) % 1021
            tensors[tensor["name"]] = (ramp / 1024 + k).reshape(tensor["shape"])
        torch.save(tensors, request["file"], _use_new_zipfile_serialization=not request["legacy"])
elif sys.argv[1] == "freeze":
    _, _, file, steps = sys.argv
    model = ResNet18()
    model.load_state_dict(torch.load(file, weights_only=True), strict=True)
    model.requires_grad_(False).eval()
    model.fc.requires_grad_(True).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    inputs, targets = golden_input(model.shape), torch.tensor([[0.0], [1.0]])
    losses = []
    for _ in range(int(steps)):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(json.dumps(losses))
else:
    _, _, file, name = sys.argv
    weights = torch.load(file, weights_only=True)
    model = {"lenet5": LeNet5, "alexnet": AlexNet, "resnet18": ResNet18}[name]()
    model.load_state_dict(weights, strict=True)
    model.eval()
    with torch.no_grad():
        logits = model(golden_input(model.shape))
    same_keys = list(weights) == list(model.state_dict())
    types = sorted({str(t.dtype) for t in weights.values()})
    print(json.dumps({"logits": logits.flatten().tolist(), "sameKeys": same_keys, "types": types}))
