/** Runs as the editor holds them: folding, trainers that end in every way, resuming, lists. A fake trainer plays along. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { History } from '../../src/core/history';
import { LiveRuns, RunEnd } from '../../src/host/liveRuns';
import { Log } from '../../src/host/log';
import { Run, RunChange } from '../../src/host/run';
import { RunList } from '../../src/host/runList';
import type { RunEvent, StepEvent } from '../../src/core/contracts/events';
import { lockHolder } from '../../src/disk/runs';
import { runsFolderOf } from '../../src/disk/places';
import { changeOnDisk, configure, fake, openFolders, reset, Uri } from './vscodeFake';

vi.mock('vscode', () => import('./vscodeFake'));

const file = path.join(import.meta.dirname, '../../experiments/lenet5-mnist.json');
const experiment = resolveExperiment(parseExperiment(fs.readFileSync(file, 'utf8'), file), 'course');

let root: string;
let script: string;
let workspace: string;
let globalStorage: Uri;
let log: Log;
let live: LiveRuns;

beforeEach(() => {
  reset();
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-host-'));
  // It writes what it was asked for beside itself.
  script = path.join(root, 'trainer.cjs');
  fs.copyFileSync(path.join(import.meta.dirname, 'fakeTrainer.cjs'), script);
  workspace = path.join(root, 'workspace');
  fs.mkdirSync(workspace);
  fake.folders = [Uri.file(workspace)];
  globalStorage = Uri.file(path.join(root, 'global'));
  log = new Log();
  live = new LiveRuns(() => ({ script }), globalStorage as never, log);
});

afterEach(async () => {
  await Promise.all(live.training.map((run) => run.stop()));
  live.dispose();
  vi.unstubAllEnvs();
  fs.rmSync(root, { recursive: true, force: true });
});

/** Starts a run whose trainer behaves like this, and waits for what it does. */
function start(behaviour: string) {
  vi.stubEnv('FAKE_TRAINER', behaviour);
  const end = new Promise<RunEnd>((resolve) => live.onDidEnd(resolve));
  const run = live.start(experiment);
  const changes: RunChange[] = [];
  run.onDidChange((change) => void changes.push(change));
  return { run, end, changes };
}

const until = (what: () => unknown) => vi.waitFor(() => expect(what()).toBeTruthy(), { timeout: 10_000 });

const events = (changes: readonly RunChange[]): RunEvent[] =>
  changes.flatMap((c) => (c.type === 'events' ? c.events : []));

