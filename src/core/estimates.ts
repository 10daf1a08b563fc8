/**
 * How long a run will take: arithmetic on measured speeds and on the pace of earlier runs. The trainer's `estimate.ts`
 * gathers the evidence and calls it; terminal and editor render the result with {@link roughDuration}.
 */
import { outputsOf, ResolvedExperiment } from './experiment';
import type { History } from './history';
import { Message, message } from './messages/message';
import { buildNetwork } from './networks/catalog';
import { elements, layerCosts } from './networks/network';
import { median } from './statistics';
import { checkpointsWritten, evaluatedAtTheEnd, evaluationBatchSize } from './trainingRules';
import type { EngineReport, Machine, StepShape } from './contracts/tasks';

/** How fast an engine computes on this machine, measured without a dataset. Times are seconds. */
export interface Speed {
  readonly shape: StepShape;
  /** Median time of a training step on a whole batch. */
  readonly stepSeconds: number;
  /** Median time of one evaluation of `evaluatedExamples` examples. */
  readonly evaluateSeconds: number;
  readonly evaluatedExamples: number;
  /** What compiling the network and the first step and evaluation take beyond the usual. */
  readonly startSeconds: number;
  /** ISO 8601, UTC. */
  readonly time: string;
}

/** What decides an experiment's time per step. */
export function shapeOf(experiment: ResolvedExperiment): StepShape {
  const { network, input, batchSize, microBatch } = experiment;
  const { size, channels } = input;
  const outputs = outputsOf(experiment);
  const { name, freeze } = network;
  return {
    network: name,
    channels,
    size,
    outputs,
    batchSize,
    ...(microBatch && { microBatch }),
    ...(freeze && { freeze }),
  };
}

export const sameShape = (a: StepShape, b: StepShape): boolean =>
  a.network === b.network &&
  a.channels === b.channels &&
  a.size === b.size &&
  a.outputs === b.outputs &&
  a.batchSize === b.batchSize &&
  a.microBatch === b.microBatch &&
  a.freeze === b.freeze;

/** Forward multiply-adds of one example. */
export function multiplyAdds({ network, channels, size, outputs }: StepShape): number {
  return layerCosts(buildNetwork(network, [channels, size, size], outputs)).reduce((sum, c) => sum + c.multiplyAdds, 0);
}

/** A computation that was timed: `work` in multiply-adds over its whole batch. */
interface Timing {
  readonly work: number;
  readonly seconds: number;
}

/**
 * Seconds of a computation from timings of the same network at other sizes and batches: overhead + rate × work, fitted by
 * least squares of the relative errors with neither below zero, then scaled to pass through the timing nearest in work.
 * The overhead is what does not grow with the batch, Adam above all, so it belongs to one network.
 * @param timings at least one
 */
export function secondsOf(work: number, timings: readonly Timing[]): number {
  const nearest = timings.reduce((best, t) => (distance(work, t.work) < distance(work, best.work) ? t : best));
  const { overhead, rate } = fit(timings);
  return (nearest.seconds * (overhead + rate * work)) / (overhead + rate * nearest.work);
}

/** How many times more, or less. */
const distance = (a: number, b: number): number => Math.max(a / b, b / a);

function fit(timings: readonly Timing[]): { overhead: number; rate: number } {
  // Minimise Σ (overhead·u + rate·v − 1)² with u = 1/seconds and v = work/seconds.
  let [uu, uv, vv, u1, v1] = [0, 0, 0, 0, 0];
  for (const { work, seconds } of timings) {
    const [u, v] = [1 / seconds, work / seconds];
    uu += u * u;
    uv += u * v;
    vv += v * v;
    u1 += u;
    v1 += v;
  }
  const determinant = uu * vv - uv * uv;
  // One timing, or several of the same work, cannot tell the overhead from the rest.
  if (determinant > 1e-9 * uu * vv) {
    const overhead = (u1 * vv - v1 * uv) / determinant;
    const rate = (v1 * uu - u1 * uv) / determinant;
    if (overhead >= 0 && rate >= 0) return { overhead, rate };
    if (rate < 0) return { overhead: u1 / uu, rate: 0 };
  }
  return { overhead: 0, rate: v1 / vv };
}

