/**
 * The points behind the panel's charts, as arithmetic without a DOM: the step curve kept to a drawable number of points
 * while a run grows, the epoch curves, the range of the loss axis, and the per-layer curves of the diagnostics tab.
 */
import { History, StepPoint, thin } from '../core/history';

export interface Point {
  /** In epochs: 1.5 is the middle of the second epoch, 2 its end. */
  x: number;
  /** NaN is a gap in the line. */
  y: number;
}

/** How many points the step curve is thinned to; about two for each pixel column of a wide panel. */
export const stepCurveLimit = 2000;

/**
 * The step curve of a growing history. New steps are appended as they are; the whole curve is thinned again from the
 * history only when a tenth has been added, so that a frame costs what is new and old epochs keep their detail however
 * often the curve is thinned.
 */
export class StepCurve {
  /** At most 1.1 times the limit and a few; the array stays the same object, as the chart holds on to it. */
  readonly points: Point[] = [];
  private taken = 0;
  /** The newest step taken, by which a resumed run shows. */
  private newest: unknown;
  private thinAgainAt: number;

  constructor(private readonly limit = stepCurveLimit) {
    this.thinAgainAt = limit;
  }

  /** Takes in what the history has gained, or lost to a resumption. */
  update(history: History): void {
    const { steps } = history;
    const rewound = steps.length < this.taken || (this.taken > 0 && steps[this.taken - 1] !== this.newest);
    if (rewound || steps.length > this.thinAgainAt) {
      const kept = thin(history.stepPoints(), (point) => point.loss, this.limit);
      this.points.length = 0;
      for (const point of kept) this.points.push(toPoint(point));
      this.thinAgainAt = Math.max(this.limit, Math.ceil(steps.length + this.limit / 10));
    } else {
      const perEpoch = history.started?.stepsPerEpoch ?? 1;
      for (let i = this.taken; i < steps.length; i++) {
        const step = steps[i]!;
        this.points.push({ x: step.epoch - 1 + (step.step + 1) / perEpoch, y: step.loss });
      }
    }
    this.taken = steps.length;
    this.newest = steps[steps.length - 1];
  }
}

const toPoint = ({ x, loss }: StepPoint): Point => ({ x, y: loss });

export interface EpochCurves {
  readonly trainLoss: Point[];
  readonly validationLoss: Point[];
  readonly trainAccuracy: Point[];
  readonly validationAccuracy: Point[];
}

/** The epochs' curves; an epoch's figures stand at its end. */
export function epochCurves(history: History): EpochCurves {
  const curve = (figure: keyof EpochCurves) => history.epochs.map((epoch) => ({ x: epoch.epoch, y: epoch[figure] }));
  return {
    trainLoss: curve('trainLoss'),
    validationLoss: curve('validationLoss'),
    trainAccuracy: curve('trainAccuracy'),
    validationAccuracy: curve('validationAccuracy'),
  };
}

/** Intervals of both vertical axes, so that one grid serves the losses on the left and the accuracies on the right. */
export const axisIntervals = 5;

/**
 * Upper end of the loss axis, which begins at 0. It holds every epoch's mean and all but the highest twentieth of the
 * step curve: the first batches (ln 10 on MNIST) and single spikes may leave the image, since with them inside the
 * curve that is learnt from would be a line along the bottom.
 * @returns a multiple of {@link axisIntervals} round steps
 */
export function lossAxisTop(
  steps: readonly Point[],
  trainLoss: readonly Point[],
  validationLoss: readonly Point[] = [],
): number {
  const losses = steps.map((point) => point.y).sort((a, b) => a - b);
  const common = losses.length ? losses[Math.floor((losses.length - 1) * 0.95)]! : 0;
  let top = common;
  for (const { y } of [...trainLoss, ...validationLoss]) top = Math.max(top, y);
  return axisIntervals * roundStep((top * 1.05) / axisIntervals);
}

/** The smallest of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is no less than `least`; 0.2 for nothing. */
export function roundStep(least: number): number {
  if (!(least > 0) || !Number.isFinite(least)) return 0.2;
  const exponent = Math.floor(Math.log10(least));
  for (const digit of [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]) {
    // Through a decimal text, since 3 * 10 ** -3 is not 0.003 and would show in a tick.
    const step = Number(`${digit}e${exponent}`);
    if (step >= least * (1 - 1e-9)) return step;
  }
  return Number(`1e${exponent + 1}`);
}

