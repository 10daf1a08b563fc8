/**
 * The small networks that the conformance suite computes with: one per backward rule on the shapes where implementations
 * go wrong, and one of every layer.
 */
import { Network, NetworkBuilder } from '../../src/core/networks/network';
import { LossName } from '../../src/trainer/engines/engine';

/** A network from a function that adds its layers. */
export function networkOf(
  name: string,
  input: readonly [number, number, number],
  layers: (net: NetworkBuilder, x: number) => number,
): Network {
  const net = new NetworkBuilder(name, input);
  layers(net, net.input);
  return net.build();
}

/** One of everything, with a shortcut, on odd sizes. */
export function everyLayer(): Network {
  return networkOf('every', [2, 9, 7], (net, x) => {
    x = net.conv('conv1', x, 4, { kernel: 3, stride: 2, padding: 1, bias: false });
    x = net.relu('relu1', net.batchNorm('bn', x));
    const trunk = net.maxPool('maxpool', x, { kernel: 3, stride: 2, padding: 1 });
    x = net.relu('relu2', net.conv('conv2', trunk, 4, { kernel: 3, padding: 'same' }));
    x = net.relu('relu3', net.add('add', x, trunk));
    x = net.avgPool('avgpool', x, { kernel: 2, stride: 1, padding: 1 });
    x = net.adaptiveAvgPool('adaptive', x, 2);
    return net.linear('fc', net.dropout('drop', net.flatten('flatten', x), 0.25), 5);
  });
}

export interface GradientCase {
  readonly name: string;
  readonly network: Network;
  readonly size: number;
  readonly loss: LossName;
}

