/**
 * The small networks on which an engine proves itself before it trains: every operator, on the shapes for which engines
 * have code of its own. selfCheck.ts computes with them; scripts/selfCheckFigures.ts stores what must come out, so
 * after a change here `npm run selfcheck-figures` is due (a test says so).
 */
import { elements, Network, NetworkBuilder, Tensors } from '../../core/networks/network';
import { fillUniform, streamKey, word } from '../../core/random';
import type { Batch, LossName, ModelOptions } from './engine';

export interface SelfCheckCase {
  /** What the network is about, as PyTorch writes it; unique. */
  readonly layer: string;
  readonly network: Network;
  readonly options: ModelOptions & { readonly microBatch: number };
  readonly parameters: Tensors;
  readonly buffers: Tensors;
  readonly batch: Batch;
  /** Whether evaluation is compared: forward in a batch of the engine's own size, which large images make slow. */
  readonly evaluated: boolean;
  /** Number of updates whose results are compared. */
  readonly updates: number;
}

/** Of the first step; the next ones follow. */
export const firstStep = { epoch: 1, step: 0 } as const;

/** Large enough that the second gradient differs from the first in its first digit. */
export const learningRate = 0.05;

interface Setting {
  /** Examples; few, but more than one, where batch norm needs several. */
  readonly size?: number;
  readonly microBatch?: number;
  readonly loss?: LossName;
  readonly updates?: number;
  readonly evaluated?: boolean;
  /** Adam's ε where Keras adds it. */
  readonly epsilonHat?: boolean;
  /**
   * Draws parameters and images. Where there are ReLUs or max pooling, one that keeps their inputs away from 0 and from
   * one another: at such a kink rounding alone would decide a gradient.
   */
  readonly seed?: number;
  /**
   * Biases of plus or minus this instead of small ones: with very many values no seed keeps all ReLUs from their kinks,
   * so every channel is wholly open or wholly closed.
   */
  readonly bias?: number;
}

