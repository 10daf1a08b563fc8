/** The loop on an engine that is scripted, for what no real engine does on demand. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { networkOf, resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import { elements, Network } from '../../src/core/networks/network';
import { english } from '../../src/core/messages/message';
import type { EngineUse, RunEvent } from '../../src/core/contracts/events';
import type { TrainRequest } from '../../src/core/contracts/tasks';
import { summarize } from '../../src/disk/runs';
import { readTrained } from '../../src/trainer/training/checkpoint';
import type { Engine, EngineProvider, Model, ModelOptions, ModelState } from '../../src/trainer/engines/engine';
import { readMnist } from '../../src/trainer/data/mnist';
import { Stop } from '../../src/trainer/stop';
import { differences, optionsAsBefore } from '../../src/trainer/training/resumption';
import { run } from '../../src/trainer/training/run';
import { fill, imagesExperiment } from '../unit/drawnImages';
import { onlyRun, outcomeOf, temporaryFolder } from './convlab';

let runs: string;
beforeEach(() => (runs = temporaryFolder()));
afterEach(() => fs.rmSync(runs, { recursive: true, force: true }));

/** An engine whose steps have these losses, whatever it is shown, and whose gradients have this norm. */
function scripted(losses: readonly number[], gradientNorm = 1): EngineProvider {
  const device: Engine['device'] = { kind: 'cpu', name: 'a script' };
  let step = 0;
  const model = (network: Network): Model => {
    let state: ModelState;
    const relus = network.nodes.filter((node) => node.op.kind === 'relu').length;
    return {
      network,
      microBatch: 64,
      load: async (loaded) => void (state = loaded),
      save: async () => state,
      trainStep: async () => ({
        loss: losses[step++ % losses.length]!,
        correct: 1,
        diagnostics: {
          gradientNorm: new Float64Array(network.parameters.length).fill(gradientNorm),
          updateRatio: new Float64Array(network.parameters.length).fill(0.01),
          deadShare: new Float64Array(relus),
          logitStd: 1,
        },
      }),
      gradients: async () => Promise.reject(new Error('not in the script')),
      evaluate: async ({ size }) => ({ lossSum: size, logits: new Float32Array(size * elements([network.outputs])) }),
      dispose: async () => undefined,
    };
  };
  return {
    name: 'onnx',
    probe: async () => ({ usable: true, device }),
    open: async () => ({
      name: 'onnx',
      device,
      versions: {},
      compile: async (network) => model(network),
      dispose: async () => undefined,
    }),
  };
}

/** The provider with models that are changed. */
function altered(
  provider: EngineProvider,
  change: (model: Model, options: ModelOptions) => Partial<Model>,
): EngineProvider {
  const open: EngineProvider['open'] = async (options) => {
    const engine = await provider.open(options);
    const compile: Engine['compile'] = async (network, modelOptions) => {
      const model = await engine.compile(network, modelOptions);
      return { ...model, ...change(model, modelOptions) };
    };
    return { ...engine, compile };
  };
  return { ...provider, open };
}

async function train(
  provider: EngineProvider,
  {
    stopAt,
    onEvent,
    ...request
  }: Partial<TrainRequest> & { stopAt?: number; onEvent?: (event: RunEvent) => void } = {},
): Promise<{ outcome: string; events: RunEvent[] }> {
  const events: RunEvent[] = [];
  const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course', {
    limit: 640,
    epochs: 2,
  });
  const stopping = new AbortController();
  const training = run(
    { experiment, engine: 'auto', runsFolder: runs, ...request },
    {
      version: '0',
      providers: [provider],
      checkEngine: async () => undefined,
      // Images are read from their folder each time.
      cacheBytes: 0,
      emit: (more) => {
        events.push(...more);
        if (onEvent) more.forEach(onEvent);
        if (events.filter((e) => e.type === 'step').length === stopAt) stopping.abort(new Stop('user'));
      },
      progress: () => undefined,
      runFolder: () => undefined,
      signal: stopping.signal,
    },
  );
  return { outcome: await outcomeOf(training), events };
}

const metrics = () => fs.readFileSync(path.join(onlyRun(runs), 'metrics.jsonl'), 'utf8');

