/**
 * Files of weights between ConvLab and PyTorch itself: full-size ones that PyTorch wrote are read, and what ConvLab
 * exports is loaded by PyTorch, strictly. CONVLAB_PYTORCH names a Python with torch and numpy; .ci/run makes one.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork, NetworkName } from '../../src/core/networks/catalog';
import { elements, freezeFeatures, initialBuffers } from '../../src/core/networks/network';
import { stateDictOf, writeWhole } from '../../src/trainer/weights/export';
import { StateDict, writeStateDict } from '../../src/trainer/weights/pth';
import { onnxProvider } from '../../src/trainer/engines/onnx/provider';
import { goldenBatch, goldenNetwork, goldenParameters, readGolden } from './golden';

const python = process.env['CONVLAB_PYTORCH'];

function pytorch(args: readonly string[], input = ''): string {
  const script = path.join(import.meta.dirname, 'pytorch.py');
  const { status, stdout, stderr } = spawnSync(python!, [script, ...args], { input, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout;
}

describe.skipIf(!python)('PyTorch', () => {
  let folder: string;
  beforeAll(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-pytorch-'))));
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

  it.each([
    ['alexnet', true],
    ['alexnet', false],
    ['vgg16', false],
    ['resnet18', true],
    ['resnet18', false],
    ['resnet50', false],
  ] as const)('writes a whole %s (older format: %s), which is read to the last number', (name, legacy) => {
    const network = buildNetwork(name, [3, 224, 224], 1000);
    const tensors = [...network.parameters, ...network.buffers].map(({ name, shape }) => ({ name, shape }));
    const file = path.join(folder, `${name}.pth`);
    pytorch(['write'], JSON.stringify([{ file, legacy, tensors }]));
    const weights = StateDict.open(file);
    try {
      expect(weights.names).toEqual(tensors.map((t) => t.name));
      tensors.forEach(({ name, shape }, k) => {
        const values = weights.read(name);
        expect(values).toHaveLength(elements(shape));
        let wrong = 0;
        for (let i = 0; i < values.length; i++) if (values[i] !== Math.fround((i % 1021) / 1024 + k)) wrong++;
        expect(wrong, name).toBe(0);
      });
    } finally {
      weights.close();
      fs.rmSync(file);
    }
  });

  it('trains the last layer of a frozen ResNet-18 as the engine does', async () => {
    const golden = readGolden('resnet18');
    const network = freezeFeatures(goldenNetwork(golden));
    const file = path.join(folder, 'resnet18-frozen.pth');
    const state = { parameters: goldenParameters(network), buffers: initialBuffers(network) };
    writeWhole(file, (descriptor) => writeStateDict(descriptor, stateDictOf(network, state, 7)));
    const steps = 5;
    const expected = JSON.parse(pytorch(['freeze', file, String(steps)])) as number[];
    const engine = await onnxProvider.open({});
    const optimizer = { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
    const model = await engine.compile(network, { batchSize: 2, loss: 'bce_with_logits', optimizer, seed: 1 });
    await model.load(state);
    const batch = { ...goldenBatch(golden), labels: Int32Array.of(0, 1) };
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      losses.push((await model.trainStep(batch, { epoch: 1, step }, optimizer.learningRate)).loss);
    }
    await engine.dispose();
    expect(losses[steps - 1]).toBeLessThan(losses[0]!);
    // Float32 sums in another order, through 18 layers.
    losses.forEach((loss, step) => expect(Math.abs(loss / expected[step]! - 1), `step ${step}`).toBeLessThan(1e-3));
  });

  it.each(['lenet5', 'alexnet', 'resnet18'] satisfies NetworkName[])(
    'loads an exported %s strictly, and computes the same logits',
    (name) => {
      const golden = readGolden(name);
      const network = goldenNetwork(golden);
      const file = path.join(folder, `${name}-exported.pth`);
      const state = { parameters: goldenParameters(network), buffers: initialBuffers(network) };
      writeWhole(file, (descriptor) => writeStateDict(descriptor, stateDictOf(network, state, 7)));
      const { logits, sameKeys, types } = JSON.parse(pytorch(['load', file, name])) as {
        logits: number[];
        sameKeys: boolean;
        types: string[];
      };
      expect(sameKeys).toBe(true);
      expect(types).toEqual(name === 'resnet18' ? ['torch.float32', 'torch.int64'] : ['torch.float32']);
      // Float32 sums in PyTorch against float64 figures.
      golden.eval_logits.flat().forEach((logit, i) => {
        expect(Math.abs(logits[i]! - logit)).toBeLessThan(1e-4 * Math.max(1, Math.abs(logit)));
      });
    },
  );
});