/** Cases by what they are about, the elementary ones first: the first that fails names the fault best. */
export function selfCheckCases(): SelfCheckCase[] {
  const cases: SelfCheckCase[] = [];
  type Layers = (net: NetworkBuilder, x: number) => number;
  const add = (layer: string, input: readonly [number, number, number], layers: Layers, setting: Setting = {}) =>
    cases.push(caseOf(layer, input, layers, setting));
  // What comes first has parameters: in their gradients the rule for the input of what follows is seen.
  const first = (net: NetworkBuilder, x: number, channels = 3) => net.conv('first', x, channels, { kernel: 1 });

  add('Linear', [2, 2, 3], (net, x) => net.relu('relu', net.linear('fc', net.flatten('flat', x), 7, { bias: false })), {
    size: 4,
    updates: 2,
    seed: 2,
  });
  add('BCEWithLogitsLoss', [1, 2, 3], (net, x) => net.relu('relu', net.linear('fc', net.flatten('flat', x), 5)), {
    size: 4,
    loss: 'bce_with_logits',
    updates: 2,
    epsilonHat: true,
  });
  add(
    'Conv2d(3, 4, kernel_size=1)',
    [3, 4, 5],
    (net, x) => net.relu('relu', net.conv('conv', first(net, x), 4, { kernel: 1 })),
    { seed: 146 },
  );
  add('Dropout', [2, 3, 4], (net, x) => {
    x = net.flatten('flat', net.dropout('drop1', first(net, x), 0.4));
    return net.dropout('drop2', net.linear('fc', x, 6), 0.5);
  });
  add(
    'loss.backward() in 3 passes',
    [2, 3, 3],
    (net, x) => net.relu('relu', net.conv('conv', net.dropout('drop', x, 0.3), 3, { kernel: 2 })),
    { size: 5, microBatch: 2, updates: 2, seed: 19 },
  );
  add(
    'torch.add',
    [2, 4, 3],
    (net, x) => {
      const trunk = net.relu('relu1', first(net, x));
      x = net.conv('conv', trunk, 3, { kernel: 3, padding: 1 });
      return net.relu('relu2', net.add('add', x, trunk));
    },
    { seed: 91 },
  );

  add(
    'Conv2d(3, 5, kernel_size=3, padding=1)',
    [2, 5, 6],
    (net, x) => net.relu('relu', net.conv('conv', first(net, x), 5, { kernel: 3, padding: 1 })),
    { seed: 58 },
  );
  add('Conv2d(1, 12, kernel_size=3)', [1, 6, 5], (net, x) =>
    net.conv('conv2', net.conv('conv1', x, 12, { kernel: 3, bias: false }), 3, { kernel: 2 }),
  );
  add('Conv2d(24, 6, kernel_size=3, padding=1)', [2, 5, 4], (net, x) =>
    net.conv('conv', first(net, x, 24), 6, { kernel: 3, padding: 1, bias: false }),
  );
  add('Conv2d(6, 16, kernel_size=5)', [2, 7, 6], (net, x) => net.conv('conv', first(net, x, 6), 16, { kernel: 5 }));
  add('Conv2d(6, 8, kernel_size=3)', [2, 5, 6], (net, x) => net.conv('conv', first(net, x, 6), 8, { kernel: 3 }));
  add('Conv2d(4, 5, kernel_size=3, stride=2, padding=1)', [2, 7, 6], (net, x) =>
    net.conv('conv', first(net, x, 4), 5, { kernel: 3, stride: 2, padding: 1, bias: false }),
  );
  add('Conv2d(4, 5, kernel_size=1, stride=2)', [2, 5, 6], (net, x) =>
    net.conv('conv', first(net, x, 4), 5, { kernel: 1, stride: 2, bias: false }),
  );
  add('Conv2d(3, 2, kernel_size=11, stride=4, padding=2)', [2, 15, 16], (net, x) =>
    net.conv('conv', first(net, x), 2, { kernel: 11, stride: 4, padding: 2 }),
  );
  add('Conv2d(3, 4, kernel_size=3, stride=2, padding="same")', [2, 6, 7], (net, x) =>
    net.conv('conv', first(net, x), 4, { kernel: 3, stride: 2, padding: 'same' }),
  );
  add('Conv2d(3, 4, kernel_size=(5, 3), stride=(3, 1), padding=(2, 0, 1, 2))', [2, 7, 4], (net, x) =>
    net.conv('conv', first(net, x), 4, {
      kernel: [5, 3],
      stride: [3, 1],
      padding: { top: 2, left: 0, bottom: 1, right: 2 },
    }),
  );

  add('MaxPool2d(kernel_size=2)', [2, 5, 6], (net, x) => net.maxPool('pool', first(net, x), { kernel: 2 }), {
    seed: 6,
  });
  add('MaxPool2d(kernel_size=3, stride=2)', [2, 7, 7], (net, x) =>
    net.maxPool('pool', first(net, x), { kernel: 3, stride: 2 }),
  );
  add(
    'MaxPool2d(kernel_size=3, stride=2, padding=1)',
    [2, 5, 6],
    (net, x) => net.maxPool('pool', net.relu('relu', first(net, x)), { kernel: 3, stride: 2, padding: 1 }),
    { seed: 89 },
  );
  add('AvgPool2d(kernel_size=2)', [2, 5, 6], (net, x) => net.avgPool('pool', first(net, x), { kernel: 2 }));
  for (const countIncludePad of [true, false]) {
    const counted = countIncludePad ? '' : ', count_include_pad=False';
    add(`AvgPool2d(kernel_size=3, stride=2, padding=1${counted})`, [2, 5, 6], (net, x) =>
      net.avgPool('pool', first(net, x), { kernel: 3, stride: 2, padding: 1, countIncludePad }),
    );
  }
  add('AdaptiveAvgPool2d(1)', [2, 3, 4], (net, x) => net.adaptiveAvgPool('pool', first(net, x), 1));
  add('AdaptiveAvgPool2d((3, 2)) of 7×5', [2, 7, 5], (net, x) => net.adaptiveAvgPool('pool', first(net, x), [3, 2]));
  add('AdaptiveAvgPool2d((4, 5)) of 2×3', [2, 2, 3], (net, x) => net.adaptiveAvgPool('pool', first(net, x), [4, 5]));

  add(
    'BatchNorm2d',
    [2, 4, 5],
    (net, x) => {
      x = net.relu('relu', net.batchNorm('bn1', net.conv('conv1', x, 3, { kernel: 1, bias: false })));
      return net.batchNorm('bn2', net.conv('conv2', x, 2, { kernel: 2, bias: false }));
    },
    { updates: 2, seed: 50 },
  );
  add(
    'BatchNormalization(momentum=0.99, epsilon=0.001)',
    [2, 4, 3],
    (net, x) => {
      const keras = { eps: 1e-3, momentum: 0.01, unbiasedRunningVariance: false };
      return net.batchNorm('bn', net.conv('conv', x, 3, { kernel: 1, bias: false }), keras);
    },
    { updates: 1 },
  );
  add(
    'torch.add of two strided ways with BatchNorm2d',
    [2, 5, 6],
    (net, x) => {
      const trunk = net.relu('relu1', first(net, x));
      x = net.batchNorm('bn1', net.conv('conv1', trunk, 4, { kernel: 3, stride: 2, padding: 1, bias: false }));
      const aside = net.batchNorm('bn2', net.conv('conv2', trunk, 4, { kernel: 1, stride: 2, bias: false }));
      return net.relu('relu2', net.add('add', x, aside));
    },
    { seed: 137 },
  );

  // Engines have other algorithms for wide convolutions and for images that are large once unfolded, and for convolutions
  // that a ReLU follows.
  const bothWays = (net: NetworkBuilder, x: number, of: { kernel: number; stride: number; padding?: number }) =>
    net.add('add', net.relu('relu', net.conv('conv1', x, 2, of)), net.conv('conv2', x, 2, of));
  add(
    'Conv2d(64, 68, kernel_size=3, padding=1)',
    [2, 4, 8],
    (net, x) => {
      x = net.relu('relu1', net.conv('conv1', first(net, x, 64), 68, { kernel: 3, padding: 1 }));
      x = net.conv('conv2', x, 64, { kernel: 3, padding: 1, bias: false });
      return net.relu('relu2', net.batchNorm('bn', x));
    },
    { size: 2, bias: 4 },
  );
  add(
    'Conv2d(64, 66, kernel_size=5, padding=2)',
    [2, 3, 4],
    (net, x) => net.relu('relu', net.conv('conv', first(net, x, 64), 66, { kernel: 5, padding: 2 })),
    { size: 2, bias: 4 },
  );
  add(
    'Conv2d(32, 2, kernel_size=5, padding=2) of 26×26',
    [2, 26, 26],
    (net, x) => net.relu('relu', net.conv('conv', first(net, x, 32), 2, { kernel: 5, padding: 2 })),
    { size: 8, bias: 4, evaluated: false },
  );
  add(
    'Conv2d(32, 2, kernel_size=5, stride=2) of 55×55',
    [2, 55, 55],
    (net, x) => bothWays(net, first(net, x, 32), { kernel: 5, stride: 2 }),
    { size: 8, bias: 4, evaluated: false },
  );
  add(
    'Conv2d(16, 2, kernel_size=7, stride=2, padding=3) of 74×73',
    [2, 74, 73],
    (net, x) => bothWays(net, first(net, x, 16), { kernel: 7, stride: 2, padding: 3 }),
    { size: 8, bias: 4, evaluated: false },
  );
  return cases;
}