it.each([NaN, Infinity])(
  'a loss of %s ends the run as failed, with what to do, and never as null in a file',
  async (loss) => {
    const { outcome, events } = await train(scripted([2.3, 2.2, 2.1, loss]));
    expect(outcome).toBe('failed');
    expect(events.at(-1)).toEqual({
      type: 'failed',
      message: { id: 'lossNotFinite', args: { loss: String(loss), epoch: 1, step: 3 } },
      advice: { id: 'lossNotFiniteAdvice', args: { learningRate: 1e-3 } },
    });
    expect(metrics()).not.toContain('null');
    expect(summarize(onlyRun(runs)).state).toBe('failed');
  },
);

it('a gradient that is not finite under a finite loss ends the run too', async () => {
  const { outcome, events } = await train(scripted([2.3], Infinity));
  expect(outcome).toBe('failed');
  expect(events.at(-1)).toMatchObject({ type: 'failed', message: { id: 'figuresNotFinite' } });
  expect(metrics()).not.toContain('null');
});

it('weighs an epoch’s mean by examples and finishes', async () => {
  const { outcome, events } = await train(scripted([2, 4]));
  expect(outcome).toBe('finished');
  const epoch = events.find((e) => e.type === 'epoch');
  // Ten batches of 64, half of them at 2 and half at 4.
  expect(epoch).toMatchObject({ trainLoss: 3, trainAccuracy: 10 / 640 });
});

it('goes on with the passes that a run began with, whatever memory there is now', async () => {
  const asked: (number | undefined)[] = [];
  const provider = altered(scripted([2]), (_, { microBatch }) => {
    asked.push(microBatch);
    return { microBatch: microBatch ?? 16 };
  });
  const first = await train(provider, { stopAt: 3 });
  expect(first.outcome).toBe('stopped');
  expect(first.events.find((e) => e.type === 'started')).toMatchObject({ microBatch: 16 });
  expect((await train(provider, { resume: onlyRun(runs) })).outcome).toBe('finished');
  expect(asked).toEqual([undefined, 16]);
});

it('writes dear checkpoints rarely, and the best parameters with them', async () => {
  const saves: { steps: number; withMoments: boolean }[] = [];
  const provider = altered(scripted([1]), (model) => {
    let steps = 0;
    return {
      load: async (state) => {
        // A run that goes on has the steps in its parameters.
        const held = state.parameters.get('fc3.bias')![0]!;
        steps = held >= 1 ? held : 0;
        await model.load(state);
      },
      trainStep: (...args) => {
        steps += 1;
        return model.trainStep(...args);
      },
      save: async (withMoments = true) => {
        saves.push({ steps, withMoments });
        // 5 % of 10 s, which all epochs together do not take.
        await new Promise((resolve) => setTimeout(resolve, 500));
        const { parameters, optimizer, ...rest } = await model.save();
        const counted = new Map(parameters).set('fc3.bias', new Float32Array(10).fill(steps));
        const moments = { step: steps, firstMoment: parameters, secondMoment: parameters };
        return { ...rest, parameters: counted, optimizer: withMoments ? (optimizer ?? moments) : undefined };
      },
      // The third epoch is the best.
      evaluate: async (batch) => {
        const logits = new Float32Array(batch.size * model.network.outputs);
        if (steps === 30) batch.labels.forEach((label, i) => (logits[i * model.network.outputs + label] = 1));
        return { lossSum: batch.size, logits };
      },
    };
  });
  const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course', {
    limit: 640,
    epochs: 6,
  });
  const trained = (epoch: 'last' | 'best') =>
    readTrained(onlyRun(runs), networkOf(experiment), epoch).parameters.get('fc3.bias')![0];

  const first = await train(provider, { experiment, stopAt: 35 });
  expect(first.outcome).toBe('stopped');
  expect(saves).toEqual([
    { steps: 10, withMoments: true },
    { steps: 30, withMoments: false },
    { steps: 35, withMoments: true },
  ]);
  expect([trained('last'), trained('best')]).toEqual([35, 30]);

  saves.length = 0;
  const second = await train(provider, { experiment, resume: onlyRun(runs) });
  expect(second.events.at(-1)).toMatchObject({ type: 'finished', bestEpoch: 3 });
  // After the first epoch of this process, and after the last.
  expect(saves).toEqual([
    { steps: 40, withMoments: true },
    { steps: 60, withMoments: true },
  ]);
  expect([trained('last'), trained('best')]).toEqual([60, 30]);
});

