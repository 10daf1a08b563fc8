/** The networks against torchvision's and Keras's: names, shapes, order, costs, and how their parameters start. */
import { describe, expect, it } from 'vitest';
import { buildNetwork, NetworkName, networkNames } from '../../src/core/networks/catalog';
import {
  elements,
  glorotUniform,
  initialBuffers,
  initialParameters,
  layerCosts,
  NetworkBuilder,
  parameterCount,
} from '../../src/core/networks/network';
import { goldenNetwork, readGolden } from '../engines/golden';

describe.each(networkNames)('%s and its original', (name) => {
  const golden = readGolden(name);
  const network = goldenNetwork(golden);

  it('have the same parameters in the same order', () => {
    expect(network.parameters.map(({ name, shape }) => ({ name, shape }))).toEqual(golden.parameters);
    expect(parameterCount(network)).toBe(golden.parameter_count);
  });

  it('have the same buffers in the same order', () => {
    // PyTorch also counts batches; ConvLab's momentum is fixed, so it has no use for the count.
    const expected = golden.buffers.filter((buffer) => !buffer.name.endsWith('num_batches_tracked'));
    expect(network.buffers.map(({ name, shape }) => ({ name, shape }))).toEqual(expected);
    for (const buffer of network.buffers) {
      const values = initialBuffers(network).get(buffer.name)!;
      expect(values.every((value) => value === (buffer.name.endsWith('running_var') ? 1 : 0))).toBe(true);
    }
  });

  it('give one logit vector per example', () => {
    expect(network.outputs).toBe(golden.train_logits[0]!.length);
    expect(network.nodes.at(-1)!.shape).toEqual([network.outputs]);
  });
});

describe('costs', () => {
  // LeNet-5 by hand: conv1 6·25·28², conv2 16·6·25·10², fc 400·120 + 120·84 + 84·10. The others, with 1000 classes at
  // 224 pixels, are the multiply-adds of convolution and linear layers behind the GFLOPS column of torchvision's table
  // of weights (0.71, 15.47, 1.81, 4.09: it counts a multiply-add as one operation), to the last one.
  it.each([
    ['lenet5', [1, 32, 32], 10, 416_520],
    ['alexnet', [3, 224, 224], 1000, 714_188_480],
    ['vgg16', [3, 224, 224], 1000, 15_470_264_320],
    ['resnet18', [3, 224, 224], 1000, 1_814_073_344],
    ['resnet50', [3, 224, 224], 1000, 4_089_184_256],
    // Keras's VGG-16 is the same; its ResNet-50 strides a layer earlier, in the 1×1 convolution before the 3×3.
    ['vgg16-keras', [3, 224, 224], 1000, 15_470_264_320],
    ['resnet50-keras', [3, 224, 224], 1000, 3_857_973_248],
  ] as const)('%s takes the known number of multiply-adds', (name, input, outputs, multiplyAdds) => {
    const costs = layerCosts(buildNetwork(name, input, outputs));
    expect(costs.reduce((sum, layer) => sum + layer.multiplyAdds, 0)).toBe(multiplyAdds);
  });

  it('the appendix’s AlexNet has the notes’ size: 6,400 features, 46,751,105 parameters', () => {
    const network = buildNetwork('alexnet-tf', [3, 224, 224], 1);
    expect(parameterCount(network)).toBe(46_751_105);
    expect(network.nodes.find(({ name }) => name === 'flatten')!.shape).toEqual([6400]);
    const dropouts = (name: NetworkName) =>
      buildNetwork(name, [3, 224, 224], 1).nodes.flatMap(({ op }) => (op.kind === 'dropout' ? [op.p] : []));
    expect([dropouts('alexnet-tf'), dropouts('vgg16-tf'), dropouts('vgg16-keras')]).toEqual([
      [0.5, 0.5],
      [0.5, 0.5],
      [],
    ]);
  });

  it('counts every parameter in the layer that owns it', () => {
    const network = buildNetwork('resnet18', [3, 64, 64], 1);
    const costs = layerCosts(network);
    expect(costs.reduce((sum, layer) => sum + layer.parameters, 0)).toBe(parameterCount(network));
    expect(costs.find((layer) => layer.name === 'fc')!.parameters).toBe(513);
    expect(costs.find((layer) => layer.name === 'layer2.0.bn1')!.parameters).toBe(256);
    expect(costs.find((layer) => layer.name === 'conv1')).toMatchObject({ kind: 'conv', shape: [64, 32, 32] });
  });
});