describe('training', () => {
  test('a run is trained in the workspace’s runs folder and ends with what the trainer says', async () => {
    const { run, end, changes } = start('finish');
    expect([run.state, run.folder, live.training]).toEqual(['starting', undefined, [run]]);
    expect((await end).end).toEqual({ kind: 'finished' });
    expect(path.dirname(run.folder!)).toBe(runsFolderOf(workspace));
    expect([run.state, run.training, run.history.finished?.testAccuracy]).toEqual(['finished', false, 0.9876]);
    expect(events(changes).map((e) => e.type)).toEqual([
      'started',
      'step',
      'step',
      'step',
      'step',
      'epoch',
      'finished',
    ]);
    // Nobody holds it any more.
    await until(() => live.find(run.folder!) === undefined);
    expect(fake.log.join('\n')).toContain('epoch 1: training loss 1.0000');
  });

  test('stopping asks the trainer, and says so until it is gone', async () => {
    const { run, end } = start('wait');
    await until(() => run.history.steps.length === 2);
    const stopped = run.stop();
    expect([run.stopping, run.status?.id, run.state]).toEqual([true, 'panelStopping', 'running']);
    await stopped;
    expect((await end).end).toEqual({ kind: 'stopped' });
    expect([run.state, run.stopping, run.status]).toEqual(['stopped', false, undefined]);
  });

  test('a trainer that hears no stop is killed after the grace time', async () => {
    vi.stubEnv('FAKE_TRAINER', 'deaf');
    const run = Run.toStart(experiment);
    const trained = run.train(
      { engine: 'auto', runsFolder: runsFolderOf(workspace) },
      { script, graceMs: 200 },
      () => undefined,
    );
    await until(() => run.history.steps.length === 2);
    await run.stop();
    expect(await trained).toMatchObject({ kind: 'crashed', message: { id: 'trainerStopTimedOut' } });
    expect(run.history.failed?.message.id).toBe('trainerStopTimedOut');
    // It could not write that it was stopped, so the run may be resumed like one that was interrupted.
    expect(Run.read(run.folder!).state).toBe('interrupted');
  });

  test('a trainer that says how long its checkpoint takes is given that time, and the user is told', async () => {
    vi.stubEnv('FAKE_TRAINER', 'slow');
    const run = Run.toStart(experiment);
    const statuses: (string | undefined)[] = [];
    run.onDidChange(() => statuses.push(run.status?.id));
    const trained = run.train(
      { engine: 'auto', runsFolder: runsFolderOf(workspace) },
      { script, graceMs: 200 },
      () => undefined,
    );
    await until(() => run.history.steps.length === 2);
    await run.stop();
    expect(await trained).toEqual({ kind: 'stopped' });
    expect(statuses).toContain('stoppingTakes');
    expect(run.state).toBe('stopped');
  });

  test('a crash becomes a sentence of the run, and the run can go on', async () => {
    const { run, end } = start('crash');
    const { end: how } = await end;
    expect(how).toMatchObject({ kind: 'crashed', message: { id: 'trainerCrashed' } });
    expect([run.state, run.history.failed?.message.id]).toEqual(['failed', 'trainerCrashed']);
    vi.stubEnv('FAKE_TRAINER', 'finish');
    // The dead process's lock is no obstacle: its holder is gone.
    live.resume(run);
    await until(() => run.state === 'finished');
    expect(run.history.failed).toBeUndefined();
  });

  test('who watches a run that crashed goes on seeing why', async () => {
    const { run, end, changes } = start('crash');
    const following = run.follow();
    await end;
    const before = changes.length;
    // Two looks at the disk, which knows nothing of the crash.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect([run.state, run.history.failed?.message.id]).toEqual(['failed', 'trainerCrashed']);
    expect(changes.slice(before).map(({ type }) => type)).not.toContain('reread');
    following.dispose();
  });

  test('what happened between the reading of a run and the first look at it is seen', async () => {
    const { run: first, end } = start('finish');
    await end;
    const run = Run.read(first.folder!);
    fs.appendFileSync(path.join(first.folder!, 'metrics.jsonl'), '{"type":"resumed","time":"","epoch":1,"step":0}\n');
    const following = run.follow();
    await until(() => run.history.finished === undefined);
    following.dispose();
    run.dispose();
  });

  test('a trainer that is missing is a failed run, not an exception', async () => {
    const missing = new LiveRuns(() => ({ script: path.join(root, 'none.js') }), globalStorage as never, log);
    const run = missing.start(experiment);
    await until(() => run.state === 'failed');
    expect([run.history.failed?.message.id, run.folder]).toEqual(['trainerMissing', undefined]);
    missing.dispose();
  });

  test('two runs train at once', async () => {
    const first = start('wait');
    await until(() => first.run.folder);
    const other = resolveExperiment(
      { ...parseExperiment(fs.readFileSync(file, 'utf8'), file), id: 'another' },
      'quick',
    );
    const second = live.start(other);
    await until(() => second.folder);
    expect(live.training).toEqual([first.run, second]);
    await Promise.all([first.run.stop(), second.stop()]);
  });
});