it('a defect of an engine is a failed run with a sentence, not a crash', async () => {
  const provider = scripted([1]);
  const { outcome, events } = await train({ ...provider, open: () => Promise.reject(new Error('kernel missing')) });
  expect(outcome).toBe('failed');
  expect(events.at(-1)).toMatchObject({
    type: 'failed',
    message: { id: 'unexpectedError', args: { reason: 'kernel missing' } },
  });
});

it('a folder of images that goes away fails the run with a checkpoint, from which it goes on when it is back', async () => {
  const folder = temporaryFolder();
  await fill(folder, { cat: 8, dog: 8 });
  const experiment = imagesExperiment({ epochs: 2 });
  const request = { experiment, dataFolder: folder };
  const away = `${folder}-away`;
  const goAway = (event: RunEvent) => event.type === 'epoch' && fs.renameSync(folder, away);
  const first = await train(scripted([1]), { ...request, onEvent: goAway });
  expect(first.outcome).toBe('failed');
  const failure = first.events.at(-1)!;
  expect(failure.type === 'failed' && english(failure.message)).toBe(
    `The folder of images ${fs.realpathSync(away).replace(/-away$/, '')} is no longer there.`,
  );
  expect(failure.type === 'failed' && english(failure.advice!)).toBe(
    'What was trained is kept. Put it back and resume the run.',
  );
  fs.renameSync(away, folder);
  const second = await train(scripted([1]), { ...request, resume: onlyRun(runs) });
  expect(second.events[0]).toMatchObject({ type: 'resumed', epoch: 2 });
  expect(second.outcome).toBe('finished');
  fs.rmSync(folder, { recursive: true });
});

it('a folder of images that goes away during a validation leaves the epoch trained', async () => {
  const folder = temporaryFolder();
  await fill(folder, { cat: 8, dog: 8 });
  const experiment = imagesExperiment({ epochs: 2 });
  // Half of the images, in batches of 4.
  const stepsPerEpoch = 2;
  const away = `${folder}-away`;
  const provider = altered(scripted([1]), (model) => {
    let steps = 0;
    return {
      trainStep: async (...args) => {
        const result = await model.trainStep(...args);
        if (++steps === stepsPerEpoch) fs.renameSync(folder, away);
        return result;
      },
    };
  });
  const first = await train(provider, { experiment, dataFolder: folder });
  expect(first.outcome).toBe('failed');
  expect(first.events.filter((e) => e.type === 'epoch')).toEqual([]);
  fs.renameSync(away, folder);
  const second = await train(scripted([1]), { experiment, dataFolder: folder, resume: onlyRun(runs) });
  expect(second.events[0]).toMatchObject({ type: 'resumed', epoch: 1, step: stepsPerEpoch });
  expect(second.outcome).toBe('finished');
  fs.rmSync(folder, { recursive: true });
});

it('counts the second validation in the time left where there is no test set', async () => {
  const folder = temporaryFolder();
  await fill(folder, { cat: 16, dog: 16 });
  const experiment = imagesExperiment({
    epochs: 2,
    dataset: { name: 'cat-dog', split: { train: 0.5, validation: 0.5 } },
  });
  const { events } = await train(scripted([1]), { experiment, dataFolder: folder });
  const step = events.find((e) => e.type === 'step')!;
  // Of 16 images, 4 are trained; each epoch validates 16 and the end does so again, at a third of a training step.
  expect(step.secondsLeft * step.imagesPerSecond).toBeCloseTo(2 * 16 - 4 + (3 * 16) / 3, 6);
  fs.rmSync(folder, { recursive: true });
});

