"""Times PyTorch's training step for bench/step.ts and bench/gpu.ts: step.py NETWORK BATCH SIZE STEPS THREADS [DEVICE]

DEVICE is cpu (the default), cuda (products in fp32), cuda-tf32 (in TF32, cuBLAS's and cuDNN's alike), or mps.

The networks are torchvision's, written out because torchvision is not always there. Prints one line of JSON: seconds of
every step (copying the batch to the device, forward, backward, Adam, reading the loss), those of its update alone, and the process's peak memory in bytes.
"""
import json, resource, sys, time
import torch
import torch.nn as nn


class LeNet5(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 6, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )


class AlexNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6), nn.Flatten(),
            nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(inplace=True),
            nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 1),
        )


class VGG16(nn.Sequential):
    def __init__(self):
        layers, channels = [], 3
        for stage in ([64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3):
            for out in stage:
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
                channels = out
            layers.append(nn.MaxPool2d(2))
        super().__init__(
            *layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(),
            nn.Linear(25088, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 1),
        )


def conv_bn(inputs, outputs, kernel, stride=1):
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]


class Block(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = width * 4 if bottleneck else width
        if bottleneck:
            layers = [*conv_bn(inputs, width, 1), nn.ReLU(inplace=True), *conv_bn(width, width, 3, stride),
                      nn.ReLU(inplace=True), *conv_bn(width, outputs, 1)]
        else:
            layers = [*conv_bn(inputs, width, 3, stride), nn.ReLU(inplace=True), *conv_bn(width, width, 3)]
        self.main = nn.Sequential(*layers)
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else nn.Sequential(*conv_bn(inputs, outputs, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.main(x) + self.shortcut(x))


class ResNet(nn.Sequential):
    def __init__(self, depths, bottleneck):
        layers, channels = [*conv_bn(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)], 64
        for stage, depth in enumerate(depths):
            for i in range(depth):
                layers.append(Block(channels, 64 << stage, 2 if stage and not i else 1, bottleneck))
                channels = (64 << stage) * (4 if bottleneck else 1)
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1))


networks = {
    "lenet5": LeNet5,
    "alexnet": AlexNet,
    "vgg16": VGG16,
    "resnet18": lambda: ResNet([2, 2, 2, 2], False),
    "resnet50": lambda: ResNet([3, 4, 6, 3], True),
}

name, batch, size, steps, threads = sys.argv[1], *map(int, sys.argv[2:6])
mode = sys.argv[6] if len(sys.argv) > 6 else "cpu"
device = torch.device(mode.split("-")[0])
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "cuda-tf32"
torch.set_num_threads(threads)
torch.manual_seed(1)
network = networks[name]().to(device)
lenet = name == "lenet5"
x = torch.rand(batch, 1 if lenet else 3, size, size)
y = torch.randint(0, 10, (batch,)) if lenet else torch.randint(0, 2, (batch, 1)).float()
criterion = nn.CrossEntropyLoss() if lenet else nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3 if lenet else 1e-4)
seconds, updates = [], []
for _ in range(steps):
    start = time.perf_counter()
    loss = criterion(network(x.to(device)), y.to(device))
    optimizer.zero_grad()
    loss.backward()
    update = time.perf_counter()
    optimizer.step()
    loss.item()
    end = time.perf_counter()
    seconds.append(end - start)
    updates.append(end - update)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "updates": updates, "peakMemory": peak}))
