/** Starts `convlab` as a user does, and reads what it prints and writes. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { Stop } from '../../src/trainer/stop';
import type { ResolvedExperiment } from '../../src/core/experiment';
import type { RunEvent } from '../../src/core/contracts/events';
import { readEvents, readHistory } from '../../src/disk/runs';
import { startTask, TrainerEnd } from '../../src/trainerClient';

export interface Result {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
  /** The events of --json. */
  readonly events: RunEvent[];
}

/**
 * How far the losses of a run may be from those of another engine's over ten to thirty steps, relative to them. Sums of
 * float32 taken in another order make 1e-6 of it over ten; Adam's first moments left behind once would make 2e-3.
 */
export const otherEngineTolerance = 1e-4;

/** Small and real: 640 training images, 10 steps an epoch. */
export const small = ['lenet5-mnist', '--limit', '640', '--epochs', '2', '--threads', '1'];

export function temporaryFolder(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-test-'));
}

/** Where these tests keep measured speeds, so that they neither find nor leave any of the user's. */
const cache = temporaryFolder();
process.once('exit', () => fs.rmSync(cache, { recursive: true, force: true }));

/**
 * Runs the terminal program to its end.
 * @param onEvent called for each event of --json, with a function that sends a signal
 * @param onText called for each piece of standard output, with the same; onStart once the process is there
 */
export function convlab(
  args: readonly string[],
  onEvent?: (event: RunEvent, kill: (signal: NodeJS.Signals) => void) => void,
  {
    onText,
    onStart,
    env: extra,
    dist = 'dist',
    cwd,
    stdout = 'pipe',
    detached = false,
  }: {
    onText?: (text: string, kill: () => void) => void;
    onStart?: (kill: (signal: NodeJS.Signals) => void) => void;
    env?: Record<string, string>;
    /** Where the program lies. */
    dist?: string;
    /** Where the user stands. */
    cwd?: string;
    /** A file descriptor to write to. */
    stdout?: 'pipe' | number;
    /** Whether it leads a process group of its own; signals then go to all of it, as a terminal's do. */
    detached?: boolean;
  } = {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', CONVLAB_CACHE: cache, ...extra };
    const child = spawn(process.execPath, [path.resolve(dist, 'cli.js'), ...args], {
      env,
      cwd,
      detached,
      stdio: ['ignore', stdout, 'pipe'],
    });
    const send = (signal: NodeJS.Signals) => void (detached ? process.kill(-child.pid!, signal) : child.kill(signal));
    onStart?.(send);
    let out = '';
    let error = '';
    let rest = '';
    const events: RunEvent[] = [];
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
      onText?.(chunk, () => send('SIGINT'));
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        if (!line.startsWith('{')) continue;
        const event = JSON.parse(line) as RunEvent;
        events.push(event);
        onEvent?.(event, send);
      }
    });
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => (error += chunk));
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, out, error, events }));
  });
}

/** A moment for a trainer to die at: the nth call of its kind for a file of this name, counted from 1. */
export interface Death {
  /** In the middle of a write; before a rename of the file to another name; before its bytes are on the disk. */
  readonly call: 'write' | 'rename' | 'flush';
  readonly file: string;
  readonly nth: number;
}

/**
 * Trains in the real child process until it dies by SIGKILL at that moment, for certain.
 * @param resume the run to go on with
 * @returns how it ended for whoever started it
 */
export function dying(
  experiment: ResolvedExperiment,
  runsFolder: string,
  { call, file, nth }: Death,
  resume?: string,
): Promise<TrainerEnd<'train'>> {
  const env = {
    NODE_OPTIONS: `--require ${JSON.stringify(path.resolve('test/trainer/dieAtWrite.cjs'))}`,
    CONVLAB_TEST_DEATH: JSON.stringify({ call, file, nth }),
  };
  const request = { experiment, engine: 'onnx' as const, threads: 1, runsFolder, resume };
  return startTask('train', request, { script: path.resolve('dist/trainer.js'), env }, {}).ended;
}

/** The only run of a runs folder. */
export function onlyRun(runs: string): string {
  const names = fs.readdirSync(runs);
  if (names.length !== 1) throw new Error(`expected one run in ${runs}, found ${names.join(', ') || 'none'}`);
  return path.join(runs, names[0]!);
}

/**
 * What a run's curve is made of, later events superseding earlier ones as after a resumption; figures that depend on
 * the clock are left out.
 */
export function curve(run: string): unknown[] {
  const points: { at: number; figures: unknown }[] = [];
  const position = (epoch: number, step: number) => epoch * 1e6 + step;
  for (const event of readEvents(run)) {
    if (event.type === 'resumed') {
      const from = position(event.epoch, event.step);
      while (points.length && points[points.length - 1]!.at >= from) points.pop();
    } else if (event.type === 'step') {
      const { epoch, step, loss } = event;
      points.push({ at: position(epoch, step), figures: { epoch, step, loss } });
    } else if (event.type === 'epoch') {
      const { seconds: _s, imagesPerSecond: _i, ...figures } = event;
      points.push({ at: position(event.epoch, 999_999), figures });
    } else if (event.type === 'finished') {
      const { seconds: _s, ...figures } = event;
      points.push({ at: Infinity, figures });
    }
  }
  return points.map((p) => p.figures);
}

/** The greatest difference of two runs' losses, step by step and epoch by epoch, relative to the second's. */
export function greatestDifference(run: string, other: string): number {
  const losses = (folder: string) => {
    const { steps, epochs } = readHistory(folder);
    return [...steps.map(({ loss }) => loss), ...epochs.flatMap((e) => [e.trainLoss, e.validationLoss])];
  };
  const [a, b] = [losses(run), losses(other)];
  if (a.length !== b.length || a.length === 0) throw new Error(`${a.length} losses and ${b.length}`);
  return Math.max(...a.map((loss, i) => Math.abs(loss - b[i]!) / b[i]!));
}

/** How a run ended that was trained in this process. */
export const outcomeOf = (training: Promise<void>): Promise<'finished' | 'stopped' | 'failed'> =>
  training.then(
    () => 'finished',
    (error: unknown) => (error instanceof Stop ? 'stopped' : 'failed'),
  );