describe('going on', () => {
  test('a released trainer writes its checkpoint and leaves a run that may go on', async () => {
    const { run } = start('wait');
    await until(() => run.history.steps.length === 2);
    const { folder } = run;
    // What `deactivate` waits for.
    await live.release();
    expect(lockHolder(folder!)).toBeUndefined();
    const left = Run.read(folder!);
    expect([left.state, left.history.stopReason]).toEqual(['interrupted', 'editorGone']);

    const next = new LiveRuns(() => ({ script }), globalStorage as never, log);
    next.hold(left);
    vi.stubEnv('FAKE_TRAINER', 'finish');
    next.resume(left);
    expect([left.state, left.status?.id]).toEqual(['running', 'panelResuming']);
    await until(() => left.state === 'finished');
    expect(left.history.steps.map((s) => s.step)).toEqual([0, 1, 2, 3]);
    next.dispose();
  });

  test('a finished run, and one that another process trains, are refused with a sentence', async () => {
    const { run, end } = start('finish');
    await end;
    expect(() => live.resume(run)).toThrow(/already finished/);
    const busy = start('wait');
    await until(() => busy.run.history.steps.length === 2);
    const other = new LiveRuns(() => ({ script }), globalStorage as never, log);
    const same = other.open(busy.run.folder!);
    expect(same).not.toBe(busy.run);
    expect(same.trainedElsewhere).toBe(true);
    expect(() => other.resume(same)).toThrow(/being trained by another process/);
    other.dispose();
    await busy.run.stop();
  });

  test('somebody who watches sees what another process trains', async () => {
    const { run } = start('wait');
    await until(() => run.history.steps.length === 2);
    const other = Run.read(run.folder!);
    const changes: RunChange[] = [];
    other.onDidChange((change) => void changes.push(change));
    const watching = other.follow();
    await run.stop();
    await until(() => other.state === 'stopped' && changes.some(({ type }) => type === 'state'));
    watching.dispose();
    // Only what is new is told.
    expect(events(changes).map(({ type }) => type)).toEqual(['stopped']);
    expect(changes.filter(({ type }) => type === 'reread')).toEqual([]);
    expect(other.history).toEqual(Run.read(run.folder!).history);
  });

  test('a file of events that is not what it was is read again', async () => {
    const { run, end } = start('finish');
    await end;
    const other = Run.read(run.folder!);
    const changes: RunChange[] = [];
    other.onDidChange((change) => void changes.push(change));
    const watching = other.follow();
    const file = path.join(run.folder!, 'metrics.jsonl');
    const lines = fs.readFileSync(file, 'utf8').trim().split('\n');
    fs.writeFileSync(
      file,
      [...lines.slice(0, 3), '{"type":"failed","message":{"id":"panelStopping","args":{}}}', ''].join('\n'),
    );
    await until(() => changes.some(({ type }) => type === 'reread'));
    watching.dispose();
    expect(other.history).toEqual(Run.read(run.folder!).history);
    expect(other.state).toBe('failed');
  });

  test('a folder that is renamed under a run takes nothing of it away, and is noticed when it is back', async () => {
    const { run, end } = start('wait');
    await until(() => run.history.steps.length === 2);
    await run.stop();
    await end;
    const folder = run.folder!;
    const shown = Run.read(folder);
    const before = structuredClone(shown.snapshot());
    const changes: RunChange[] = [];
    shown.onDidChange((change) => void changes.push(change));
    const watching = shown.follow();
    fs.renameSync(folder, `${folder}-renamed`);
    await until(() => shown.gone);
    shown.reread();
    expect(shown.snapshot()).toEqual(before);
    expect(changes).toEqual([{ type: 'state' }]);
    expect(() => live.resume(shown)).toThrow(/There is no run at/);
    fs.renameSync(`${folder}-renamed`, folder);
    fs.appendFileSync(path.join(folder, 'metrics.jsonl'), '{"type":"resumed","time":"","epoch":1,"step":1}\n');
    await until(() => !shown.gone && shown.history.steps.length === 1);
    watching.dispose();
  });
});