/** What torch.nn's reset_parameters, torchvision's constructors and Keras's layers give each parameter. */
type Start = { uniform: number } | { normal: number } | { value: number };
function pytorchStart(network: NetworkName, name: string, shape: readonly number[], fanIn: number): Start {
  const bias = name.endsWith('.bias');
  const convolution = shape.length === 4;
  const fanOut = convolution ? shape[0]! * shape[2]! * shape[3]! : shape[0]!;
  if (/-(keras|tf)$/.test(network)) {
    const rows = shape.length >= 2;
    return rows ? { uniform: Math.sqrt(6 / (fanIn + fanOut)) } : { value: name.endsWith('_bn.weight') ? 1 : 0 };
  }
  if (network === 'vgg16' && name !== 'classifier.6.weight' && name !== 'classifier.6.bias') {
    if (bias) return { value: 0 };
    return { normal: convolution ? Math.sqrt(2 / fanOut) : 0.01 };
  }
  if (network.startsWith('resnet') && !name.startsWith('fc.')) {
    return convolution ? { normal: Math.sqrt(2 / fanOut) } : { value: bias ? 0 : 1 };
  }
  return { uniform: 1 / Math.sqrt(fanIn) };
}

describe.each(networkNames)('the initialisation of %s', (name) => {
  const golden = readGolden(name);
  // The largest matrices are left out: 100 million numbers say nothing that the first two million do not.
  const whole = goldenNetwork(golden);
  const network = { ...whole, parameters: whole.parameters.filter((p) => elements(p.shape) <= 2 ** 21) };
  const values = initialParameters(network, 7);

  it('follows its framework’s rules', () => {
    let fanIn = 0;
    for (const { name: key, shape } of whole.parameters) {
      // A bias takes its fan from the weight before it.
      if (shape.length >= 2) fanIn = elements(shape.slice(1));
      const start = pytorchStart(name, key, shape, fanIn);
      const drawn = values.get(key);
      if (!drawn) continue;
      const n = drawn.length;
      if ('value' in start) {
        expect(
          drawn.every((v) => v === start.value),
          key,
        ).toBe(true);
        continue;
      }
      const std = 'uniform' in start ? start.uniform / Math.sqrt(3) : start.normal;
      const mean = drawn.reduce((sum, v) => sum + v, 0) / n;
      const variance = drawn.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n;
      // Five standard errors; a sample's standard deviation has the relative error sqrt((kurtosis - 1) / 4n).
      const kurtosis = 'uniform' in start ? 1.8 : 3;
      expect(Math.abs(mean), `mean of ${key}`).toBeLessThan((5 * std) / Math.sqrt(n));
      // (A bias of one value has no spread.)
      if (n >= 30) {
        expect(Math.abs(Math.sqrt(variance) / std - 1), `spread of ${key}`).toBeLessThan(
          5 * Math.sqrt((kurtosis - 1) / (4 * n)) + 1 / n,
        );
      }
      const largest = drawn.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      if ('uniform' in start) expect(largest, key).toBeLessThanOrEqual(Math.fround(start.uniform));
      // A thousand normal numbers all within 1.9 standard deviations have a chance below 1e-25.
      else if (n >= 1000) expect(largest, key).toBeGreaterThan(1.9 * std);
    }
  });

  it('is the same for the same seed and different for another', () => {
    const first = network.parameters.find((p) => p.init.kind !== 'constant')!.name;
    expect(initialParameters(network, 7).get(first)).toEqual(values.get(first));
    expect(initialParameters(network, 8).get(first)).not.toEqual(values.get(first));
  });
});

