/** The TensorFlow.js engine on tfjs's backend in plain JavaScript: slow, but the same program as on native TensorFlow. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import util from 'node:util';
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { english, message, UserError } from '../../src/core/messages/message';
import { buildNetwork } from '../../src/core/networks/catalog';
import { initialBuffers, initialParameters } from '../../src/core/networks/network';
import type { EngineProvider, Model } from '../../src/trainer/engines/engine';
import { tfjsEngine } from '../../src/trainer/engines/tfjs/engine';
import { openEngine } from '../../src/trainer/engines/choose';
import { onnxProvider } from '../../src/trainer/engines/onnx/provider';
import { whyNoGpu } from '../../src/trainer/tensorflow/gpuLog';
import { findInstallation, packageFolder, recordFile, setupFolder } from '../../src/trainer/tensorflow/installation';
import { prepareProcess, tensorflowProviderOf } from '../../src/trainer/engines/tfjs/provider';
import { everyLayer } from './cases';
import { describeEngine } from './conformance';
import { tfjsLibrary } from './libraries';
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

describeEngine(provider, { library: tfjsLibrary(tf) });

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

  it('leaves no tensor behind wherever in a computation memory runs out', async () => {
    const engine = await provider.open({});
    const before = tf.memory().numTensors;
    const calls = {
      load: (model: Model) => model.load(state),
      trainStep: (model: Model) => model.trainStep(batch, { epoch: 1, step: 0 }, 1e-3),
      gradients: (model: Model) => model.gradients(batch, { epoch: 1, step: 0 }),
      evaluate: (model: Model) => model.evaluate(batch),
    };
    for (const [name, call] of Object.entries(calls)) {
      let failures = 0;
      for (let write = 0; ; write++) {
        const model = await engine.compile(network, { ...options, microBatch: 3 });
        await model.load(state);
        const feed = tfjsLibrary(tf, 'Array buffer allocation failed', write).starve();
        const error: unknown = await call(model).then(
          () => undefined,
          (error: unknown) => error,
        );
        feed();
        if (error === undefined) {
          await model.dispose();
          break;
        }
        failures++;
        expect(error, `${name}, write ${write}`).toMatchObject({ userMessage: { id: 'engineOutOfMemory' } });
        expect(tf.memory().numTensors, `${name}, write ${write}`).toBe(before);
      }
      expect(failures, name).toBeGreaterThan(10);
    }
    await engine.dispose();
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
    expect(await absent.probe()).toEqual({
      usable: false,
      reason: message('tensorflowNotSetUp'),
      action: message('tensorflowSetUp'),
    });
    const failure: unknown = await absent.open({}).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as UserError).message).toBe(
      'Native TensorFlow is not set up; ConvLab trains without it. ' +
        'Run “convlab setup tensorflow” in a terminal, or “ConvLab: Set Up TensorFlow” in the editor.',
    );
  });

  it('is looked for in the folder asked for, in the storage, and where ConvLab is installed', () => {
    const storage = mkdtempSync(join(tmpdir(), 'convlab-storage-'));
    onTestFinished(() => (vi.unstubAllEnvs(), rmSync(storage, { recursive: true })));
    const record = { source: 'python', tensorflow: '2.21.0', library: '/python/libtensorflow_cc.so.2' };
    const setUp = (folder: string, content: unknown) => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, recordFile), JSON.stringify(content));
    };
    vi.stubEnv('CONVLAB_TENSORFLOW', undefined);
    vi.stubEnv('CONVLAB_STORAGE', storage);
    const installed = existsSync('node_modules/@tensorflow/tfjs-node-gpu/package.json');
    if (installed) expect(findInstallation()?.folder).toMatch(/node_modules.@tensorflow.tfjs-node-gpu$/);
    else expect(findInstallation()).toBeUndefined();

    setUp(setupFolder(), record);
    expect(findInstallation()).toEqual({ folder: packageFolder(join(storage, 'tensorflow')), record });
    vi.stubEnv('CONVLAB_TENSORFLOW', join(storage, 'other'));
    expect(findInstallation()?.folder).toBe(packageFolder(join(storage, 'tensorflow')));
    setUp(join(storage, 'other'), { ...record, source: 'npm' });
    expect(findInstallation()).toEqual({
      folder: packageFolder(join(storage, 'other')),
      record: { ...record, source: 'npm' },
    });
    // A record that nobody can read belongs to no finished setup.
    setUp(join(storage, 'other'), { ...record, source: 'elsewhere' });
    expect(findInstallation()?.record?.source).toBe('python');
  });

  it.each([
    [{ library: true }, join('lib', 'napi-v8', 'tfjs_binding.node')],
    [{ addon: true }, join('deps', 'lib', 'libtensorflow')],
  ])('whose download failed (%o) is named with the missing file', async (parts, file) => {
    install(parts);
    const broken = tensorflowProviderOf(() => ({ folder }), noGpu);
    expect(await broken.probe()).toEqual({
      usable: false,
      reason: message('tensorflowIncomplete', { folder, file }),
      action: message('tensorflowSetUp'),
    });
    await expect(broken.open({})).rejects.toThrow(file);
  });

  it('linked to a Python that is gone is named with the missing file', async () => {
    install({ addon: true });
    const record = { source: 'python', tensorflow: '2.21.0', library: join(folder, 'libtensorflow_cc.so.2') } as const;
    const linked = tensorflowProviderOf(() => ({ folder, record }), noGpu);
    expect(await linked.probe()).toMatchObject({
      usable: false,
      reason: message('tensorflowGone', { folder, file: record.library }),
    });
    writeFileSync(record.library, '');
    expect(await linked.probe()).toMatchObject({ usable: true, device: { kind: 'cpu' } });
  });

  it('set up without its GPU says why, until it is set up again; without a GPU it trains on the processor', async () => {
    install({ addon: true, library: true });
    const noGpuRecord = whyNoGpu('', 'Test GPU', '2.21.0', '/usr/bin/python3');
    const record = { source: 'npm', tensorflow: '2.9.1', library: '', noGpu: noGpuRecord } as const;
    const gpu = { name: 'Test GPU', freeBytes: 2 ** 33 };
    const withGpu = tensorflowProviderOf(() => ({ folder, record }), async () => gpu); // prettier-ignore
    expect(await withGpu.probe()).toEqual({ usable: false, ...noGpuRecord });
    expect(await tensorflowProviderOf(() => ({ folder, record }), noGpu).probe()).toMatchObject({ usable: true });
  });

  it('that cannot be loaded is refused with the reason', async () => {
    install({ addon: true, library: true, main: 'throw new Error("wrong ELF class")' });
    const broken = tensorflowProviderOf(() => ({ folder }), noGpu);
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
    const engine = await tensorflowProviderOf(() => ({ folder }), noGpu).open({ threads: 1 });
    expect(engine.name).toBe('tensorflow');
    expect(engine.device).toMatchObject({ kind: 'cpu', threads: 1 });
    // This backend has no TensorFlow behind it, and no file of one is claimed.
    expect(engine.versions).toEqual({
      '@tensorflow/tfjs-node-gpu': '4.22.0',
      '@tensorflow/tfjs-core': '4.22.0',
      libtensorflow: '?',
      'libtensorflow file': '',
    });
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
      () => ({ folder }),
      async () => ({ name: 'Test GPU', freeBytes: 2 ** 33 }),
    );
    expect(await withGpu.probe()).toEqual({ usable: true, device: { kind: 'gpu', name: 'Test GPU' } });
    await expect(withGpu.open({})).rejects.toThrow('does not use the GPU Test GPU: it was built without CUDA.');
    // Under auto it is passed over, with that reason.
    const { engine: other, reasons } = await openEngine('auto', {}, { providers: [withGpu, provider, onnxProvider] });
    expect(other.name).toBe('onnx');
    await other.dispose();
    expect(english(reasons[0]!)).toContain('it was built without CUDA');
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
