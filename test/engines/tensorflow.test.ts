/**
 * Native TensorFlow: the whole suite, the networks' figures, and which library it was. CONVLAB_TENSORFLOW names a folder
 * as `convlab setup tensorflow` makes it (ConvLab's storage, "tensorflow"); without it everything here is skipped.
 */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork } from '../../src/core/networks/catalog';
import { elements, freezeFeatures, initialBuffers, initialParameters, Network } from '../../src/core/networks/network';
import { fillUniform, streamKey } from '../../src/core/random';
import type { AdamOptions, Engine, ModelOptions, ModelState, StepResult } from '../../src/trainer/engines/engine';
import { findInstallation, packageFolder, readRecord, tryOut } from '../../src/trainer/tensorflow/installation';
import { fusedKernels } from '../../src/trainer/engines/tfjs/kernels';
import { tfjsEngine } from '../../src/trainer/engines/tfjs/engine';
import { nodeBackend } from '../../src/trainer/engines/tfjs/nodeBackend';
import type { Tf } from '../../src/trainer/engines/tfjs/api';
import { tensorflowProvider } from '../../src/trainer/engines/tfjs/provider';
import { everyLayer, networkOf } from './cases';
import { describeEngine } from './conformance';
import { tfjsLibrary } from './libraries';

const setup = process.env['CONVLAB_TENSORFLOW'];