function caseOf(
  layer: string,
  input: readonly [number, number, number],
  layers: (net: NetworkBuilder, x: number) => number,
  setting: Setting,
): SelfCheckCase {
  const {
    size = 3,
    loss = 'cross_entropy',
    microBatch = size,
    updates = 0,
    evaluated = true,
    epsilonHat,
    seed = 1,
    bias,
  } = setting;
  const net = new NetworkBuilder(layer, input);
  let x = layers(net, net.input);
  if (net.shape(x).length === 3) x = net.flatten('flatten', x);
  net.linear('head', x, loss === 'cross_entropy' ? 3 : 1);
  const network = net.build();

  const draw = (length: number, stream: number, bound: number) => {
    const values = new Float32Array(length);
    fillUniform(values, streamKey(seed, stream), bound);
    return values;
  };
  const rectified = new Set(network.nodes.flatMap(({ op, inputs }) => (op.kind === 'relu' ? inputs : [])));
  const parameters: Tensors = new Map(
    network.parameters.map(({ name, role, shape, node }, k) => {
      const n = elements(shape);
      // Keeps the size of activations from layer to layer.
      if (shape.length >= 2) return [name, draw(n, k, Math.sqrt(3 / elements(shape.slice(1))))];
      if (role === 'weight') return [name, draw(n, k, 0.5).map((v) => 1 + v)];
      const small = draw(n, k, 0.5);
      return [name, bias !== undefined && rectified.has(node) ? small.map((v) => Math.sign(v) * bias) : small];
    }),
  );
  const buffers: Tensors = new Map(
    network.buffers.map((b, k) => [b.name, draw(elements(b.shape), 100 + k, 0.5).map((v) => b.initial + v)]),
  );
  const classes = Math.max(network.outputs, 2);
  const batch = {
    images: draw(size * elements(input), 200, 1),
    labels: Int32Array.from({ length: size }, (_, i) => word(streamKey(seed, 201), i) % classes),
    size,
  };
  // An epsilon of the size of the gradients shows where it is added, and keeps an update from hanging on a tiny one's sign.
  const optimizer = { name: 'adam', learningRate, beta1: 0.9, beta2: 0.999, eps: 1e-3, epsilonHat } as const;
  return {
    layer,
    network,
    options: { batchSize: size, microBatch, loss, optimizer, seed },
    parameters,
    buffers,
    batch,
    evaluated,
    updates,
  };
}

/** Numbers of a fingerprint: one might be small by chance. */
export const projections = 4;

/**
 * What stands for a tensor: its dot products with random vectors. A value, a sign or an order that is wrong changes them
 * by as much as it changes the tensor.
 */
export function fingerprint(values: ArrayLike<number>, tensor: number): number[] {
  return Array.from({ length: projections }, (_, k) => {
    const direction = fingerprintDirection(values.length, tensor, k);
    let sum = 0;
    for (let i = 0; i < direction.length; i++) sum += values[i]! * direction[i]!;
    return sum;
  });
}

/** The k-th vector that the tensor of this index is projected on: uniform in [-1, 1). */
export function fingerprintDirection(length: number, tensor: number, k: number): Float32Array {
  const direction = new Float32Array(length);
  fillUniform(direction, streamKey(7, tensor, k), 1);
  return direction;
}
