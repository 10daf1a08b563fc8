/** The exported ONNX model, run by ONNX Runtime as any program would, against the embedded engine's evaluation. */
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { buildNetwork } from '../../src/core/networks/catalog';
import { elements, initialBuffers, initialParameters, Network, NetworkBuilder } from '../../src/core/networks/network';
import { fillUniform, streamKey } from '../../src/core/random';
import { LossName } from '../../src/trainer/engines/engine';
import { onnxProvider } from '../../src/trainer/engines/onnx/provider';
import { inferenceModel } from '../../src/trainer/engines/onnx/inference';
import { everyLayer } from './cases';
import { goldenBatch, goldenNetwork, goldenParameters, readGolden } from './golden';

const metadata = { classes: '["Katze","狗"]', mean: '[0.485,0.456,0.406]' };

async function run(network: Network, loss: LossName, state: ReturnType<typeof stateOf>, images: Float32Array) {
  const model = inferenceModel(network, state.parameters, state.buffers, { loss, metadata });
  for (const text of Object.entries(metadata).flat()) expect(Buffer.from(model).includes(text), text).toBe(true);
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3 });
  try {
    expect([session.inputNames, session.outputNames]).toEqual([['images'], ['logits', 'probabilities']]);
    const size = images.length / elements(network.inputShape);
    const results = await session.run({ images: new ort.Tensor('float32', images, [size, ...network.inputShape]) });
    const [logits, probabilities] = [results['logits']!, results['probabilities']!];
    const classes = loss === 'bce_with_logits' ? 2 : network.outputs;
    expect(logits.dims).toEqual([size, network.outputs]);
    expect(probabilities.dims).toEqual([size, classes]);
    return { logits: logits.data as Float32Array, probabilities: probabilities.data as Float32Array, classes };
  } finally {
    await session.release();
  }
}

/** Parameters as training starts, running statistics away from 0 and 1. */
function stateOf(network: Network) {
  const buffers = initialBuffers(network);
  [...buffers.values()].forEach((values, k) => {
    const noise = new Float32Array(values.length);
    fillUniform(noise, streamKey(1, 77, k), 0.4);
    values.forEach((v, i) => (values[i] = v + noise[i]!));
  });
  return { parameters: initialParameters(network, 3), buffers };
}

function expectClose(actual: Float32Array, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual).toHaveLength(expected.length);
  const scale = Math.max(...Array.from(expected, Math.abs));
  actual.forEach((v, i) => expect(Math.abs(v - expected[i]!)).toBeLessThan(tolerance * scale));
}

/** Pooling whose windows overlap in an image that they do not tile, with and without padded zeros in the mean. */
function pools(): Network {
  const net = new NetworkBuilder('pools', [2, 11, 8]);
  let x = net.avgPool('uncounted', net.input, { kernel: 3, stride: 2, padding: 'same', countIncludePad: false });
  x = net.avgPool('counted', x, { kernel: 3, stride: 1, padding: 1 });
  x = net.adaptiveAvgPool('adaptive', x, [4, 7]);
  net.linear('fc', net.flatten('flatten', x), 3);
  return net.build();
}

describe('an exported ONNX model', () => {
  const networks: [string, Network, LossName][] = [
    ['every kind of layer', everyLayer(), 'cross_entropy'],
    ['every kind of pooling', pools(), 'cross_entropy'],
    ['LeNet-5', buildNetwork('lenet5', [1, 32, 32], 10), 'cross_entropy'],
    [
      'AlexNet, whose last image is smaller than its pooling',
      buildNetwork('alexnet', [3, 64, 64], 1),
      'bce_with_logits',
    ],
    ['ResNet-18', buildNetwork('resnet18', [3, 64, 64], 1), 'bce_with_logits'],
    ['Keras’s AlexNet', buildNetwork('alexnet-keras', [3, 64, 64], 1), 'bce_with_logits'],
    ['Keras’s ResNet-50', buildNetwork('resnet50-keras', [3, 64, 64], 2), 'cross_entropy'],
  ];
  it.each(networks)('of %s computes what the engine’s evaluation does, for any batch', async (_, network, loss) => {
    const state = stateOf(network);
    const engine = await onnxProvider.open({});
    const optimizer = { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
    const model = await engine.compile(network, { batchSize: 4, loss, optimizer, seed: 1 });
    await model.load(state);
    for (const size of [1, 3]) {
      const images = new Float32Array(size * elements(network.inputShape));
      fillUniform(images, streamKey(1, 5, size), 1);
      const expected = await model.evaluate({ images, labels: new Int32Array(size), size });
      const { logits, probabilities, classes } = await run(network, loss, state, images);
      // Other kernels and another order of summation, in float32.
      expectClose(logits, expected.logits, 1e-4);
      for (let i = 0; i < size; i++) {
        const row = probabilities.subarray(i * classes, (i + 1) * classes);
        expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
        if (loss === 'bce_with_logits') expect(row[1]).toBeCloseTo(1 / (1 + Math.exp(-expected.logits[i]!)), 5);
        else expect(row.indexOf(Math.max(...row))).toBe(indexOfLargest(expected.logits, i * classes, classes));
      }
    }
    await engine.dispose();
  });

  it('of AlexNet at full size gives PyTorch’s logits', async () => {
    const golden = readGolden('alexnet');
    const network = goldenNetwork(golden);
    const state = { parameters: goldenParameters(network), buffers: initialBuffers(network) };
    const { logits } = await run(network, golden.loss_function, state, goldenBatch(golden).images);
    expectClose(logits, golden.eval_logits.flat(), 1e-4);
  });
});

function indexOfLargest(values: Float32Array, first: number, count: number): number {
  const row = [...values.subarray(first, first + count)];
  return row.indexOf(Math.max(...row));
}