describe('snapshots', () => {
  const step = (epoch: number, n: number, loss = 1): StepEvent => ({
    type: 'step',
    epoch,
    step: n,
    loss,
    imagesPerSecond: 1,
    secondsLeft: 1,
  });

  function runWith(...lines: RunEvent[]): Run {
    const folder = path.join(runsFolderOf(workspace), 'run');
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(
      path.join(folder, 'run.json'),
      JSON.stringify({ format: 1, created: '2026-01-02T03:04:05.000Z', convlab: '0', experiment }),
    );
    fs.writeFileSync(path.join(folder, 'metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return Run.read(folder);
  }

  test('folding a snapshot gives the history of the run, over resumptions too', () => {
    const epoch = (n: number) => ({ type: 'epoch', epoch: n, validationAccuracy: n / 10 }) as RunEvent;
    const run = runWith(
      { type: 'started', stepsPerEpoch: 2 } as RunEvent,
      step(1, 0),
      step(1, 1),
      epoch(1),
      step(2, 0),
      { type: 'stopped', reason: 'user', epoch: 2, step: 1 },
      { type: 'resumed', time: '', epoch: 2, step: 0 },
      step(2, 0, 5),
      step(2, 1),
      epoch(2),
    );
    const folded = new History();
    run.snapshot().forEach((event) => folded.apply(event));
    expect(folded).toEqual(run.history);
    expect(folded.steps.map((s) => s.loss)).toEqual([1, 1, 5, 1]);
  });

  test('a long run is thinned, and its spikes stay', () => {
    const many = Array.from({ length: 50_000 }, (_, n) => step(1, n, n === 31_234 ? 99 : 1));
    const steps = runWith(...many)
      .snapshot()
      .filter((event) => event.type === 'step');
    expect(steps.length).toBeLessThanOrEqual(2001);
    expect(steps.some((s) => s.loss === 99)).toBe(true);
    expect(steps.at(-1)).toEqual(many.at(-1));
  });
});

describe('the list', () => {
  test('shows runs of every folder, newest first, and what has become of them', async () => {
    const second = path.join(root, 'second');
    fs.mkdirSync(second);
    fake.folders.push(Uri.file(second));
    const list = new RunList(globalStorage as never, live);
    expect(list.folders).toEqual([runsFolderOf(workspace), runsFolderOf(second)]);

    const { run, end } = start('finish');
    await end;
    const old = path.join(runsFolderOf(second), 'old');
    fs.cpSync(run.folder!, old, { recursive: true });
    const record = JSON.parse(fs.readFileSync(path.join(old, 'run.json'), 'utf8')) as object;
    fs.writeFileSync(path.join(old, 'run.json'), JSON.stringify({ ...record, created: '2025-01-01T00:00:00.000Z' }));
    fs.mkdirSync(path.join(runsFolderOf(second), 'no run'));

    const lines = await list.lines();
    expect(lines.map(({ folder, state, testAccuracy }) => [folder, state, testAccuracy])).toEqual([
      [run.folder, 'finished', 0.9876],
      [old, 'finished', 0.9876],
    ]);
    expect(fake.watchers.map(({ pattern }) => (pattern.base as Uri).fsPath)).toEqual(list.folders);

    // What a terminal appends is seen when the file has changed, without a word from this window.
    fs.appendFileSync(path.join(old, 'metrics.jsonl'), '{"type":"resumed","time":"","epoch":1,"step":0}\n');
    expect((await list.lines()).map(({ state }) => state)).toEqual(['finished', 'interrupted']);
    list.dispose();
  });

  test('follows what happens in the runs folders, and in those of other settings and workspaces', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const list = new RunList(globalStorage as never, live);
      let told = 0;
      list.onDidChange(() => void told++);
      const heard = async (what: 'create' | 'change' | 'delete', file: string) => {
        const before = told;
        changeOnDisk(what, file);
        await vi.advanceTimersByTimeAsync(1100);
        return told - before;
      };
      const run = path.join(runsFolderOf(workspace), 'run');
      // Nobody has asked for the runs yet.
      expect(await heard('create', run)).toBe(0);
      await list.lines();
      for (const [what, file] of [
        ['create', run],
        ['create', path.join(run, 'run.json')],
        ['change', path.join(run, 'metrics.jsonl')],
        ['delete', path.join(run, 'lock')],
        ['delete', run],
      ] as const) {
        expect(await heard(what, file)).toBe(1);
      }
      // Checkpoints are written all the time and change nothing that is shown.
      expect(await heard('change', path.join(run, 'checkpoints', 'last.safetensors'))).toBe(0);
      expect(await heard('change', path.join(workspace, 'metrics.jsonl'))).toBe(0);

      const second = path.join(root, 'second');
      openFolders(second);
      await vi.advanceTimersByTimeAsync(1100);
      await list.lines();
      expect(fake.watchers.map(({ pattern }) => (pattern.base as Uri).fsPath)).toEqual([runsFolderOf(second)]);
      expect(await heard('create', run)).toBe(0);
      expect(await heard('create', path.join(runsFolderOf(second), 'run'))).toBe(1);
      configure('convlab.runsFolder', path.join(root, 'elsewhere'));
      await vi.advanceTimersByTimeAsync(1100);
      await list.lines();
      expect(await heard('create', path.join(root, 'elsewhere', 'run'))).toBe(1);
      list.dispose();
      expect(fake.watchers).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  test('knows the runs that this window trains', async () => {
    const list = new RunList(globalStorage as never, live);
    const { run } = start('wait');
    expect(list.starting).toEqual(new Set(['lenet5-mnist']));
    await until(() => run.history.steps.length === 2);
    expect(list.starting.size).toBe(0);
    expect(await list.lines()).toMatchObject([{ folder: run.folder, state: 'running', trainedHere: true }]);
    await run.stop();
    list.dispose();
  });
});
