/**
 * Folds a run's events into what is worth showing of it. The panel, the sidebar, the terminal and the run list all read
 * a run through this one fold, so that a resumed run looks the same everywhere.
 */
import type {
  EngineUse,
  EpochEvent,
  FailedEvent,
  FinishedEvent,
  ResumedEvent,
  RunEvent,
  StartedEvent,
  StepEvent,
  WarningEvent,
} from './contracts/events';

/**
 * 'interrupted' is a run that ended without saying so (a crash, a power cut) or whose editor went away: it can go on.
 * Events alone cannot tell 'running' from 'interrupted'; who folds them knows whether a trainer is alive.
 */
export type RunState = 'starting' | 'running' | 'finished' | 'stopped' | 'interrupted' | 'failed';

/** One point of the step curve. */
export interface StepPoint {
  /** In epochs: 1.5 is the middle of the second epoch. */
  readonly x: number;
  readonly loss: number;
}

/** What computed a part of a run, and where that part begins. */
export interface EnginePart extends EngineUse {
  readonly epoch: number;
  readonly step: number;
}

export class History {
  started?: StartedEvent;
  finished?: FinishedEvent;
  failed?: FailedEvent;
  latestStep?: StepEvent;
  /** Why the run stands still, when its last word was 'stopped'. */
  stopReason?: 'user' | 'editorGone';
  readonly epochs: EpochEvent[] = [];
  readonly steps: StepEvent[] = [];
  readonly warnings: WarningEvent[] = [];
  /** What computed the run so far: one part, or several where it went on with another engine or on another device. */
  readonly engines: EnginePart[] = [];
  /** What computed last, threads and versions included. */
  lastUse?: EngineUse;

  apply(event: RunEvent): void {
    switch (event.type) {
      case 'started':
        this.started = event;
        this.lastUse = engineUse(event)!;
        this.engines.push({ ...this.lastUse, epoch: 1, step: 0 });
        break;
      case 'step':
        this.steps.push(event);
        this.latestStep = event;
        break;
      case 'epoch':
        this.addEpoch(event);
        break;
      case 'resumed': {
        const before = (e: { epoch: number; step: number }) =>
          e.epoch < event.epoch || (e.epoch === event.epoch && e.step < event.step);
        keep(this.steps, before);
        keep(this.epochs, (e) => e.epoch < event.epoch);
        this.latestStep = this.steps[this.steps.length - 1];
        this.goOnWith(event, before);
        this.stopReason = undefined;
        this.finished = undefined;
        this.failed = undefined;
        break;
      }
      case 'warning':
        this.warnings.push(event);
        break;
      case 'finished':
        this.finished = event;
        break;
      case 'failed':
        this.failed = event;
        break;
      case 'stopped':
        this.stopReason = event.reason;
        break;
    }
  }

  /** Epochs come in order, but for those that a run which goes on has put back. */
  private addEpoch(event: EpochEvent): void {
    let at = this.epochs.length;
    while (at > 0 && this.epochs[at - 1]!.epoch >= event.epoch) at--;
    const replaced = this.epochs[at]?.epoch === event.epoch ? 1 : 0;
    this.epochs.splice(at, replaced, event);
  }

  private goOnWith(event: ResumedEvent, before: (part: EnginePart) => boolean): void {
    const use = engineUse(event);
    if (!use) return;
    this.lastUse = use;
    // An engine none of whose steps are left has computed nothing.
    keep(this.engines, before);
    const last = this.engines[this.engines.length - 1];
    if (last?.engine === use.engine && last.device === use.device) return;
    this.engines.push({ ...use, epoch: event.epoch, step: event.step });
  }

  /** The state, given whether a trainer is at work on this run. */
  state(alive: boolean): RunState {
    if (alive) return this.started ? 'running' : 'starting';
    if (this.finished) return 'finished';
    if (this.failed) return 'failed';
    return this.stopReason === 'user' ? 'stopped' : 'interrupted';
  }

  /** Share of the training steps done, 0 to 1. */
  get progress(): number {
    if (this.finished) return 1;
    if (!this.started) return 0;
    const { stepsPerEpoch, experiment } = this.started;
    const whole = stepsPerEpoch * experiment.epochs;
    const last = this.latestStep;
    const bySteps = last ? (last.epoch - 1) * stepsPerEpoch + last.step + 1 : 0;
    return Math.min(1, Math.max(bySteps, this.epochs.length * stepsPerEpoch) / whole);
  }

  /** The step curve's points. */
  stepPoints(): StepPoint[] {
    const perEpoch = this.started?.stepsPerEpoch ?? 1;
    return this.steps.map((s) => ({ x: s.epoch - 1 + (s.step + 1) / perEpoch, loss: s.loss }));
  }

  get bestEpoch(): EpochEvent | undefined {
    let best: EpochEvent | undefined;
    for (const epoch of this.epochs) if (!best || epoch.validationAccuracy > best.validationAccuracy) best = epoch;
    return best;
  }
}

/** What an event says of the engine, if it does. */
function engineUse(event: Partial<EngineUse>): EngineUse | undefined {
  const { engine, engineReasons, device, threads, versions, leftOut } = event;
  if (engine === undefined || engineReasons === undefined || device === undefined || !versions) return undefined;
  return { engine, engineReasons, device, threads, versions, ...(leftOut && { leftOut }) };
}

function keep<T>(list: T[], test: (item: T) => boolean): void {
  let n = 0;
  for (const item of list) if (test(item)) list[n++] = item;
  list.length = n;
}

/**
 * Thins a curve to at most about `limit` points: each run of neighbours is replaced by its lowest and its highest, in
 * order, so that spikes stay visible. Returns the input when it is short enough.
 */
export function thin<T>(points: readonly T[], value: (point: T) => number, limit: number): readonly T[] {
  if (points.length <= limit) return points;
  const bucket = Math.ceil(points.length / (limit / 2));
  const out: T[] = [];
  for (let start = 0; start < points.length; start += bucket) {
    let low = start;
    let high = start;
    for (let i = start; i < Math.min(start + bucket, points.length); i++) {
      if (value(points[i]!) < value(points[low]!)) low = i;
      if (value(points[i]!) > value(points[high]!)) high = i;
    }
    out.push(points[Math.min(low, high)]!);
    if (low !== high) out.push(points[Math.max(low, high)]!);
  }
  // The newest point is what a reader of a live curve looks at.
  if (out[out.length - 1] !== points[points.length - 1]) out.push(points[points.length - 1]!);
  return out;
}
