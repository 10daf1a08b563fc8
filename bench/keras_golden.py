"""Writes Keras's figures for the networks of the notes' TensorFlow appendix: keras_golden.py OUT_FOLDER [NAME...]

Needs tensorflow-cpu from pip (made with TensorFlow 2.21, Keras 3.15). The files have the form of test/golden/*.json, and
parameters and inputs come from the same closed formula, in PyTorch's order and layouts, so that one reader serves both:
u(i, k) of a flat index i and a stream number k is in [-1, 1), in 32-bit arithmetic;
    parameter k of rank >= 2: sqrt(6 / fan_in) * u(i, k);  batch norm's weight: 1 + 0.1 * u(i, k);  else 0.1 * u(i, k);
    input: u(i, 1000), N, C, H, W.
Weights are [out, in, h, w] and [out, in]; the first dense layer reads its picture channel by channel. Everything runs in
float64. Dropout is off. Adam is Keras's own, with its epsilon of 1e-7.

alexnet-tf and vgg16-tf are the notes' layers, one by one; their dropout is written down with a rate of 0, as everything
here is without. The notes lose VGG's input_shape to a comment; it is restored here. alexnet-keras, whose first convolution
is padded, and vgg16-keras, which is keras.applications.VGG16 with its own top, are what ConvLab took them for before.
"""

import json
import math
import os
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
import tensorflow as tf
from keras import layers

SHAPE = (2, 3, 224, 224)
LEARNING_RATE = 1e-4


def u(count, stream):
    z = (np.arange(count, dtype=np.uint64) * 0x9E3779B1 + stream * 0x85EBCA77 + 0x165667B1) & 0xFFFFFFFF
    z ^= z >> np.uint64(15)
    z = (z * 0x2C1B3C6D) & 0xFFFFFFFF
    z ^= z >> np.uint64(12)
    z = (z * 0x297A2D39) & 0xFFFFFFFF
    z ^= z >> np.uint64(15)
    return z.astype(np.float64) / 2**31 - 1


def head():
    return [
        layers.Flatten(),
        layers.Dense(4096, activation="relu", name="fc1"),
        layers.Dropout(0.0),
        layers.Dense(4096, activation="relu", name="fc2"),
        layers.Dropout(0.0),
        layers.Dense(1, name="predictions"),
    ]


def alexnet_tf():
    return keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1"),
            layers.MaxPooling2D(3, strides=2),
            layers.Conv2D(256, 5, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(3, strides=2),
            layers.Conv2D(384, 3, padding="same", activation="relu", name="conv3"),
            layers.Conv2D(384, 3, padding="same", activation="relu", name="conv4"),
            layers.Conv2D(256, 3, padding="same", activation="relu", name="conv5"),
            layers.MaxPooling2D(3, strides=2),
            *head(),
        ]
    )


def vgg16_tf():
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3))
    x = base.output
    for layer in head():
        x = layer(x)
    return keras.Model(base.input, x)


def alexnet():
    conv = lambda index, channels, kernel, stride=1: layers.Conv2D(
        channels, kernel, strides=stride, padding="same", activation="relu", name=f"conv{index}"
    )
    return keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            conv(1, 96, 11, 4),
            layers.MaxPooling2D(3, strides=2),
            conv(2, 256, 5),
            layers.MaxPooling2D(3, strides=2),
            conv(3, 384, 3),
            conv(4, 384, 3),
            conv(5, 256, 3),
            layers.MaxPooling2D(3, strides=2),
            layers.Flatten(),
            layers.Dense(4096, activation="relu", name="fc1"),
            layers.Dense(4096, activation="relu", name="fc2"),
            layers.Dense(1, name="predictions"),
        ]
    )


def application(build):
    return build(weights=None, input_shape=(224, 224, 3), classes=1, classifier_activation=None)


ZOO = {
    "alexnet-tf": alexnet_tf,
    "vgg16-tf": vgg16_tf,
    "alexnet-keras": alexnet,
    "vgg16-keras": lambda: application(keras.applications.VGG16),
    "resnet50-keras": lambda: application(keras.applications.ResNet50),
}


def in_order(model):
    """Layers with weights in the order in which Keras's source makes them; Keras itself lists them by depth."""
    place = lambda name: [int(n) for n in re.findall(r"\d+", name)] if "_block" in name else []
    names = [layer.name for layer in model.layers if layer.weights]
    if not any("_block" in name for name in names):
        return [model.get_layer(name) for name in names]
    key = lambda name: (name == "predictions", name.startswith("conv1_") is False, place(name), name.endswith("_bn"))
    return [model.get_layer(name) for name in sorted(names, key=key)]


