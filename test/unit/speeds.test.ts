/** Measuring on an engine whose clock the test keeps, and the cache of what was measured. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { multiplyAdds, paceFromSpeeds, Speed } from '../../src/core/estimates';
import { english, message, UserError } from '../../src/core/messages/message';
import { Network } from '../../src/core/networks/network';
import type { Machine, NetworkSpeed, StepShape } from '../../src/core/contracts/tasks';
import { cacheFolder } from '../../src/disk/places';
import { Stop } from '../../src/trainer/stop';
import { measureEngine, usualShapes } from '../../src/trainer/tasks/measure';
import { Speeds } from '../../src/trainer/tasks/speeds';
import type { Batch, EngineProvider, Model } from '../../src/trainer/engines/engine';

let folder: string;
beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-speeds-'))));
afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(folder, { recursive: true, force: true });
});

const machine: Machine = { engine: 'onnx', device: 'fast', threads: 2, versions: { convlab: '1', ort: '9' } };
const shape: StepShape = { network: 'lenet5', channels: 1, size: 32, outputs: 10, batchSize: 64 };
const speed: Speed = {
  shape,
  stepSeconds: 0.01,
  evaluateSeconds: 0.02,
  evaluatedExamples: 500,
  startSeconds: 0.1,
  time: '2026-01-02T03:04:05.000Z',
};
const onlyFile = () => path.join(folder, 'speeds', fs.readdirSync(path.join(folder, 'speeds'))[0]!);

describe('the cache', () => {
  test('keeps what was measured, the newest of each shape', () => {
    new Speeds(machine, folder).add(speed);
    new Speeds(machine, folder).add({ ...speed, shape: { ...shape, batchSize: 32 } });
    new Speeds(machine, folder).add({ ...speed, stepSeconds: 0.03 });
    new Speeds(machine, folder).addCheckpoint(1e-9);
    // The order of the versions' names is nobody's business.
    const again = new Speeds({ ...machine, versions: { ort: '9', convlab: '1' } }, folder);
    expect(again.all.map((s) => [s.shape.batchSize, s.stepSeconds])).toEqual([
      [32, 0.01],
      [64, 0.03],
    ]);
    expect(again.checkpointSecondsPerByte).toBe(1e-9);
  });

  test('two processes that measure at once both keep theirs', () => {
    const [one, other] = [new Speeds(machine, folder), new Speeds(machine, folder)];
    one.add(speed);
    other.add({ ...speed, shape: { ...shape, size: 64 } });
    expect(new Speeds(machine, folder).all).toHaveLength(2);
  });

  test.each<[string, Partial<Machine>]>([
    ['version of ConvLab', { versions: { convlab: '2', ort: '9' } }],
    ['version of a library', { versions: { convlab: '1', ort: '10' } }],
    ['engine', { engine: 'webgpu' }],
    ['device', { device: 'slow' }],
    ['number of threads', { threads: 1 }],
  ])('of another %s tells nothing', (_what, other) => {
    new Speeds(machine, folder).add(speed);
    expect(new Speeds({ ...machine, ...other }, folder).all).toEqual([]);
    // Nor if its file were taken for this one's.
    new Speeds({ ...machine, ...other }, folder).add({ ...speed, stepSeconds: 9 });
    const files = fs.readdirSync(path.join(folder, 'speeds')).map((name) => path.join(folder, 'speeds', name));
    expect(files).toHaveLength(2);
    const [mine] = files.filter((f) => fs.readFileSync(f, 'utf8').includes('"stepSeconds": 0.01'));
    const [theirs] = files.filter((f) => f !== mine);
    fs.copyFileSync(theirs!, mine!);
    expect(new Speeds(machine, folder).all).toEqual([]);
  });

  test.each([
    ['no JSON', '{"format":1,'],
    ['empty', ''],
    ['of another format', '{"format":2}'],
    ['with impossible figures', undefined],
  ])('a file that is %s counts as none, and is written anew', (_what, text) => {
    new Speeds(machine, folder).add(speed);
    const good = fs.readFileSync(onlyFile(), 'utf8');
    fs.writeFileSync(onlyFile(), text ?? good.replace('"stepSeconds": 0.01', '"stepSeconds": -1'));
    const damaged = new Speeds(machine, folder);
    expect(damaged.all).toEqual([]);
    damaged.add(speed);
    expect(new Speeds(machine, folder).all).toEqual([speed]);
  });

  test('a folder that cannot be written costs nothing but the memory', () => {
    fs.writeFileSync(path.join(folder, 'speeds'), '');
    const speeds = new Speeds(machine, folder);
    speeds.add(speed);
    expect(speeds.all).toEqual([speed]);
    expect(new Speeds(machine, folder).all).toEqual([]);
  });

  test('lies where the system keeps caches', () => {
    expect(cacheFolder({ CONVLAB_CACHE: '/c' }, 'linux')).toBe(path.resolve('/c'));
    expect(cacheFolder({ XDG_CACHE_HOME: '/x' }, 'linux')).toBe(path.join('/x', 'convlab'));
    expect(cacheFolder({}, 'linux')).toBe(path.join(os.homedir(), '.cache', 'convlab'));
    expect(cacheFolder({}, 'darwin')).toBe(path.join(os.homedir(), 'Library', 'Caches', 'ConvLab'));
    expect(cacheFolder({ LOCALAPPDATA: '/local' }, 'win32')).toBe(path.join('/local', 'ConvLab', 'Cache'));
  });
});

/** Nanoseconds that a multiply-add takes on the engine below, and seconds of a step's overhead. */
const rate = 1e-9;
const overhead = 0.1;