/** How fast a run of one shape goes, all of it but reading the data. Seconds. */
export interface Pace {
  /** Per training example. */
  readonly train: number;
  /** Per evaluated example. */
  readonly evaluate: number;
  /** Whether this very shape was measured. */
  readonly exact: boolean;
}

/** The speeds of a shape's network, frozen or not as it is: what is not trained takes no backward pass. */
const ofNetwork = (shape: StepShape, speeds: readonly Speed[]): Speed[] =>
  speeds.filter(({ shape: { network, freeze } }) => network === shape.network && freeze === shape.freeze);

const stepTiming = ({ shape, stepSeconds }: Speed): Timing => ({
  work: multiplyAdds(shape) * shape.batchSize,
  seconds: stepSeconds,
});

/** Beyond this many times the work of anything measured, a new measurement is worth its seconds. */
const furthest = 4;

/** Whether the speeds tell enough about a shape that it need not be measured. */
export function wellKnown(shape: StepShape, speeds: readonly Speed[]): boolean {
  const known = ofNetwork(shape, speeds);
  if (known.some((speed) => sameShape(speed.shape, shape))) return true;
  // A network too heavy for its whole batch is measured at two smaller ones.
  const sameSize = known.filter((s) => s.shape.size === shape.size && s.shape.channels === shape.channels);
  if (new Set(sameSize.map((s) => s.shape.batchSize)).size > 1) return true;
  const work = multiplyAdds(shape) * shape.batchSize;
  return known.length > 1 && known.some((speed) => distance(work, stepTiming(speed).work) <= furthest);
}

/** The pace that measured speeds promise; undefined where nothing of this network has been measured. */
export function paceFromSpeeds(shape: StepShape, speeds: readonly Speed[]): Pace | undefined {
  const known = ofNetwork(shape, speeds);
  if (known.length === 0) return undefined;
  const { batchSize, channels, size } = shape;
  const evaluated = evaluationBatchSize(batchSize, channels * size * size);
  const exact = known.find((speed) => sameShape(speed.shape, shape));
  if (exact) {
    return {
      train: exact.stepSeconds / batchSize,
      evaluate: exact.evaluateSeconds / exact.evaluatedExamples,
      exact: true,
    };
  }
  const each = multiplyAdds(shape);
  const evaluations = known.map((speed) => ({
    work: multiplyAdds(speed.shape) * speed.evaluatedExamples,
    seconds: speed.evaluateSeconds,
  }));
  return {
    train: secondsOf(each * batchSize, known.map(stepTiming)) / batchSize,
    evaluate: secondsOf(each * evaluated, evaluations) / evaluated,
    exact: false,
  };
}

/** Seconds that compiling and first computations take: those of the speed that is nearest in work. */
export function startFromSpeeds(shape: StepShape, speeds: readonly Speed[]): number {
  const work = multiplyAdds(shape) * shape.batchSize;
  const far = (speed: Speed) => distance(work, stepTiming(speed).work);
  const [first, ...others] = ofNetwork(shape, speeds);
  if (!first) return 0;
  return others.reduce((best, speed) => (far(speed) < far(best) ? speed : best), first).startSeconds;
}

/**
 * The pace of an earlier run, reading the data included; undefined where it was of another shape, on another machine, or
 * too short to tell. Its validation tells the pace of evaluation; before the first one, `evaluate` is undefined.
 */