class Tensor:
    """One of Keras's variables under PyTorch's name, shape and layout."""

    def __init__(self, layer, variable, flattened):
        kind = variable.name
        norm = isinstance(layer, layers.BatchNormalization)
        suffix = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
        suffix |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
        self.name, self.variable, self.norm = f"{layer.name}.{suffix[kind]}", variable, norm
        shape = tuple(variable.shape)
        self.flattened = flattened if kind == "kernel" and len(shape) == 2 else None
        self.shape = {4: (3, 2, 0, 1), 2: (1, 0)}.get(len(shape), (0,))
        self.shape = [shape[axis] for axis in self.shape]

    def to_keras(self, values):
        values = values.reshape(self.shape)
        if len(self.shape) == 4:
            return values.transpose(2, 3, 1, 0)
        if len(self.shape) == 2:
            if self.flattened:
                h, w, c = self.flattened
                values = values.reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(self.shape)
            return values.T
        return values

    def start(self, stream):
        values = u(math.prod(self.shape), stream)
        if len(self.shape) >= 2:
            values *= math.sqrt(6 / math.prod(self.shape[1:]))
        elif self.norm and self.name.endswith(".weight"):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        return values.astype(np.float32).astype(np.float64)


def figures(name, build):
    model = build()
    parameters, buffers = [], []
    first_dense = True
    for layer in in_order(model):
        flattened = None
        if isinstance(layer, layers.Dense) and first_dense:
            first_dense = False
            pictures = [l.output.shape[1:] for l in model.layers if len(l.output.shape) == 4]
            # After global pooling there is nothing to reorder.
            flattened = pictures[-1] if math.prod(pictures[-1]) == layer.kernel.shape[0] else None
        parameters += [Tensor(layer, v, flattened) for v in layer.trainable_variables]
        buffers += [Tensor(layer, v, None) for v in layer.non_trainable_variables]

    def fill():
        for stream, parameter in enumerate(parameters):
            parameter.variable.assign(parameter.to_keras(parameter.start(stream)))
        for buffer in buffers:
            buffer.variable.assign(np.full(buffer.shape, float(buffer.name.endswith("running_var"))))

    images = u(math.prod(SHAPE), 1000).astype(np.float32).astype(np.float64).reshape(SHAPE).transpose(0, 2, 3, 1)
    targets = np.arange(SHAPE[0]) % 2
    criterion = keras.losses.BinaryCrossentropy(from_logits=True)
    variables = [parameter.variable for parameter in parameters]

    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = criterion(targets.reshape(-1, 1).astype(np.float64), logits)
        return logits, loss, tape.gradient(loss, [variable.value for variable in variables])

    fill()
    evaluation = model(images, training=False).numpy()
    logits, loss, gradients = step()
    if buffers:
        check_running_variance(model, images)
    norms = {p.name: float(np.linalg.norm(g.numpy().ravel())) for p, g in zip(parameters, gradients)}
    fill()
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    optimizer.build(variables)
    losses = []
    for _ in range(5):
        _, before, gradients = step()
        optimizer.apply_gradients(zip(gradients, variables))
        losses.append(float(before))
    describe = lambda tensors: [{"name": t.name, "shape": t.shape} for t in tensors]
    return {
        "model": name,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "input_shape": SHAPE,
        "targets": targets.tolist(),
        "loss_function": "bce_with_logits",
        "learning_rate": LEARNING_RATE,
        "adam": {"eps": float(optimizer.epsilon), "epsilonHat": True},
        "parameter_count": sum(math.prod(p.shape) for p in parameters),
        "parameters": describe(parameters),
        "buffers": describe(buffers),
        "eval_logits": evaluation.tolist(),
        "train_logits": logits.numpy().tolist(),
        "train_loss": float(loss),
        "gradient_l2_norms": norms,
        "adam_losses_5_steps": losses,
    }


def check_running_variance(model, images):
    """That the running variance takes the biased variance of the batch, and moves by 0.01."""
    norm = model.get_layer("conv1_bn")
    seen = keras.Model(model.input, model.get_layer("conv1_conv").output)(images).numpy()
    expected = 0.99 + 0.01 * seen.var(axis=(0, 1, 2))
    assert np.abs(norm.moving_variance.numpy() - expected).max() < 1e-12


def main():
    keras.backend.set_floatx("float64")
    out, *names = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    for name in names or ZOO:
        result = figures(name, ZOO[name])
        with open(f"{out}/{name}.json", "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
        print(name, result["parameter_count"], result["train_loss"], result["adam_losses_5_steps"], flush=True)


main()
