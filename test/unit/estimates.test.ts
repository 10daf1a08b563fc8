/** The arithmetic of estimates: from known speeds to seconds, and from seconds to words. */
import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import {
  checkpointBytesWritten,
  multiplyAdds,
  paceFromSpeeds,
  paceOfRun,
  roughDuration,
  runSeconds,
  secondsOf,
  shapeOf,
  Speed,
  startFromSpeeds,
  wellKnown,
} from '../../src/core/estimates';
import { evaluationBatchSize } from '../../src/core/trainingRules';
import { History } from '../../src/core/history';
import { english, fill, plainArgs } from '../../src/core/messages/message';
import { texts } from '../../src/core/messages/texts';
import type { EpochEvent, StartedEvent, StepEvent } from '../../src/core/contracts/events';
import type { Machine, StepShape } from '../../src/core/contracts/tasks';

const file = findExperiment('experiments', 'lenet5-mnist');
const course = resolveExperiment(file, 'course');
const shape = shapeOf(course);

test('an experiment’s shape', () => {
  expect(shape).toEqual({ network: 'lenet5', channels: 1, size: 32, outputs: 10, batchSize: 64 });
  expect(shapeOf(resolveExperiment(file, 'course', { microBatch: 16 }))).toEqual({ ...shape, microBatch: 16 });
});

test('a run adds up: start, epochs with validation and checkpoint, and the test', () => {
  const costs = { start: 5, train: 0.01, evaluate: 0.002, checkpoint: 0.3 };
  const examples = { train: 1000, validation: 100, test: 200 };
  // A checkpoint after each epoch is less than 5 % of the time: 5 + 3 · (10 + 0.2 + 0.3) + 0.4
  expect(runSeconds(3, examples, costs)).toBeCloseTo(36.9, 10);
  // Without a test set, the validation set is evaluated once more.
  expect(runSeconds(3, { ...examples, test: 0 }, costs)).toBeCloseTo(36.7, 10);
  // A dear one comes after the first epoch, after as many as make it 5 % of their time (3 · 10.2 · 0.05 ≥ 1.5), and at
  // the end: after epochs 1, 4, 7, 10 and 12.
  expect(runSeconds(12, examples, { ...costs, checkpoint: 1.5 })).toBeCloseTo(5 + 12 * 10.2 + 5 * 1.5 + 0.4, 10);
});

test('checkpoints hold parameters and two moments, and the best parameters', () => {
  expect(checkpointBytesWritten(shape)).toBe(61_706 * 16);
});

describe('seconds from timings', () => {
  // Overhead 0.1 s, 2 ns for each multiply-add.
  const timing = (work: number) => ({ work, seconds: 0.1 + 2e-9 * work });

  test('overhead and rate are found again', () => {
    expect(secondsOf(3e9, [timing(1e8), timing(1e10)])).toBeCloseTo(6.1, 9);
    expect(secondsOf(8e9, [timing(1e9), timing(2e9)])).toBeCloseTo(16.1, 9);
  });

  test('one timing alone scales in proportion', () => {
    expect(secondsOf(4e9, [{ work: 1e9, seconds: 3 }])).toBeCloseTo(12, 12);
  });

  test('what was timed is told as it was timed, and neighbours follow it', () => {
    const off = [timing(1e8), { work: 1e9, seconds: 3 }, timing(1e10)];
    expect(secondsOf(1e9, off)).toBeCloseTo(3, 12);
    expect(secondsOf(1.1e9, off)).toBeGreaterThan(3);
  });

  test('noise never makes more work take less time, nor a time negative', () => {
    // More work was faster; and an overhead below zero would fit best.
    expect(secondsOf(4e9, [{ work: 1e9, seconds: 3 }, { work: 2e9, seconds: 2 }])).toBeCloseTo(2, 12); // prettier-ignore
    expect(secondsOf(1e8, [{ work: 1e9, seconds: 1 }, { work: 2e9, seconds: 3 }])).toBeCloseTo(0.1, 12); // prettier-ignore
  });
});