export function paceOfRun(
  history: Readonly<History>,
  experiment: ResolvedExperiment,
  machine: Machine,
): { train: number; evaluate?: number } | undefined {
  const { started, epochs, latestStep, engines } = history;
  // A run of several engines has no one pace.
  if (!started || engines.length > 1 || !comparable(started.experiment, experiment)) return undefined;
  if (started.engine !== machine.engine || started.device !== machine.device) return undefined;
  if (started.threads !== machine.threads) return undefined;
  if (Object.entries(machine.versions).some(([name, version]) => started.versions[name] !== version)) return undefined;
  const { train, validation } = started.examples;
  if (epochs.length > 0) {
    // A run's first epoch holds the compilation; where there are others, they tell the pace better.
    const settled = epochs.length > 1 ? epochs.slice(1) : epochs;
    const rate = median(settled.map((e) => e.imagesPerSecond));
    const evaluating = median(settled.map((e) => e.seconds - train / e.imagesPerSecond));
    return { train: 1 / rate, evaluate: Math.max(0, evaluating) / validation };
  }
  if (!latestStep || latestStep.step + 1 < stepsThatTell) return undefined;
  return { train: 1 / latestStep.imagesPerSecond };
}

/** Fewer steps than this say more about a run's start than about its pace. */
const stepsThatTell = 50;

/** Whether two experiments' steps and examples take the same time: all is the same but length, seed and learning. */
function comparable(a: ResolvedExperiment, b: ResolvedExperiment): boolean {
  const data = ({ dataset, input, augment }: ResolvedExperiment) => JSON.stringify([dataset.name, input, augment]);
  return a.id === b.id && sameShape(shapeOf(a), shapeOf(b)) && data(a) === data(b);
}

/** All that an estimate adds up. Seconds. */
export interface Costs {
  /** From starting the trainer to the first step, and compiling. */
  readonly start: number;
  /** Per training example, and per evaluated one; reading it included. */
  readonly train: number;
  readonly evaluate: number;
  /** Writing one checkpoint. */
  readonly checkpoint: number;
}

/** Seconds of a whole run: start, every epoch with its validation, the checkpoints, and the test at the end. */
export function runSeconds(
  epochs: number,
  examples: { readonly train: number; readonly validation: number; readonly test: number },
  { start, train, evaluate, checkpoint }: Costs,
): number {
  const epoch = examples.train * train + examples.validation * evaluate;
  return (
    start +
    epochs * epoch +
    checkpointsWritten(epochs, epoch, checkpoint) * checkpoint +
    evaluatedAtTheEnd(examples) * evaluate
  );
}

/** Bytes that a checkpoint may write: parameters and both moments, and the best parameters. */
export function checkpointBytesWritten(shape: StepShape): number {
  const { parameters } = buildNetwork(shape.network, [shape.channels, shape.size, shape.size], shape.outputs);
  return parameters.reduce((sum, p) => sum + elements(p.shape), 0) * 4 * (3 + 1);
}

/** A course estimate above this, in seconds, is worth a hint at the quick preset. */
export const longRun = 30 * 60;

/** A duration as one says it: 40 s, 3 min, 2 h, 1.5 d. */
export function roughDuration(seconds: number): Message {
  const [minute, hour, day] = [60, 3600, 86_400];
  if (seconds < 10) return message('durationSeconds', { seconds: Math.max(1, Math.round(seconds)) });
  const inFives = Math.round(seconds / 5) * 5;
  if (inFives < 90) return message('durationSeconds', { seconds: inFives });
  if (Math.round(seconds / minute) < 90) return message('durationAboutMinutes', { minutes: brief(seconds / minute) });
  if (brief(seconds / hour) < 36) return message('durationAboutHours', { hours: brief(seconds / hour) });
  return message('durationAboutDays', { days: brief(seconds / day) });
}

/** Halves below 5, else whole. */
const brief = (n: number): number => (n < 5 ? Math.round(n * 2) / 2 : Math.round(n));

/** Whether an engine's speeds are measured here: of an emulated GPU, a thousandth of the processor's, it would take hours. */
export const isMeasurable = ({ usable, reason }: EngineReport): boolean => usable && reason?.id !== 'engineEmulates';

/** Images per second as they are shown; slow ones with a decimal. @param whole renders a whole number */
export const speedWords = (imagesPerSecond: number, whole: (count: number) => string): string =>
  imagesPerSecond < 10 ? imagesPerSecond.toFixed(1) : whole(Math.round(imagesPerSecond));