/** An engine whose computations take no time but move the clock. The first step of a network takes 3 s more. */
function clockedEngine() {
  let clock = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => clock * 1000);
  const steps: { network: string; size: number; batch: number }[] = [];
  const evaluated: number[] = [];
  const disposed: string[] = [];
  let fail: ((network: Network) => void) | undefined;
  const provider: EngineProvider = {
    name: 'onnx',
    probe: async () => ({ usable: true, device: { kind: 'cpu', name: 'fast', threads: 2 } }),
    open: async () => ({
      name: 'onnx',
      device: { kind: 'cpu', name: 'fast', threads: 2 },
      versions: { ort: '9' },
      dispose: async () => void disposed.push('engine'),
      compile: async (network) => {
        const each = multiplyAdds({
          network: network.name as StepShape['network'],
          channels: network.inputShape[0],
          size: network.inputShape[1],
          outputs: network.outputs,
          batchSize: 1,
        });
        let warm = false;
        const model: Partial<Model> = {
          load: async () => undefined,
          trainStep: async ({ size }: Batch) => {
            fail?.(network);
            steps.push({ network: network.name, size: network.inputShape[1], batch: size });
            clock += overhead + rate * each * size + (warm ? 0 : 3);
            warm = true;
            return { loss: 1, correct: 0, diagnostics: undefined as never };
          },
          evaluate: async ({ size }: Batch) => {
            evaluated.push(size);
            clock += (rate / 4) * each * size;
            return { lossSum: 1, logits: new Float32Array() };
          },
          dispose: async () => void disposed.push(network.name),
        };
        return model as Model;
      },
    }),
  };
  return {
    provider,
    steps,
    evaluated,
    disposed,
    failWith: (f: typeof fail) => (fail = f),
  };
}

