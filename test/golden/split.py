"""Writes split.json: how Keras's image_dataset_from_directory divides a folder, by file names alone.

Needs tensorflow-cpu from pip (made with TensorFlow 2.21, Keras 3.15). The folder is made of tiny images, with capitals, a
folder within a class and names that sort otherwise by folder than by path; the same names stand in the file.
"""

import json
import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

names = [f"cat/{i}.jpg" for i in range(23)] + [f"dog/{i:03d}.png" for i in range(18)]
names += ["cat/Z.jpg", "cat/more/1.jpg", "cat/more/2.jpg", "cat/more-1.jpg", "dog/a b.jpeg", "dog/_.bmp"]
with tempfile.TemporaryDirectory() as folder:
    for name in names:
        os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
        Image.new("RGB", (2, 2)).save(os.path.join(folder, name))
    splits = []
    for seed in (42, 7, 4294967295):
        parts = {}
        for subset in ("training", "validation"):
            made = keras.utils.image_dataset_from_directory(
                folder, validation_split=0.2, subset=subset, seed=seed, image_size=(2, 2), batch_size=32, verbose=False
            )
            parts[subset] = [os.path.relpath(path, folder) for path in made.file_paths]
        splits.append({"seed": seed, **parts})
long = list(range(1000))
np.random.RandomState(42).shuffle(long)
result = {
    "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__},
    "names": names,
    "splits": splits,
    "thousand": long,
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "split.json"), "w") as file:
    json.dump(result, file)
    file.write("\n")
