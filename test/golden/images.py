"""Draws images and what Pillow makes of them, for test/unit/pixels.test.ts: images.py FOLDER (needs Pillow, numpy).

NAME.SIZE.png is NAME as torchvision's Resize((SIZE, SIZE)) gives it, and NAME.crop.SIZE.png a resized crop of it: both
are Pillow's bilinear resize of the image in RGB. kinds/ holds a small image in many formats, and NAME.png beside each
what Pillow reads: converted to RGB, but for what ConvLab keeps apart from torchvision on purpose (transparency is laid
on white, orientation applied, 16 bits a channel scaled to 8). Made with Pillow 13.
"""

import io
import os
import struct
import sys

import numpy as np
from PIL import Image, ImageOps

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


kinds = f"{folder}/kinds"
os.makedirs(kinds, exist_ok=True)
colour = shapes(3, 29, 18)
grey = colour.convert("L")
cover = np.linspace(0, 255, 29).astype(np.uint8)[None].repeat(18, 0)


def as_read(image):
    """What ConvLab is to make of an image."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        upright = Image.fromarray((np.array(upright) >> 8).astype(np.uint8))
    if "A" in upright.mode or "transparency" in upright.info:
        pixels = np.array(upright.convert("RGBA")).astype(np.float64)
        alpha = pixels[..., 3:] / 255
        return Image.fromarray(np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8))
    return upright.convert("RGB")


def keep(name, content):
    """Writes a file, and what Pillow reads in it."""
    with open(f"{kinds}/{name}", "wb") as file:
        file.write(content)
    image = Image.open(io.BytesIO(content))
    image.load()
    as_read(image).save(f"{kinds}/{name}.png", optimize=True)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def netpbm(kind, size, most, values, plain=False):
    header = f"P{kind}\n# a comment\n{size[0]} {size[1]}\n" + ("" if most is None else f"{most}\n")
    return header.encode() + (" ".join(map(str, values)).encode() + b"\n" if plain else values)


def bitmap(width, height, bits, pixels, compression=0, palette=b"", masks=b"", header=40):
    """A BMP; `masks` stand behind a header of 40 bytes, within a longer one."""
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(pixels), 0, 0, len(palette) // 4, 0)
    info += masks if header == 40 else masks.ljust(header - 40, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + palette + pixels


def rows(image, step):
    """Rows of packed pixels from the bottom, each filled up to whole words."""
    packed = [step(row) for row in np.array(image)[::-1]]
    return b"".join(row + b"\0" * (-len(row) % 4) for row in packed)


# JPEG: inks as Adobe's programs write them, without their mark, and as luma and chroma.
cmyk = Image.merge("CMYK", [*colour.split(), grey.point(lambda value: value // 3)])
inks = saved(cmyk, "JPEG", quality=95, subsampling=0)
mark = inks.index(b"\xff\xee")
keep("cmyk.jpg", inks)
keep("cmyk-unmarked.jpg", inks[:mark] + inks[mark + 16 :])
keep("ycck.jpg", inks[: mark + 15] + b"\x02" + inks[mark + 16 :])
keep("turned.jpg", saved(colour, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"))
for orientation in range(2, 9):
    note = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="{orientation}"/></x:xmpmeta>'
    keep(f"turned-by-xmp-{orientation}.jpg", saved(colour, "JPEG", quality=95, subsampling=0, xmp=note.encode()))

# TIFF.
keep("ycbcr.tif", saved(colour.convert("YCbCr"), "TIFF"))
keep("ycbcr-lzw.tif", saved(colour.convert("YCbCr"), "TIFF", compression="tiff_lzw"))
keep("cmyk.tif", saved(cmyk, "TIFF"))
keep("big.tif", saved(colour, "TIFF", big_tiff=True))
keep("signed.tif", saved(grey, "TIFF", tiffinfo={339: 2}))
keep("grey16.tif", saved(Image.fromarray(np.array(grey).astype(np.uint16) * 200), "TIFF"))
keep("white-is-zero.tif", saved(grey, "TIFF", tiffinfo={262: 0}))

# GIF: a first frame that is smaller than the screen, alone and with a transparent colour.
small = colour.crop((3, 2, 20, 12)).quantize(16)


def framed(content):
    """The same frame on a screen of 29 × 18 pixels, 5 from the left and 4 from the top."""
    at = content.index(b",", 13 + 3 * 2 ** ((content[10] & 7) + 1))
    place = struct.pack("<HH", 5, 4)
    return content[:6] + struct.pack("<HH", 29, 18) + content[10 : at + 1] + place + content[at + 5 :]


keep("small-frame.gif", framed(saved(small, "GIF")))
keep("small-frame-transparent.gif", framed(saved(small, "GIF", transparency=3)))

# Netpbm.
values = np.array(colour)
keep("raw.ppm", netpbm(6, colour.size, 255, values.tobytes()))
keep("raw-100.ppm", netpbm(6, colour.size, 100, (values // 3).tobytes()))
keep("raw-16.ppm", netpbm(6, colour.size, 65535, (values.astype(">u2") * 256 + 77).tobytes()))
keep("plain.ppm", netpbm(3, colour.size, 255, values.flatten(), plain=True))
keep("raw.pgm", netpbm(5, grey.size, 255, np.array(grey).tobytes()))
keep("raw-16.pgm", netpbm(5, grey.size, 65535, (np.array(grey).astype(">u2") * 257).tobytes()))
keep("plain.pgm", netpbm(2, grey.size, 255, np.array(grey).flatten(), plain=True))
bits = np.array(grey) < 120
keep("raw.pbm", netpbm(4, grey.size, None, np.packbits(bits, axis=1).tobytes()))
keep("plain.pbm", netpbm(1, grey.size, None, bits.astype(int).flatten(), plain=True))

# BMP.
keep("24.bmp", saved(colour, "BMP"))
keep("8.bmp", saved(colour.quantize(200), "BMP"))
keep("grey.bmp", saved(grey, "BMP"))
keep("1.bmp", saved(grey.convert("1"), "BMP"))
keep("alpha.bmp", saved(Image.merge("RGBA", [*colour.split(), Image.fromarray(cover)]), "BMP"))
keep("32.bmp", bitmap(29, 18, 32, rows(colour, lambda row: np.pad(row[:, ::-1], ((0, 0), (0, 1)), constant_values=9).tobytes())))
keep("top-down.bmp", bitmap(29, -18, 24, rows(colour.transpose(Image.Transpose.FLIP_TOP_BOTTOM), lambda row: row[:, ::-1].tobytes())))
five = lambda row: (row.astype(np.uint16) * np.array([31, 63, 31], np.uint16) // 255) @ np.array([2048, 32, 1], np.uint16)
keep("565.bmp", bitmap(29, 18, 16, rows(colour, lambda row: five(row).astype("<u2").tobytes()), 3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
keep("555.bmp", bitmap(29, 18, 16, rows(colour, lambda row: ((row.astype(np.uint16) // 8) @ np.array([1024, 32, 1], np.uint16)).astype("<u2").tobytes())))
palette = bytes(value for i in range(16) for value in (i * 16, 255 - i * 16, i * 7, 0))
sixteen = np.array(grey) // 16
keep("4.bmp", bitmap(29, 18, 4, rows(sixteen, lambda row: bytes(a << 4 | b for a, b in zip(row[::2], np.append(row[1::2], 0)))), palette=palette))
core = b"BM" + struct.pack("<IHHI", 0, 0, 0, 26 + 48) + struct.pack("<IHHHH", 12, 29, 18, 1, 4)
core += b"".join(palette[i * 4 : i * 4 + 3] for i in range(16))
keep("os2.bmp", core + rows(sixteen, lambda row: bytes(a << 4 | b for a, b in zip(row[::2], np.append(row[1::2], 0)))))


def runs8(row):
    """Runs and single values in turn, and a gap at the end."""
    out = b""
    for at in range(0, 24, 8):
        out += bytes([3, row[at]]) + b"\0\x05" + bytes(row[at + 3 : at + 8]) + b"\0"
    return out


keep("runs8.bmp", bitmap(29, 18, 8, b"\0\0".join(runs8(row) for row in sixteen[::-1]) + b"\0\2\5\0\0\1", 1, palette=palette))
runs4 = b"\0\0".join(b"\x09\x5a\0\x05" + bytes([row[0] << 4 | row[9], row[1] << 4 | row[7], row[2] << 4, 0]) + bytes([15, row[20] << 4 | row[21]]) for row in sixteen[::-1])
keep("runs4.bmp", bitmap(29, 18, 4, runs4 + b"\0\1", 2, palette=palette))

# Whole files that are not read. Pillow opens them, but for the last two.
refused = {
    "lab.tif": saved(Image.merge("LAB", [grey, grey, grey]), "TIFF"),
    "float.tif": saved(grey.convert("F"), "TIFF"),
    "targa.tga": saved(colour, "TGA"),
    "icon.ico": saved(colour, "ICO"),
    "jpeg2000.jp2": saved(colour, "JPEG2000"),
    "sgi.sgi": saved(colour, "SGI"),
    "pcx.pcx": saved(colour, "PCX"),
    "sequence.avif": saved(colour, "AVIF", save_all=True, append_images=[colour.rotate(90)]),
}
tall = saved(Image.new("I;16", (4, 4)), "TIFF")
# Twelve bits for sixteen, in the entry of the tag BitsPerSample.
refused["12-bit.tif"] = tall.replace(struct.pack("<HHIHH", 258, 3, 1, 16, 0), struct.pack("<HHIHH", 258, 3, 1, 12, 0))
lossless = saved(grey, "JPEG")
refused["lossless.jpg"] = lossless.replace(b"\xff\xc0", b"\xff\xc3")
for name, content in refused.items():
    os.makedirs(f"{folder}/refused", exist_ok=True)
    with open(f"{folder}/refused/{name}", "wb") as file:
        file.write(content)