describe('measuring', () => {
  const told: { speeds: NetworkSpeed[]; unmeasured: string[]; progress: string[]; machines: Machine[] } = {
    speeds: [],
    unmeasured: [],
    progress: [],
    machines: [],
  };
  beforeEach(() => Object.assign(told, { speeds: [], unmeasured: [], progress: [], machines: [] }));

  const measure = (
    engine: ReturnType<typeof clockedEngine>,
    networks: StepShape['network'][],
    { again = false, signal = new AbortController().signal }: { again?: boolean; signal?: AbortSignal } = {},
  ) =>
    measureEngine(
      { engine: 'onnx', networks, again },
      {
        version: '1',
        providers: [engine.provider],
        checkEngine: () => Promise.resolve(undefined),
        cache: folder,
        progress: (text) => told.progress.push(english(text)),
        update: (update) => {
          if (update.type === 'machine') told.machines.push(update.machine);
          else if (update.type === 'speed') told.speeds.push(update.speed);
          else told.unmeasured.push(`${update.network}: ${english(update.reason)}`);
        },
        signal,
        stopTakes: () => undefined,
      },
    );
  const truth = (of: StepShape) => of.batchSize / (overhead + rate * multiplyAdds(of) * of.batchSize);

  test('a light network at its own batch, without its slow first step', async () => {
    const engine = clockedEngine();
    await measure(engine, ['lenet5']);
    expect(told.machines).toEqual([machine]);
    expect(told.progress).toEqual([
      'Checking that onnx computes correctly on this machine…',
      'Measuring LeNet-5 at 32×32…',
    ]);
    expect(told.speeds).toEqual([
      expect.objectContaining({ shape: usualShapes('lenet5')[0], exact: true, cached: false }),
    ]);
    expect(told.speeds[0]!.imagesPerSecond).toBeCloseTo(truth(shape), 6);
    expect(new Set(engine.steps.map((s) => s.batch))).toEqual(new Set([64]));
    // As many at once as the training loop evaluates.
    expect(new Set(engine.evaluated)).toEqual(new Set([500]));
    const speeds = new Speeds(machine, folder);
    expect(speeds.all[0]!.startSeconds).toBeCloseTo(3, 9);
    // The clock stands still while the disk is tried.
    expect(speeds.checkpointSecondsPerByte).toBe(0);
    expect(engine.disposed).toEqual(['lenet5', 'engine']);
  });

  test('a heavy network at smaller batches, which tell its own', async () => {
    const engine = clockedEngine();
    await measure(engine, ['resnet50']);
    const at224 = engine.steps.filter((s) => s.size === 224).map((s) => s.batch);
    // 4 GMAC an example: a step on 4 takes 16 s at this rate, so 2 are the other batch.
    expect(new Set(at224)).toEqual(new Set([4, 2]));
    const [small, large] = usualShapes('resnet50');
    expect(told.speeds.map((s) => s.shape)).toEqual([small, large]);
    expect(told.speeds[1]!.exact).toBe(false);
    expect(told.speeds[1]!.imagesPerSecond).toBeCloseTo(truth(large!), 6);
    const pace = paceFromSpeeds({ ...large!, batchSize: 16 }, new Speeds(machine, folder).all)!;
    expect(1 / pace.train).toBeCloseTo(truth({ ...large!, batchSize: 16 }), 6);
  });

  test('what was measured is not measured again, unless asked for', async () => {
    await measure(clockedEngine(), ['lenet5', 'resnet18']);
    const engine = clockedEngine();
    const before = told.speeds.splice(0);
    await measure(engine, ['lenet5', 'resnet18']);
    expect(engine.steps).toEqual([]);
    expect(told.speeds.map((s) => [s.shape, s.exact, s.cached])).toEqual(before.map((s) => [s.shape, s.exact, true]));
    // Told from one more timing than at first, which changes the last digits.
    told.speeds.forEach((s, i) => expect(s.imagesPerSecond / before[i]!.imagesPerSecond).toBeCloseTo(1, 9));
    await measure(engine, ['lenet5'], { again: true });
    expect(engine.steps.length).toBeGreaterThan(0);
    expect(told.speeds.at(-1)!.cached).toBe(false);
  });

  test('stopped in the middle, it keeps what it has', async () => {
    const engine = clockedEngine();
    const stopping = new AbortController();
    engine.failWith((network) => {
      if (network.name === 'resnet18') stopping.abort(new Stop('user'));
    });
    const stopped = measure(engine, ['lenet5', 'resnet18', 'resnet50'], { signal: stopping.signal });
    await expect(stopped).rejects.toThrow(Stop);
    expect(told.speeds.map((s) => s.shape.network)).toEqual(['lenet5']);
    expect(new Speeds(machine, folder).all.map((s) => s.shape.network)).toEqual(['lenet5']);
    expect(engine.disposed).toEqual(['lenet5', 'resnet18', 'engine']);
  });

  test('a network that fails is told of, and the others are measured', async () => {
    const engine = clockedEngine();
    engine.failWith((network) => {
      if (network.name === 'resnet18') throw new UserError(message('engineOutOfMemory', { batchSize: 32 }));
      if (network.name === 'resnet50') throw new TypeError('no such kernel');
    });
    await measure(engine, ['resnet18', 'resnet50', 'lenet5']);
    expect(told.unmeasured).toEqual([
      'resnet18: Memory ran out while training with batches of 32.',
      'resnet50: Something went wrong inside ConvLab (no such kernel).',
    ]);
    expect(told.speeds.map((s) => s.shape.network)).toEqual(['lenet5']);
  });
});