/** A machine that needs 50 ms and 1 ns per multiply-add for a step, a fifth of that for an evaluation. */
function speed(of: StepShape, evaluatedExamples = of.batchSize): Speed {
  const each = multiplyAdds(of);
  return {
    shape: of,
    stepSeconds: 0.05 + 1e-9 * each * of.batchSize,
    evaluateSeconds: 0.01 + 2e-10 * each * evaluatedExamples,
    evaluatedExamples,
    startSeconds: of.size / 100,
    time: '2026-01-02T03:04:05.000Z',
  };
}
const resnet = (size: number, batchSize = 32): StepShape => ({
  network: 'resnet18',
  channels: 3,
  size,
  outputs: 1,
  batchSize,
});

describe('pace from measured speeds', () => {
  test('of a shape that was measured: just that', () => {
    const measured = { ...speed(resnet(64)), stepSeconds: 0.32, evaluateSeconds: 0.5, evaluatedExamples: 100 };
    const pace = paceFromSpeeds(resnet(64), [measured, speed(resnet(224))])!;
    expect(pace.exact).toBe(true);
    expect([pace.train, pace.evaluate]).toEqual([0.01, 0.005]);
  });

  test('of another size or batch: told from the others', () => {
    const speeds = [speed(resnet(64)), speed(resnet(224, 4)), speed(resnet(224, 8))];
    for (const wanted of [resnet(224), resnet(96), resnet(64, 16)]) {
      const pace = paceFromSpeeds(wanted, speeds)!;
      const truth = speed(wanted, evaluationBatchSize(wanted.batchSize, 3 * wanted.size ** 2));
      expect(pace.exact).toBe(false);
      expect(pace.train * wanted.batchSize).toBeCloseTo(truth.stepSeconds, 9);
      expect(pace.evaluate * truth.evaluatedExamples).toBeCloseTo(truth.evaluateSeconds, 9);
    }
    expect(startFromSpeeds(resnet(64, 16), speeds)).toBe(0.64);
  });

  test('of a network that was never measured: none', () => {
    expect(paceFromSpeeds(shape, [speed(resnet(64))])).toBeUndefined();
    expect(startFromSpeeds(shape, [speed(resnet(64))])).toBe(0);
  });

  test('what is known well enough need not be measured', () => {
    expect(wellKnown(resnet(64), [speed(resnet(64))])).toBe(true);
    // One timing cannot tell the overhead from the rest.
    expect(wellKnown(resnet(96), [speed(resnet(64))])).toBe(false);
    const two = [speed(resnet(64)), speed(resnet(224))];
    expect(wellKnown(resnet(96), two)).toBe(true);
    expect(wellKnown(resnet(512), two)).toBe(false);
    expect(wellKnown(resnet(224, 128), [speed(resnet(224, 4)), speed(resnet(224, 8))])).toBe(true);
    expect(wellKnown(shape, two)).toBe(false);
  });
});

