"""Draws images and what Pillow makes of them, for test/unit/pixels.test.ts: images.py FOLDER (needs Pillow, numpy).

NAME.SIZE.png is NAME as torchvision's Resize((SIZE, SIZE)) gives it, and NAME.crop.SIZE.png a resized crop of it: both
are Pillow's bilinear resize of the image in RGB.
"""

import sys

import numpy as np
from PIL import Image

folder = sys.argv[1]


def shapes(seed, width, height):
    """Waves and discs, with edges of all directions."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    image = np.zeros((height, width, 3))
    for channel in range(3):
        wave = x * random.uniform(0.01, 0.05) + y * random.uniform(-0.05, 0.05)
        image[..., channel] = 120 + 80 * np.sin(wave)
    for _ in range(40):
        cx, cy, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(2, height / 8)
        image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = random.uniform(0, 255, 3)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def resized(name, sizes, crop=None):
    image = Image.open(f"{folder}/{name}").convert("RGB")
    for size in sizes:
        if crop is not None:
            left, top, width, height = crop
            part = image.crop((left, top, left + width, top + height))
            part.resize((size, size), Image.Resampling.BILINEAR).save(f"{folder}/{name}.crop.{size}.png", optimize=True)
        else:
            image.resize((size, size), Image.Resampling.BILINEAR).save(f"{folder}/{name}.{size}.png", optimize=True)


# Stripes of 8 pixels: what shrinks them otherwise than Pillow leaves them too little contrast.
stripes = Image.fromarray(np.where(np.arange(512) // 8 % 2, 255, 0).astype(np.uint8)[None].repeat(512, 0))
stripes.save(f"{folder}/stripes.png", optimize=True)
resized("stripes.png", [64, 50])
shapes(1, 900, 700).save(f"{folder}/large.jpg", quality=80)
resized("large.jpg", [24, 64, 100])
resized("large.jpg", [64], crop=(111, 57, 640, 480))
shapes(2, 37, 23).save(f"{folder}/small.png", optimize=True)
resized("small.png", [16, 64])