/** Each backward rule on the shapes where implementations go wrong. */
export function gradientCases(): GradientCase[] {
  const cases: GradientCase[] = [];
  const add = (
    name: string,
    input: readonly [number, number, number],
    layers: (net: NetworkBuilder, x: number) => number,
    options: { size?: number; loss?: LossName; outputs?: number } = {},
  ) => {
    const { size = 3, loss = 'cross_entropy', outputs = loss === 'cross_entropy' ? 3 : 1 } = options;
    const network = networkOf(name, input, (net, x) => {
      x = layers(net, x);
      if (net.shape(x).length === 3) x = net.flatten('flatten', x);
      return net.linear('head', x, outputs);
    });
    cases.push({ name, network, size, loss });
  };
  // What comes first has parameters, so that the rule for the input of what follows is seen in their gradients.
  const first = (net: NetworkBuilder, x: number, channels = 3) => net.conv('first', x, channels, { kernel: 1 });

  add('convolution 3×3', [2, 5, 7], (net, x) => net.conv('conv', first(net, x), 4, { kernel: 3 }));
  add(
    'convolution 3×3, padding 1, batch 1',
    [2, 4, 5],
    (net, x) => net.conv('conv', first(net, x), 2, { kernel: 3, padding: 1 }),
    { size: 1 },
  );
  add('convolution 5×5, padding 2, without bias', [1, 6, 5], (net, x) =>
    net.conv('conv', first(net, x, 2), 3, { kernel: 5, padding: 2, bias: false }),
  );
  add('convolution 5×5 as large as its input', [2, 5, 5], (net, x) =>
    net.conv('conv', first(net, x, 2), 3, { kernel: 5 }),
  );
  add('convolution 1×1, stride 2, odd size', [3, 5, 7], (net, x) =>
    net.conv('conv', first(net, x, 4), 5, { kernel: 1, stride: 2, bias: false }),
  );
  add('convolution 2×2, stride 2, odd size', [2, 5, 7], (net, x) =>
    net.conv('conv', first(net, x), 2, { kernel: 2, stride: 2 }),
  );
  add('convolution 3×3, stride 2, padding 1, odd and even', [2, 7, 8], (net, x) =>
    net.conv('conv', first(net, x), 3, { kernel: 3, stride: 2, padding: 1 }),
  );
  add('convolution 3×3, stride 2, a row and a column left over', [2, 6, 8], (net, x) =>
    net.conv('conv', first(net, x), 3, { kernel: 3, stride: 2 }),
  );
  add('convolution 3×3, stride 2, "same": padding at bottom and right only', [2, 6, 8], (net, x) =>
    net.conv('conv', first(net, x), 3, { kernel: 3, stride: 2, padding: 'same' }),
  );
  add('convolution 2×2, "same": padding at bottom and right only', [2, 4, 3], (net, x) =>
    net.conv('conv', first(net, x), 3, { kernel: 2, padding: 'same' }),
  );
  add('convolution 2×2, padding at top and left only', [2, 4, 3], (net, x) =>
    net.conv('conv', first(net, x), 3, { kernel: 2, padding: { top: 1, left: 1, bottom: 0, right: 0 } }),
  );
  add('convolution 5×3, strides 3 and 1, four different paddings', [2, 7, 4], (net, x) =>
    net.conv('conv', first(net, x), 2, {
      kernel: [5, 3],
      stride: [3, 1],
      padding: { top: 2, left: 0, bottom: 1, right: 2 },
    }),
  );
  add('convolution 7×7, stride 4, padding 2', [3, 15, 13], (net, x) =>
    net.conv('conv', first(net, x, 2), 2, { kernel: 7, stride: 4, padding: 2 }),
  );
  add('convolution after convolution, from 6 to 8 channels', [1, 7, 6], (net, x) => {
    x = net.conv('conv1', x, 6, { kernel: 3, padding: 1 });
    return net.conv('conv2', x, 8, { kernel: 3, stride: 2 });
  });
  add('convolution with one input and one output channel', [1, 5, 5], (net, x) =>
    net.conv('conv', first(net, x, 1), 1, { kernel: 3 }),
  );
  add('relu', [2, 5, 3], (net, x) => net.relu('relu', net.conv('conv', x, 4, { kernel: 3 })));

  add('max pooling 2×2, odd size', [2, 5, 7], (net, x) => net.maxPool('pool', first(net, x), { kernel: 2 }));
  add('max pooling 3×3, stride 2, overlapping', [2, 7, 9], (net, x) =>
    net.maxPool('pool', first(net, x), { kernel: 3, stride: 2 }),
  );
  add('max pooling 3×3, stride 2, padding 1, after a relu', [2, 7, 6], (net, x) =>
    net.maxPool('pool', net.relu('relu', first(net, x)), { kernel: 3, stride: 2, padding: 1 }),
  );
  add(
    'max pooling 3×3, stride 1, padding 1, batch 1',
    [2, 4, 5],
    (net, x) => net.maxPool('pool', first(net, x), { kernel: 3, stride: 1, padding: 1 }),
    { size: 1 },
  );
  add('max pooling of negative numbers, "same" padding at bottom and right', [2, 6, 4], (net, x) => {
    // With biases around -5 every value is below zero: padding must not win.
    x = net.conv('conv', x, 2, { kernel: 1, biasInit: () => ({ kind: 'constant', value: -5 }) });
    return net.maxPool('pool', x, { kernel: 3, stride: 2, padding: 'same' });
  });
  add('max pooling of negative numbers, padding all around', [2, 6, 8], (net, x) => {
    x = net.conv('conv', x, 2, { kernel: 1, biasInit: () => ({ kind: 'constant', value: -5 }) });
    return net.maxPool('pool', x, { kernel: 3, stride: 2, padding: 1 });
  });
  add('max pooling 3×2, strides 1 and 2', [1, 5, 6], (net, x) =>
    net.maxPool('pool', first(net, x, 2), { kernel: [3, 2], stride: [1, 2] }),
  );

  add('average pooling 2×2, odd size', [2, 5, 7], (net, x) => net.avgPool('pool', first(net, x), { kernel: 2 }));
  add('average pooling 2×2, even size', [2, 4, 6], (net, x) => net.avgPool('pool', first(net, x), { kernel: 2 }));
  for (const countIncludePad of [true, false]) {
    const counted = countIncludePad ? 'padding counts' : 'padding does not count';
    add(`average pooling 3×3, stride 2, padding 1, ${counted}`, [2, 7, 6], (net, x) =>
      net.avgPool('pool', first(net, x), { kernel: 3, stride: 2, padding: 1, countIncludePad }),
    );
    add(`average pooling 3×3, stride 2, "same" padding, ${counted}`, [2, 6, 5], (net, x) =>
      net.avgPool('pool', first(net, x), { kernel: 3, stride: 2, padding: 'same', countIncludePad }),
    );
  }
  add('average pooling 3×3, stride 1, overlapping', [1, 5, 4], (net, x) =>
    net.avgPool('pool', first(net, x), { kernel: 3, stride: 1 }),
  );

  for (const [from, to] of [
    ['2×3', '4×5'],
    ['7×5', '3×2'],
    ['6×4', '3×2'],
    ['5×3', '1×1'],
    ['3×4', '3×4'],
    ['1×1', '3×3'],
    ['3×8', '5×3'],
  ] as const) {
    const [h, w] = from.split('×').map(Number) as [number, number];
    add(`adaptive average pooling from ${from} to ${to}`, [2, h, w], (net, x) =>
      net.adaptiveAvgPool('pool', first(net, x), to.split('×').map(Number) as [number, number]),
    );
  }

  add('batch norm', [2, 4, 3], (net, x) => net.batchNorm('bn', first(net, x)));
  add('batch norm of one example', [2, 3, 5], (net, x) => net.batchNorm('bn', first(net, x)), { size: 1 });
  add('batch norm with Keras’s settings, relu, another batch norm', [2, 5, 4], (net, x) => {
    const keras = { eps: 1e-3, momentum: 0.01, unbiasedRunningVariance: false };
    x = net.relu('relu', net.batchNorm('bn1', first(net, x), keras));
    return net.batchNorm('bn2', net.conv('conv', x, 2, { kernel: 3, padding: 1, bias: false }), keras);
  });

  add('dropout of images and of features', [2, 3, 4], (net, x) => {
    x = net.flatten('flat', net.dropout('drop1', first(net, x), 0.4));
    return net.dropout('drop2', net.linear('fc', x, 6), 0.5);
  });
  add('flatten of several channels, then two linear layers', [3, 2, 3], (net, x) =>
    net.relu('relu', net.linear('fc', net.flatten('flat', first(net, x)), 5)),
  );
  add(
    'linear without bias, batch 1',
    [1, 2, 3],
    (net, x) => net.linear('fc2', net.linear('fc1', net.flatten('flat', x), 4, { bias: false }), 3, { bias: false }),
    { size: 1 },
  );

  add('a shortcut: one node feeds two', [2, 5, 4], (net, x) => {
    const trunk = net.relu('relu1', first(net, x));
    x = net.conv('conv', trunk, 3, { kernel: 3, padding: 1 });
    return net.relu('relu2', net.add('add', x, trunk));
  });
  add('a shortcut with a strided convolution of its own, batch norm on both ways', [2, 5, 7], (net, x) => {
    const trunk = net.relu('relu1', first(net, x));
    x = net.batchNorm('bn1', net.conv('conv1', trunk, 4, { kernel: 3, stride: 2, padding: 1, bias: false }));
    const aside = net.batchNorm('bn2', net.conv('conv2', trunk, 4, { kernel: 1, stride: 2, bias: false }));
    return net.relu('relu2', net.add('add', x, aside));
  });
  add('one node added to itself and used a third time', [2, 3, 3], (net, x) => {
    const trunk = first(net, x, 2);
    return net.add('add2', net.add('add1', trunk, trunk), trunk);
  });

  add('binary cross-entropy', [2, 4, 3], (net, x) => net.relu('relu', net.conv('conv', x, 3, { kernel: 2 })), {
    loss: 'bce_with_logits',
  });
  add('binary cross-entropy, batch 1', [2, 4, 3], (net, x) => net.relu('relu', net.conv('conv', x, 3, { kernel: 2 })), {
    loss: 'bce_with_logits',
    size: 1,
  });
  add('cross-entropy over ten classes, batch 1', [1, 3, 3], (net, x) => first(net, x), { size: 1, outputs: 10 });
  return cases;
}
