/** A run and rows of a comparison as the host would send them; their figures mean nothing. */
import type { ComparedRun } from '../../src/core/comparison';
import { compared } from '../../src/core/comparison';
import type { EpochEvent, FinishedEvent, RunEvent, StartedEvent, StepEvent } from '../../src/core/contracts/events';
import { protocolVersion } from '../../src/core/contracts/events';
import { History } from '../../src/core/history';
import { resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';

export const experiment = resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course');
export const stepsPerEpoch = 20;
const layers = ['conv1', 'conv2', 'fc1', 'fc2', 'fc3'];
const digits = Array.from({ length: 10 }, (_, digit) => String(digit));

const started: StartedEvent = {
  type: 'started',
  protocol: protocolVersion,
  time: '2026-01-01T09:30:00Z',
  experiment,
  engine: 'onnx',
  engineReasons: [],
  device: 'a processor',
  versions: { convlab: '0.1.0' },
  parameterCount: 61706,
  stepsPerEpoch,
  examples: { train: 55000, validation: 5000, test: 10000 },
  classNames: digits,
};

const step = (epoch: number, step: number): StepEvent => ({
  type: 'step',
  epoch,
  step,
  loss: 2 / (epoch + step / stepsPerEpoch),
  imagesPerSecond: 1500,
  secondsLeft: 200,
});

const epochOf = (epoch: number): EpochEvent => ({
  type: 'epoch',
  epoch,
  trainLoss: 1 / epoch,
  trainAccuracy: 1 - 0.3 / epoch,
  validationLoss: 0.2 + 1 / epoch,
  validationAccuracy: 1 - 0.2 / epoch,
  learningRate: 1e-3,
  seconds: 36,
  imagesPerSecond: 1500,
  layers: layers.map((layer, i) => ({ layer, gradientNorm: 0.1 + i / 10, updateRatio: 1e-3, deadShare: 0.1 * i })),
  logitStd: 2,
});

export const finished: FinishedEvent = {
  type: 'finished',
  testLoss: 0.0341,
  testAccuracy: 0.9891,
  testedOnTestSet: true,
  bestEpoch: 10,
  bestValidationAccuracy: 0.98,
  confusion: digits.map((_, i) => digits.map((_, j) => (i === j ? 980 : 2))),
  seconds: 371,
};

/** The events of a run: so many epochs, and so many steps of the next one. */
export function events(epochs: number, steps = 0): RunEvent[] {
  const all: RunEvent[] = [started];
  for (let epoch = 1; epoch <= epochs + 1; epoch++) {
    const last = epoch <= epochs ? stepsPerEpoch : steps;
    for (let i = 0; i < last; i++) all.push(step(epoch, i));
    if (epoch <= epochs) all.push(epochOf(epoch));
  }
  return all;
}

/** A row of the comparison. */
export function row(run: string, epochs: number): ComparedRun {
  const history = new History();
  for (const event of events(epochs)) history.apply(event);
  return compared(run, `2026-01-0${run.length}T09:30:00Z`, experiment, history, 'interrupted');
}