/** Decimals that a tick needs where ticks are `step` apart; at least one, since losses and accuracies are fractions. */
export function decimalsOf(step: number): number {
  for (let decimals = 1; decimals < 12; decimals++) {
    if (Math.abs(Number(step.toFixed(decimals)) - step) < step * 1e-6) return decimals;
  }
  return 12;
}

/**
 * Ticks of a logarithmic axis: the powers of ten, and 2 and 5 times those where the axis spans up to two of them.
 * @param min greater than 0
 */
export function logarithmicTicks(min: number, max: number): number[] {
  const ticks: number[] = [];
  const digits = max / min < 101 ? [1, 2, 5] : [1];
  for (let exponent = Math.floor(Math.log10(min)); exponent <= Math.ceil(Math.log10(max)); exponent++) {
    for (const digit of digits) {
      const tick = Number(`${digit}e${exponent}`);
      if (tick >= min * (1 - 1e-9) && tick <= max * (1 + 1e-9)) ticks.push(tick);
    }
  }
  return ticks;
}

/** Figures that the diagnostics tab draws, one line per layer. */
export type LayerFigure = 'gradientNorm' | 'updateRatio' | 'deadShare';

export interface LayerCurve {
  readonly layer: string;
  readonly points: Point[];
}

/**
 * One curve per layer that has the figure, in the network's order.
 * @param logarithmic leaves gaps for values that have no place on a logarithmic axis
 */
export function layerCurves(history: History, figure: LayerFigure, logarithmic: boolean): LayerCurve[] {
  const curves = new Map<string, Point[]>();
  for (const epoch of history.epochs) {
    for (const figures of epoch.layers) {
      const y = figures[figure];
      if (y === undefined) continue;
      let points = curves.get(figures.layer);
      if (!points) curves.set(figures.layer, (points = []));
      points.push({ x: epoch.epoch, y: logarithmic && !(y > 0) ? NaN : y });
    }
  }
  return [...curves].map(([layer, points]) => ({ layer, points }));
}

/** The first layer's gradient norm over the last layer's in the newest epoch; undefined where there is no such ratio. */
export function gradientSpan(
  history: History,
): { epoch: number; first: string; last: string; ratio: number } | undefined {
  const epoch = history.epochs[history.epochs.length - 1];
  const first = epoch?.layers[0];
  const last = epoch?.layers[epoch.layers.length - 1];
  if (!epoch || !first || !last || first === last || !(last.gradientNorm > 0)) return undefined;
  return {
    epoch: epoch.epoch,
    first: first.layer,
    last: last.layer,
    ratio: first.gradientNorm / last.gradientNorm,
  };
}

/** The layer with the largest share of dead channels in the newest epoch; undefined where no layer has any. */
export function deadestLayer(history: History): { epoch: number; layer: string; share: number } | undefined {
  const newest = history.epochs[history.epochs.length - 1];
  let most: { epoch: number; layer: string; share: number } | undefined;
  for (const { layer, deadShare = 0 } of newest?.layers ?? []) {
    if (deadShare > (most?.share ?? 0)) most = { epoch: newest!.epoch, layer, share: deadShare };
  }
  return most;
}

/**
 * The training loss of the newest epoch beside that of a network that finds all classes equally likely: ln of their
 * number, in cross-entropy as in binary cross-entropy.
 */
export function lossBesideGuessing(history: History): { epoch: number; loss: number; guessing: number } | undefined {
  const newest = history.epochs[history.epochs.length - 1];
  const classes = history.started?.classNames.length ?? 0;
  if (!newest || classes < 2) return undefined;
  return { epoch: newest.epoch, loss: newest.trainLoss, guessing: Math.log(classes) };
}

/** Radius in pixels of the markers of a curve of `count` epochs, by index: about twenty, however long it is. */
export function sparseMarkers(count: number): (index: number) => number {
  const stride = Math.max(1, Math.ceil(count / 20));
  return (index) => (index % stride === 0 ? 3.5 : 0);
}

/** Which of so many shapes the marker of the curve at `index` has: another one each time that the colours begin again. */
export function markerIndex(index: number, shapes: number, colours: number): number {
  return (index + Math.floor(index / colours)) % shapes;
}

/** Radius in pixels of the markers of a curve of `count` epochs: long runs are lines without. */
export function markerRadius(count: number): number {
  if (count <= 20) return 3.5;
  return count <= 60 ? 2 : 0;
}