describe('pace of an earlier run', () => {
  const machine: Machine = { engine: 'onnx', device: 'fast', threads: 2, versions: { convlab: '1', ort: '9' } };
  const started: StartedEvent = {
    type: 'started',
    protocol: 1,
    time: '2026-01-02T03:04:05.000Z',
    experiment: course,
    engine: 'onnx',
    engineReasons: [],
    device: 'fast',
    threads: 2,
    versions: { convlab: '1', node: '20', ort: '9' },
    parameterCount: 61_706,
    stepsPerEpoch: 100,
    examples: { train: 6400, validation: 500, test: 1000 },
    classNames: [],
  };
  const epoch = (imagesPerSecond: number, validationSeconds: number): EpochEvent => ({
    type: 'epoch',
    epoch: 1,
    trainLoss: 1,
    trainAccuracy: 0.5,
    validationLoss: 1,
    validationAccuracy: 0.5,
    learningRate: 0.001,
    seconds: 6400 / imagesPerSecond + validationSeconds,
    imagesPerSecond,
    layers: [],
    logitStd: 1,
  });
  const step = (n: number): StepEvent => ({
    type: 'step',
    epoch: 1,
    step: n,
    loss: 1,
    imagesPerSecond: 800,
    secondsLeft: 1,
  });
  const history = (...events: Parameters<History['apply']>[0][]): History => {
    const folded = new History();
    events.forEach((event) => folded.apply(event));
    return folded;
  };

  test('its epochs tell, the first only where it is alone', () => {
    const first = epoch(400, 2);
    const alone = paceOfRun(history(started, first), course, machine)!;
    expect(alone.train).toBeCloseTo(1 / 400, 12);
    expect(alone.evaluate).toBeCloseTo(2 / 500, 9);
    const pace = paceOfRun(
      history(
        started,
        ...[first, epoch(800, 1), epoch(640, 1), epoch(1000, 1)].map((e, i) => ({ ...e, epoch: i + 1 })),
      ),
      course,
      machine,
    )!;
    expect(pace.train).toBeCloseTo(1 / 800, 12);
    expect(pace.evaluate).toBeCloseTo(1 / 500, 9);
  });

  test('within the first epoch, its steps once there are enough', () => {
    expect(paceOfRun(history(started, step(10)), course, machine)).toBeUndefined();
    expect(paceOfRun(history(started, step(60)), course, machine)).toEqual({ train: 1 / 800 });
  });

  test('a longer or shorter run of the same experiment tells, another computation does not', () => {
    const events = [started, epoch(640, 1)];
    const of = (overrides: Record<string, unknown>) =>
      paceOfRun(history(...events), resolveExperiment(file, 'quick', overrides), machine);
    expect(of({ epochs: 99, seed: 5, 'optimizer.learningRate': 0.1 })).toBeDefined();
    for (const other of [{ batchSize: 32 }, { 'input.size': 64 }, { 'network.name': 'alexnet', 'input.size': 64 }]) {
      expect(of(other)).toBeUndefined();
    }
  });

  test('another engine, device, number of threads or version does not tell', () => {
    const on = (other: Partial<StartedEvent>) => paceOfRun(history({ ...started, ...other }, epoch(640, 1)), course, machine); // prettier-ignore
    expect(on({})).toBeDefined();
    expect(on({ engine: 'tensorflow' })).toBeUndefined();
    expect(on({ device: 'slow' })).toBeUndefined();
    expect(on({ threads: 1 })).toBeUndefined();
    expect(on({ threads: undefined })).toBeUndefined();
    expect(on({ versions: { ...started.versions, ort: '8' } })).toBeUndefined();
    expect(on({ versions: { ...started.versions, node: '24' } })).toBeDefined();
  });
});

describe('rough durations', () => {
  const bundle = (name: string) =>
    JSON.parse(fs.readFileSync(`l10n/bundle.l10n.${name}.json`, 'utf8')) as Record<string, string>;
  const [tw, cn] = [bundle('zh-tw'), bundle('zh-cn')];
  test.each([
    [0.2, '1 s', '1 秒', '1 秒'],
    [7.4, '7 s', '7 秒', '7 秒'],
    [42, '40 s', '40 秒', '40 秒'],
    [87, '85 s', '85 秒', '85 秒'],
    [89, '1.5 min', '1.5 分鐘', '1.5 分钟'],
    [170, '3 min', '3 分鐘', '3 分钟'],
    [12.4 * 60, '12 min', '12 分鐘', '12 分钟'],
    [89 * 60, '89 min', '89 分鐘', '89 分钟'],
    [90 * 60, '1.5 h', '1.5 小時', '1.5 小时'],
    [2.1 * 3600, '2 h', '2 小時', '2 小时'],
    [35 * 3600, '35 h', '35 小時', '35 小时'],
    [36 * 3600, '1.5 d', '1.5 天', '1.5 天'],
    [20 * 86_400, '20 d', '20 天', '20 天'],
  ])('%d s', (seconds, inEnglish, inTaiwan, inChina) => {
    const rough = roughDuration(seconds);
    expect(english(rough)).toBe(inEnglish);
    const translated = [tw, cn].map((l10n) => fill(l10n[texts[rough.id]]!, plainArgs(rough.args, english)));
    expect(translated).toEqual([inTaiwan, inChina]);
  });
});
