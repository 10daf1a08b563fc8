"""Times Keras's training step for bench/engines.ts: keras_step.py NETWORK BATCH SIZE STEPS THREADS

The networks are torchvision's, layer by layer, as ConvLab trains them. A step is the graph that Keras's `fit` would trace
(forward, backward, Adam), called on pictures that lie in TensorFlow's memory already, and reading the loss. Prints one
line of JSON: seconds of every step and the process's peak memory in bytes.
"""
import json, os, resource, sys, time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
name, batch, size, steps, threads = sys.argv[1], *map(int, sys.argv[2:6])
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(threads)
import keras
from keras import layers


def conv(x, channels, kernel, stride=1, padding=0, bias=True):
    if padding:
        x = layers.ZeroPadding2D(padding)(x) if stride > 1 or kernel == 7 else x
    same = padding and stride == 1
    return layers.Conv2D(channels, kernel, stride, padding="same" if same else "valid", use_bias=bias)(x)


def lenet5():
    x = image = keras.Input((size, size, 1))
    for channels in (6, 16):
        x = layers.AveragePooling2D(2)(layers.ReLU()(conv(x, channels, 5)))
    x = layers.Flatten()(x)
    for units in (120, 84):
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(image, layers.Dense(10)(x))


def alexnet():
    x = image = keras.Input((size, size, 3))
    pooled = lambda x: layers.MaxPooling2D(3, 2)(x)
    x = pooled(layers.ReLU()(conv(x, 64, 11, 4, 2)))
    x = pooled(layers.ReLU()(conv(x, 192, 5, 1, 2)))
    for channels in (384, 256, 256):
        x = layers.ReLU()(conv(x, channels, 3, 1, 1))
    x = layers.Flatten()(pooled(x))
    for _ in range(2):
        x = layers.Dense(4096, activation="relu")(layers.Dropout(0.5)(x))
    return keras.Model(image, layers.Dense(1)(x))


def resnet18():
    norm = lambda x: layers.BatchNormalization(epsilon=1e-5, momentum=0.9)(x)
    x = image = keras.Input((size, size, 3))
    x = layers.ReLU()(norm(conv(x, 64, 7, 2, 3, False)))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    channels = 64
    for stage in range(4):
        for block in range(2):
            width, stride = 64 << stage, 2 if stage and not block else 1
            y = layers.ReLU()(norm(conv(x, width, 3, stride, 1, False)))
            y = norm(conv(y, width, 3, 1, 1, False))
            if stride > 1 or channels != width:
                x = norm(conv(x, width, 1, stride, 0, False))
            x, channels = layers.ReLU()(layers.Add()([y, x])), width
    return keras.Model(image, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))


keras.utils.set_random_seed(1)
model = {"lenet5": lenet5, "alexnet": alexnet, "resnet18": resnet18}[name]()
lenet = name == "lenet5"
if lenet:
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    y = tf.random.uniform((batch,), 0, 10, tf.int32)
else:
    criterion = keras.losses.BinaryCrossentropy(from_logits=True)
    y = tf.cast(tf.random.uniform((batch, 1), 0, 2, tf.int32), tf.float32)
x = tf.random.uniform((batch, size, size, 1 if lenet else 3))
optimizer = keras.optimizers.Adam(1e-3 if lenet else 1e-4)
optimizer.build(model.trainable_variables)


@tf.function
def train_step(x, y):
    with tf.GradientTape() as tape:
        loss = criterion(y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss


seconds = []
for _ in range(steps):
    start = time.perf_counter()
    float(train_step(x, y))
    seconds.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "peakMemory": peak, "parameters": model.count_params()}))
