"""Times torchvision's augmentation for bench/data.ts: data.py FOLDER SIZE BATCH WORKERS EPOCHS

ImageFolder and the notes' augmentation through PyTorch's DataLoader, as the notes write it. Prints one line of JSON: the
seconds of every epoch after the first, which starts workers and fills the system's file cache, and pictures per epoch.
"""
import json, sys, time
import torch

try:
    import torchvision
except RuntimeError:
    # A torchvision built for another variant of the same PyTorch (CUDA beside CPU) misses its own operators, of which
    # pictures need none; naming them is enough to import it.
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    import torchvision
import PIL
from torchvision import datasets, transforms

folder, size, batch, workers, epochs = sys.argv[1], *map(int, sys.argv[2:])
augmentation = transforms.Compose([
    transforms.RandomResizedCrop(size, scale=(0.8, 1.0), ratio=(0.9, 1.1)),
    transforms.RandomHorizontalFlip(0.5),
    transforms.RandomRotation(10, interpolation=transforms.InterpolationMode.BILINEAR),
    transforms.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05),
    transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
])
pictures = datasets.ImageFolder(folder, augmentation)
loader = torch.utils.data.DataLoader(
    pictures, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
)
seconds = []
for _ in range(epochs + 1):
    begin = time.perf_counter()
    checksum = 0.0
    for images, _labels in loader:
        checksum += images[0, 0, 0, 0].item()
    seconds.append(time.perf_counter() - begin)
versions = f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
print(json.dumps({"seconds": seconds[1:], "examples": len(pictures), "versions": versions}))