describe('inputs', () => {
  it.each([
    ['lenet5', 1, 4, 'the 5×5 window of conv1 does not fit its 4×4 input', 16],
    ['lenet5', 1, 15, 'the 2×2 window of pool2 does not fit its 1×1 input', 16],
    ['alexnet', 3, 62, 'the 3×3 window of features.12 does not fit its 2×2 input', 63],
    ['vgg16', 3, 31, 'the 2×2 window of features.30 does not fit its 1×1 input', 32],
    ['alexnet-tf', 3, 66, 'the 3×3 window of pool5 does not fit its 2×2 input', 67],
    ['alexnet-keras', 3, 56, 'the 3×3 window of pool5 does not fit its 2×2 input', 57],
    ['vgg16-keras', 3, 31, 'the 2×2 window of block5_pool does not fit its 1×1 input', 32],
  ] as const)('of %s with %i channels and %i pixels are too small: %s', (name, channels, small, sentence, enough) => {
    expect(() => buildNetwork(name, [channels, small, small], 1)).toThrow(
      expect.objectContaining({ name: 'WindowTooLarge', message: `${name}: ${sentence}; use a larger input size` }),
    );
    expect(() => buildNetwork(name, [channels, enough, enough], 1)).not.toThrow();
  });

  it('of any size will do for a ResNet', () => {
    expect(buildNetwork('resnet18', [3, 1, 1], 1).nodes.at(-1)!.shape).toEqual([1]);
  });

  it('keep the parameters: only a first linear layer without pooling before it depends on the size', () => {
    const flattening = ['lenet5', 'alexnet-tf', 'vgg16-tf', 'alexnet-keras', 'vgg16-keras'];
    for (const name of networkNames) {
      const shapes = (size: number) => buildNetwork(name, [3, size, size], 1).parameters.map((p) => p.shape.join('×'));
      const [small, large] = [shapes(72), shapes(112)];
      expect(small.filter((shape, i) => shape !== large[i])).toHaveLength(flattening.includes(name) ? 1 : 0);
    }
  });
});

describe('NetworkBuilder', () => {
  it('pads "same" as TensorFlow does: the odd pixel at the bottom and right', () => {
    const net = new NetworkBuilder('test', [1, 6, 7]);
    net.conv('conv', net.input, 1, { kernel: [3, 2], stride: [2, 1], padding: 'same' });
    net.linear('fc', net.flatten('flatten', 1), 1);
    const node = net.build().nodes[1]!;
    expect(node.op).toMatchObject({ padding: { top: 0, bottom: 1, left: 0, right: 1 } });
    expect(node.shape).toEqual([1, 3, 7]);
  });

  it('names layers once, flattens before a linear layer, and adds equal shapes', () => {
    const net = new NetworkBuilder('test', [2, 4, 4]);
    const conv = net.conv('conv', net.input, 2, { kernel: 3 });
    expect(() => net.relu('conv', conv)).toThrow('test: two layers named conv');
    expect(() => net.linear('fc', conv, 1)).toThrow('test: fc needs a flattened input, not 2×2×2');
    expect(() => net.add('add', conv, net.input)).toThrow('test: add adds 2×2×2 and 2×4×4');
    expect(() => net.build()).toThrow('test: the last layer must give a vector of logits');
    const flat = net.flatten('flatten', conv);
    expect(() => net.conv('again', flat, 1, { kernel: 1 })).toThrow('test: again needs an image, not 8');
  });

  it('gives Glorot’s bound from both fans', () => {
    expect(glorotUniform({ fanIn: 27, fanOut: 69 })).toEqual({ kind: 'uniform', bound: 0.25 });
  });
});