describe('native TensorFlow', () => {
  if (setup === undefined) {
    it('the conformance suite and more', (context) => context.skip('CONVLAB_TENSORFLOW is not set'));
    return;
  }
  const record = readRecord(setup)!;

  describe('is what computes', () => {
    it('and names its library: the file that this process has mapped, of the version that was set up', async () => {
      expect(findInstallation()).toEqual({ folder: packageFolder(setup), record });
      expect(await tensorflowProvider.probe()).toMatchObject({ usable: true });
      const engine = await tensorflowProvider.open({});
      const { versions } = engine;
      await engine.dispose();
      expect(record.tensorflow).toMatch(/^\d+\.\d+\.\d+/);
      expect(versions).toMatchObject({
        '@tensorflow/tfjs-node-gpu': '4.22.0',
        libtensorflow: record.tensorflow,
        'libtensorflow file': record.library,
      });
      expect(path.basename(record.library)).toMatch(/^(lib)?tensorflow(_cc)?\./);
      const tf = createRequire(import.meta.url)(packageFolder(setup)) as Tf;
      expect(tf.getBackend()).toBe('tensorflow');
      if (process.platform !== 'linux') return;
      const mapped = readFileSync('/proc/self/maps', 'utf8');
      expect(mapped).toContain(realpathSync(record.library));
      expect(mapped).toContain(path.join(realpathSync(packageFolder(setup)), 'lib'));
    });

    it('and says the same in a process of its own', async () => {
      const trial = await tryOut(packageFolder(setup));
      expect(trial).toMatchObject({ tensorflow: record.tensorflow, library: record.library });
    });
  });

  describeEngine(tensorflowProvider, {
    library: tfjsLibrary(createRequire(import.meta.url)(packageFolder(setup)) as Tf, 'OOM when allocating tensor'),
    goldenNetworks: ['alexnet', 'vgg16', 'resnet18', 'resnet50', 'alexnet-tf', 'vgg16-tf', 'resnet50-keras'],
  });

  describe('a step as one graph', () => {
    const adam: AdamOptions = { name: 'adam', learningRate: 1e-2, beta1: 0.8, beta2: 0.95, eps: 1e-3 };
    const tf = createRequire(import.meta.url)(packageFolder(setup)) as Tf & {
      node: { getNumOfSavedModels(): number };
    };
    const native = { name: 'tensorflow', device: { kind: 'cpu', name: 'any' }, versions: {}, memory: 2 ** 30 } as const;
    let engine: Engine;
    beforeAll(async () => {
      engine = await tensorflowProvider.open({});
    });
    afterAll(() => engine.dispose());
    const byOperations = () => tfjsEngine(tf, { ...native, kernels: fusedKernels(tf) });

    /** Steps on whole batches, a smaller one and whole ones again, looking at the model in between. */
    async function train(engine: Engine, network: Network, options: Partial<ModelOptions>) {
      const size = 6;
      const loss = network.outputs === 1 ? 'bce_with_logits' : 'cross_entropy';
      const model = await engine.compile(network, { batchSize: size, loss, optimizer: adam, seed: 1, ...options });
      const images = new Float32Array(size * elements(network.inputShape));
      fillUniform(images, streamKey(1, 1), 1);
      const labels = Int32Array.from({ length: size }, (_, i) => i % Math.max(2, network.outputs));
      await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
      const steps: StepResult[] = [];
      const graphs: number[] = [];
      for (const [step, examples] of [6, 6, 4, 6, 4, 6].entries()) {
        steps.push(await model.trainStep({ images, labels, size: examples }, { epoch: 1, step }, 1e-2));
        graphs.push(tf.node.getNumOfSavedModels());
        if (step === 1) await model.evaluate({ images, labels, size });
        if (step === 3) await model.gradients({ images, labels, size }, { epoch: 1, step });
      }
      const state = await model.save();
      await model.dispose();
      return { steps, state, graphs };
    }

    const binary = networkOf('binary', [2, 6, 5], (net, x) => {
      x = net.relu('relu', net.batchNorm('bn', net.conv('conv', x, 3, { kernel: 2 })));
      return net.linear('fc', net.dropout('drop', net.flatten('flatten', x), 0.3), 1);
    });
    const cases: [string, Network, Partial<ModelOptions>][] = [
      ['every layer', everyLayer(), {}],
      ['every layer, in passes', everyLayer(), { microBatch: 2 }],
      ['frozen features', freezeFeatures(everyLayer()), {}],
      ['one logit, ε̂', binary, { optimizer: { ...adam, epsilonHat: true } }],
    ];
    for (const [name, network, options] of cases) {
      it(`gives what its operations give one by one: ${name}`, async () => {
        const whole = await train(engine, network, options);
        const single = await train(byOperations(), network, options);
        // A graph for each size of batch, gone with the model.
        expect(whole.graphs).toEqual([1, 1, 2, 2, 2, 2]);
        expect(single.graphs).toEqual([0, 0, 0, 0, 0, 0]);
        expect(tf.node.getNumOfSavedModels()).toBe(0);
        const near = (actual: ArrayLike<number>, expected: ArrayLike<number>, what: string) => {
          const scale = Math.max(...Array.from(expected, Math.abs), 1e-3);
          expect(actual).toHaveLength(expected.length);
          for (let i = 0; i < expected.length; i++) {
            expect(Math.abs(actual[i]! - expected[i]!) / scale, `${what}, ${i}`).toBeLessThan(1e-4);
          }
        };
        whole.steps.forEach((step, i) => {
          const other = single.steps[i]!;
          near([step.loss], [other.loss], 'loss');
          expect(step.correct).toBe(other.correct);
          expect(step.diagnostics.deadShare).toEqual(other.diagnostics.deadShare);
          near(step.diagnostics.gradientNorm, other.diagnostics.gradientNorm, 'gradient norm');
          near(step.diagnostics.updateRatio, other.diagnostics.updateRatio, 'update ratio');
        });
        expect(whole.state.optimizer!.step).toBe(6);
        const tensors = ({ parameters, buffers, optimizer }: ModelState) =>
          [parameters, buffers, optimizer!.firstMoment, optimizer!.secondMoment].flatMap((each) => [...each]);
        const expected = tensors(single.state);
        tensors(whole.state).forEach(([name, values], i) => near(values, expected[i]![1], name));
      });
    }

    it('averages squares as its operations do with Adam’s usual decay, which TensorFlow’s kernel alone does not', async () => {
      const optimizer: AdamOptions = { ...adam, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
      const moments = async (engine: Engine) => {
        const model = await engine.compile(binary, { batchSize: 4, loss: 'bce_with_logits', optimizer, seed: 1 });
        await model.load({ parameters: initialParameters(binary, 1), buffers: initialBuffers(binary) });
        const images = new Float32Array(4 * elements(binary.inputShape));
        fillUniform(images, streamKey(1, 1), 1);
        await model.trainStep({ images, labels: Int32Array.of(0, 1, 1, 0), size: 4 }, { epoch: 1, step: 0 }, 1e-3);
        const { secondMoment } = (await model.save()).optimizer!;
        await model.dispose();
        return secondMoment.get('fc.weight')!;
      };
      const [whole, single] = [await moments(engine), await moments(byOperations())];
      const sum = (values: Float32Array) => values.reduce((a, b) => a + b, 0);
      // Rounding of float32 makes 1e-7 of it; 1 - 0.999 in float32, as the kernel computes it, 1.3e-5.
      expect(Math.abs(sum(whole) / sum(single) - 1)).toBeLessThan(2e-6);
    });

    it('is done without where TensorFlow takes no graph', async () => {
      const backend = nodeBackend(tf);
      const { binding } = backend;
      const network = everyLayer();
      const expected = await train(byOperations(), network, {});
      const { numTensors } = tf.memory();
      const refuse = () => {
        throw new Error('Failed to load SavedModel');
      };
      backend.binding = Object.create(binding, { loadSavedModel: { value: refuse } }) as typeof binding;
      try {
        expect(await train(engine, network, {})).toEqual(expected);
      } finally {
        backend.binding = binding;
      }
      expect(tf.memory().numTensors).toBe(numTensors);
    });

    it('leaves no files behind', async () => {
      const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith('convlab-graph-'));
      const before = left();
      await train(engine, binary, {});
      expect(left()).toEqual(before);
    });
  });

  it('trains 500 steps without growth of tensors or memory', async () => {
    const engine = await tensorflowProvider.open({});
    const tf = createRequire(import.meta.url)(packageFolder(setup)) as Tf;
    const network = buildNetwork('lenet5', [1, 32, 32], 10);
    const model = await engine.compile(network, {
      batchSize: 64,
      loss: 'cross_entropy',
      optimizer: { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
      seed: 1,
    });
    await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
    const images = new Float32Array(64 * 32 * 32);
    fillUniform(images, streamKey(1, 1), 1);
    const batch = { images, labels: Int32Array.from({ length: 64 }, (_, i) => i % 10), size: 64 };
    // What TensorFlow.js does not count: tensors that the binding alone knows.
    const handles = () => (nodeBackend(tf).binding as unknown as { getNumOfTensors(): number }).getNumOfTensors();
    const seen: { tensors: number; bytes: number; handles: number; resident: number }[] = [];
    for (let step = 0; step < 500; step++) {
      await model.trainStep(batch, { epoch: 1, step }, 1e-3);
      if (step === 0 || step % 100 === 99) {
        const { numTensors, numBytes } = tf.memory();
        seen.push({ tensors: numTensors, bytes: numBytes, handles: handles(), resident: process.memoryUsage().rss });
      }
      // As at the end of an epoch.
      if (step % 20 === 19) {
        await model.trainStep({ ...batch, size: 32 }, { epoch: 1, step }, 1e-3);
        await model.evaluate(batch);
      }
    }
    await engine.dispose();
    const [first, , middle] = seen as [(typeof seen)[0], unknown, (typeof seen)[0]];
    const last = seen.at(-1)!;
    expect(last.tensors).toBe(first.tensors);
    expect(last.bytes).toBe(first.bytes);
    expect(last.handles).toBe(first.handles);
    // One step's outputs are 3.7 MB: 300 steps that kept as little as a thirtieth of theirs would exceed this.
    expect(last.resident - middle.resident).toBeLessThan(30e6);
  });
});