it('goes on with the threads that it began with, and says where something else computes', async () => {
  const asked: (number | undefined)[] = [];
  const on = (usual: number): EngineProvider => {
    const provider = scripted([2]);
    const open: EngineProvider['open'] = async (options) => {
      asked.push(options.threads);
      const engine = await provider.open(options);
      return { ...engine, device: { ...engine.device, threads: options.threads ?? usual } };
    };
    return { ...provider, open };
  };
  const warnings = (events: RunEvent[]) => events.flatMap((e) => (e.type === 'warning' ? [english(e.message)] : []));
  expect((await train(on(1), { stopAt: 3 })).outcome).toBe('stopped');
  const resume = onlyRun(runs);
  // Another machine, or another number by default: it keeps its own.
  const second = await train(on(2), { resume, keepEngine: true, stopAt: 3 });
  expect([second.outcome, asked, warnings(second.events)]).toEqual(['stopped', [undefined, 1], []]);
  const third = await train(on(2), { resume, keepEngine: true, threads: Math.min(2, os.availableParallelism()) });
  expect(third.outcome).toBe('finished');
  expect(warnings(third.events)).toEqual(
    os.availableParallelism() < 2
      ? []
      : [
          'From here on the last digits of the figures may differ from those of a run that was never interrupted: ' +
            'It was computed with 1 threads and now is with 2.',
        ],
  );
});

it('goes on as WebAssembly and without the optimizations that were left out', () => {
  const before: EngineUse = {
    ...{ engine: 'onnx', engineReasons: [], device: 'a script', threads: 2, leftOut: ['winograd'] },
    versions: { 'onnxruntime-web': '1' },
  };
  vi.stubEnv('CONVLAB_ONNX_RUNTIME', '');
  expect(optionsAsBefore('onnx', {}, before)).toEqual({ threads: 2, runtime: 'web', without: ['winograd'] });
  expect(optionsAsBefore('onnx', { threads: 1 }, before)).toMatchObject({ threads: 1 });
  expect(optionsAsBefore('webgpu', {}, before)).toEqual({});
  vi.unstubAllEnvs();
  expect(differences(before, before)).toEqual([]);
  const native = { ...before, versions: { 'onnxruntime-node': '1' }, leftOut: undefined };
  expect(differences(before, native).map(english)).toEqual([
    'From here on the last digits of the figures may differ from those of a run that was never interrupted: ' +
      'It was computed by onnx, a script, onnxruntime-web 1 and now is by onnx, a script, onnxruntime-node 1. ' +
      'It left out winograd and now leaves out –.',
  ]);
});

it('refuses a last batch of one image that batch norm could learn nothing from, before there is a run', async () => {
  const folder = temporaryFolder();
  await fill(folder, { cat: 10, dog: 8 });
  // Nine training images in batches of four.
  const experiment = imagesExperiment({ network: { name: 'resnet18' }, batchSize: 4 });
  const { outcome, events } = await train(scripted([2]), { experiment, dataFolder: folder });
  expect(outcome).toBe('failed');
  expect(events).toMatchObject([
    {
      type: 'failed',
      message: { id: 'batchNormSingleLast', args: { layer: 'layer4.0.bn1', examples: 9, batchSize: 4, passes: 4 } },
      advice: { id: 'batchNormSingleLastAdvice' },
    },
  ]);
  expect(fs.readdirSync(runs)).toEqual([]);
  fs.rmSync(folder, { recursive: true });
});

it('goes on with the test images that a run began with: the first ones, where an earlier version began it', async () => {
  const { testLabels } = readMnist();
  /** Labels of the images that are evaluated, in their order. */
  const seen: number[] = [];
  const provider = altered(scripted([2]), (model) => ({
    evaluate: async (batch) => {
      seen.push(...batch.labels.subarray(0, batch.size));
      return model.evaluate(batch);
    },
  }));
  const { events } = await train(provider, { stopAt: 3 });
  const { examples, testDrawn } = events.find((event) => event.type === 'started')!;
  expect(testDrawn).toBe(true);
  const file = path.join(onlyRun(runs), 'metrics.jsonl');
  const ofToday = fs.readFileSync(file, 'utf8');
  const first = Array.from(testLabels.subarray(0, examples.test));
  for (const text of [ofToday.replace('"testDrawn":true,', ''), ofToday]) {
    const copy = temporaryFolder();
    fs.cpSync(onlyRun(runs), copy, { recursive: true });
    fs.writeFileSync(path.join(copy, 'metrics.jsonl'), text);
    expect((await train(provider, { resume: copy })).outcome).toBe('finished');
    const tested = seen.slice(-examples.test);
    if (text === ofToday) expect(tested).not.toEqual(first);
    else expect(tested).toEqual(first);
    fs.rmSync(copy, { recursive: true });
  }
});
