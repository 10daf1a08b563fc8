/** The TensorFlow.js engine on tfjs's backend in plain JavaScript: slow, but the same program as on native TensorFlow. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import util from 'node:util';
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { english, message, UserError } from '../../src/messages';
import { buildNetwork } from '../../src/networks/catalog';
import { initialBuffers, initialParameters } from '../../src/networks/network';
import { EngineProvider } from '../../src/trainer/engines/engine';
import { tfjsEngine } from '../../src/trainer/engines/tfjs/model';
import { prepareProcess, tensorflowProvider, tensorflowProviderOf } from '../../src/trainer/engines/tfjs/provider';
import { everyLayer } from './cases';
import { describeEngine } from './conformance';
import { loadTfjsCpu } from './tfjsCpu';

const tf = await loadTfjsCpu();

const device = { kind: 'cpu', name: 'JavaScript' } as const;

const provider: EngineProvider = {
  name: 'tensorflow',
  probe: async () => ({ usable: true, device }),
  async open() {
    return tfjsEngine(tf, {
      name: 'tensorflow',
      device,
      versions: { '@tensorflow/tfjs-core': tf.version_core },
      memory: 2 ** 30,
    });
  },
};

describeEngine(provider);

describe('the TensorFlow.js program', () => {
  const network = everyLayer();
  const state = { parameters: initialParameters(network, 1), buffers: initialBuffers(network) };
  const options = {
    batchSize: 4,
    loss: 'cross_entropy',
    optimizer: { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    seed: 1,
  } as const;
  const batch = { images: new Float32Array(4 * 2 * 9 * 7).fill(0.5), labels: Int32Array.of(0, 1, 2, 3), size: 4 };

  it.each([3, 4])('leaves no tensor behind, in any call or when disposed (passes of %i)', async (microBatch) => {
    const engine = await provider.open({});
    const before = tf.memory().numTensors;
    const model = await engine.compile(network, { ...options, microBatch });
    await model.load(state);
    const held = tf.memory().numTensors;
    expect(held).toBeGreaterThan(before);
    const calls = {
      trainStep: (step: number) => model.trainStep(batch, { epoch: 1, step }, 1e-3),
      gradients: () => model.gradients(batch, { epoch: 1, step: 0 }),
      evaluate: () => model.evaluate(batch),
      save: () => model.save(),
      load: () => model.load(state),
    };
    for (const [name, call] of Object.entries(calls)) {
      for (let step = 0; step < 3; step++) {
        await call(step);
        expect(tf.memory().numTensors, `after ${name}`).toBe(held);
      }
    }
    await model.dispose();
    expect(tf.memory().numTensors).toBe(before);
    // A model that its owner forgot goes with the engine.
    await (await engine.compile(network, options)).load(state);
    await engine.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is disposed by a failure, and says so from then on', async () => {
    const engine = await provider.open({});
    const before = tf.memory().numTensors;
    const model = await engine.compile(network, options);
    await expect(model.evaluate(batch)).rejects.toThrow('load() comes first');
    await expect(model.load(state)).rejects.toThrow('The model has been disposed.');
    const second = await engine.compile(network, options);
    await second.load(state);
    await expect(second.trainStep({ ...batch, size: 5 }, { epoch: 1, step: 0 }, 1e-3)).rejects.toThrow('batchSize 4');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('divides a batch into equal passes that fit the memory', async () => {
    const passes = async (memory: number) => {
      const engine = tfjsEngine(tf, { name: 'tensorflow', device, versions: {}, memory });
      const model = await engine.compile(buildNetwork('alexnet', [3, 64, 64], 1), { ...options, batchSize: 32 });
      await model.dispose();
      return model.microBatch;
    };
    // AlexNet holds 1.6 GB for parameters alone, and 2.4 MB or so for each example of 64 pixels.
    expect(await passes(2 ** 33)).toBe(32);
    expect(await passes(1e9)).toBe(1);
    const some = await passes(1.64e9);
    expect(some).toBeGreaterThan(1);
    expect(some).toBeLessThan(32);
  });
});

describe('native TensorFlow', () => {
  const noGpu = async () => undefined;
  const folder = mkdtempSync(join(tmpdir(), 'convlab-tensorflow-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The package's layout around tfjs-core and the JavaScript backend, as far as `parts` go. */
  function install(parts: { addon?: boolean; library?: boolean; main?: string }): void {
    rmSync(folder, { recursive: true });
    mkdirSync(join(folder, 'lib', 'napi-v8'), { recursive: true });
    mkdirSync(join(folder, 'deps', 'lib'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ version: '4.22.0', main: 'index.js' }));
    if (parts.addon) writeFileSync(join(folder, 'lib', 'napi-v8', 'tfjs_binding.node'), '');
    if (parts.library) writeFileSync(join(folder, 'deps', 'lib', 'libtensorflow.so.2'), '');
    writeFileSync(join(folder, 'index.js'), parts.main ?? '');
  }

  it('that is not installed is optional, and the reason says how to get it', async () => {
    const absent = tensorflowProviderOf(() => undefined, noGpu);
    const availability = await absent.probe();
    expect(availability.usable).toBe(false);
    const sentence = availability.usable ? '' : english(availability.reason);
    expect(sentence).toBe(
      'The optional package @tensorflow/tfjs-node-gpu is not installed; ConvLab trains without it. ' +
        `To use it, run “npm install @tensorflow/tfjs-node-gpu@4.22.0” in ${process.cwd()}.`,
    );
    await expect(absent.open({})).rejects.toBeInstanceOf(UserError);
    await expect(absent.open({})).rejects.toThrow(sentence);
  });

  it('is looked for where ConvLab is installed', async () => {
    // Whether or not this machine has it, the answer must be an answer.
    const installed = existsSync('node_modules/@tensorflow/tfjs-node-gpu/package.json');
    const availability = await tensorflowProvider.probe();
    if (!installed) expect(availability).toMatchObject({ usable: false, reason: { id: 'tensorflowNotInstalled' } });
    else if (!availability.usable) expect(availability.reason.id).toBe('tensorflowIncomplete');
  });

  it.each([
    [{ library: true }, join('lib', 'napi-v8', 'tfjs_binding.node')],
    [{ addon: true }, join('deps', 'lib', 'libtensorflow')],
  ])('whose download failed (%o) is named with the missing file', async (parts, file) => {
    install(parts);
    const broken = tensorflowProviderOf(() => folder, noGpu);
    expect(await broken.probe()).toEqual({ usable: false, reason: message('tensorflowIncomplete', { folder, file }) });
    await expect(broken.open({})).rejects.toThrow(file);
  });

  it('that cannot be loaded is refused with the reason', async () => {
    install({ addon: true, library: true, main: 'throw new Error("wrong ELF class")' });
    const broken = tensorflowProviderOf(() => folder, noGpu);
    expect((await broken.probe()).usable).toBe(true);
    const failure: unknown = await broken.open({}).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as UserError).userMessage).toMatchObject({
      id: 'tensorflowNotLoaded',
      args: { folder, reason: 'wrong ELF class' },
    });
  });

  it('that is complete is loaded and trains; a GPU that it cannot use is an error, not a slower run', async () => {
    // A second tfjs in one process would register every kernel again, so the package hands on the one that is there.
    vi.stubGlobal('tfjsOfThisTest', tf);
    onTestFinished(() => void vi.unstubAllGlobals());
    install({ addon: true, library: true, main: 'module.exports = tfjsOfThisTest;' });
    const engine = await tensorflowProviderOf(() => folder, noGpu).open({ threads: 1 });
    expect(engine.name).toBe('tensorflow');
    expect(engine.device).toMatchObject({ kind: 'cpu', threads: 1 });
    expect(engine.versions).toEqual({ '@tensorflow/tfjs-node-gpu': '4.22.0', '@tensorflow/tfjs-core': '4.22.0' });
    const network = everyLayer();
    const model = await engine.compile(network, {
      batchSize: 1,
      loss: 'cross_entropy',
      optimizer: { name: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
      seed: 1,
    });
    await model.load({ parameters: initialParameters(network, 1), buffers: initialBuffers(network) });
    const batch = { images: new Float32Array(2 * 9 * 7).fill(1), labels: Int32Array.of(2), size: 1 };
    expect((await model.evaluate(batch)).logits).toHaveLength(5);
    await engine.dispose();

    const withGpu = tensorflowProviderOf(
      () => folder,
      async () => ({ name: 'Test GPU', freeBytes: 2 ** 33 }),
    );
    expect(await withGpu.probe()).toEqual({ usable: true, device: { kind: 'gpu', name: 'Test GPU' } });
    await expect(withGpu.open({})).rejects.toThrow('Native TensorFlow cannot use the GPU Test GPU.');
  });

  it('finds the functions that Node 23 removed', () => {
    const functions = util as unknown as Record<string, unknown>;
    const saved = { isNullOrUndefined: functions['isNullOrUndefined'], isArray: functions['isArray'] };
    try {
      delete functions['isNullOrUndefined'];
      delete functions['isArray'];
      prepareProcess({});
      // As tfjs-node asks for them.
      const seen = createRequire(import.meta.url)('util') as {
        isNullOrUndefined(value: unknown): boolean;
        isArray(value: unknown): boolean;
      };
      expect([undefined, null, 0, ''].map((value) => seen.isNullOrUndefined(value))).toEqual([
        true,
        true,
        false,
        false,
      ]);
      expect([[], {}].map((value) => seen.isArray(value))).toEqual([true, false]);
    } finally {
      Object.assign(functions, saved);
    }
  });
});
