/**
 * Runs that are killed at random, whose folders are altered, whose disk fills at every write in turn, or whose machine is
 * short of something: the same curve to the bit in the end, or a sentence.
 */
import { ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lockHolder, readEvents, readHistory } from '../../src/disk/runs';
import { convlab, curve, onlyRun, Result, small, temporaryFolder } from '../trainer/convlab';
import { mutateBytes, mutateField, pathsOf } from './mutate';
import { generator, long, seed, sized } from './size';

let folder: string;
let cache: string;
beforeAll(() => (cache = temporaryFolder()));
afterAll(() => fs.rmSync(cache, { recursive: true, force: true }));
beforeEach(() => (folder = temporaryFolder()));
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const training = [...small, '--epochs', '3'];

/** Ends in a sentence: not well, something said, and no stack of calls. */
function expectSentence({ status, error }: Result, what: string): void {
  expect(status, what).not.toBe(0);
  expect(error.trim(), what).not.toBe('');
  expect(error, what).not.toMatch(/\n\s+at .+:\d+:\d+/);
}

/** The unbroken run's curve, and how long it took from start to end. */
async function unbroken(args: readonly string[]): Promise<{ wanted: unknown[]; ms: number }> {
  const runs = path.join(folder, 'whole');
  const before = performance.now();
  const { status, error } = await convlab(['train', ...args, '--runs', runs]);
  expect(status, error).toBe(0);
  return { wanted: curve(onlyRun(runs)), ms: performance.now() - before };
}

describe('killed at random moments', () => {
  const photographs = process.env['CONVLAB_CAT_DOG'];
  const shown = [
    '--data',
    photographs ?? '',
    '--limit',
    '96',
    '--epochs',
    '2',
    '--threads',
    '1',
    '--set',
    'batchSize=16',
  ];
  const kinds: [string, readonly string[], number, number][] = [
    ['lenet5', training, 5, 120],
    ['alexnet', ['alexnet-mnist', '--limit', '96', '--epochs', '2', '--threads', '1', '--set', 'batchSize=16'], 0, 20],
    ['vgg16', ['vgg16-catdog', ...shown], 0, 20],
    ['resnet18', ['resnet18-catdog', ...shown], 0, 20],
    ['resnet50', ['resnet50-keras-catdog', ...shown], 0, 20],
  ];

  it.each(kinds.filter(([, args, short]) => (long || short > 0) && (!args.includes('--data') || photographs)))(
    '%s: the same curve to the bit',
    async (name, args, short, whole) => {
      const random = generator(seed);
      const { wanted, ms } = await unbroken(args);
      const told = { kills: 0, child: 0, parent: 0, both: 0, tooLate: 0, runs: 0 };
      while (told.kills < sized(short, whole)) {
        const runs = path.join(folder, `runs-${told.runs++}`);
        for (let life = 0; life < 4 && told.kills < sized(short, whole); life++) {
          const run = fs.existsSync(runs) && fs.readdirSync(runs).length ? onlyRun(runs) : undefined;
          const whom = (['child', 'parent', 'both'] as const)[Math.floor(random() * 3)]!;
          const killed = await killedAfter(
            run ? ['--resume', run, '--threads', '1'] : [...args, '--runs', runs],
            random() * ms,
            whom,
            runs,
          );
          if (!killed) told.tooLate++;
          else {
            told.kills++;
            told[whom]++;
          }
          if (!killed) break;
        }
        const run = fs.existsSync(runs) && fs.readdirSync(runs).length ? onlyRun(runs) : undefined;
        if (!run || readHistory(run).finished === undefined) {
          const { status, error } = await convlab([
            'train',
            ...(run ? ['--resume', run, '--threads', '1'] : [...args, '--runs', runs]),
          ]);
          expect(status, error).toBe(0);
        }
        expect(curve(onlyRun(runs)), `${runs} of seed ${seed}`).toEqual(wanted);
        fs.rmSync(runs, { recursive: true, force: true });
      }
      console.log(`campaign: kills of ${name}: ${JSON.stringify({ seed, ...told })}`);
    },
  );

  /** @returns false where it was over before */
  async function killedAfter(args: readonly string[], ms: number, whom: 'child' | 'parent' | 'both', runs: string) {
    const env = { ...process.env, CONVLAB_CACHE: cache };
    const program = spawn(process.execPath, [path.resolve('dist/cli.js'), 'train', ...args], { env, stdio: 'ignore' });
    const ended = new Promise<void>((resolve) => program.once('close', () => resolve()));
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, ms))]);
    if (program.exitCode !== null) return false;
    const trainers = childrenOf(program);
    for (const pid of whom === 'parent' ? [] : trainers) kill(pid);
    if (whom !== 'child') kill(program.pid!);
    await ended;
    // A trainer without its parent writes its checkpoint and goes.
    for (const until = Date.now() + 30_000; Date.now() < until && trainers.some(lives);) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(trainers.filter(lives)).toEqual([]);
    for (const name of fs.existsSync(runs) ? fs.readdirSync(runs) : []) {
      const run = path.join(runs, name);
      expect(lockHolder(run)).toBeUndefined();
      // Killed before its record was written: a folder that no run is in.
      if (!fs.existsSync(path.join(run, 'run.json'))) fs.rmSync(run, { recursive: true });
    }
    return true;
  }

  const childrenOf = ({ pid }: ChildProcess): number[] =>
    spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number))
      .filter(([, parent]) => parent === pid)
      .map(([own]) => own!);
  const kill = (pid: number) => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It was over by itself.
    }
  };
  const lives = (pid: number): boolean => {
    const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
    return stdout.trim() !== '' && !stdout.trim().startsWith('Z');
  };
});

/**
 * A checkpoint has a digest of the experiment and of the events before it. What was told after it is repeated where a run
 * goes on, and a run without a checkpoint begins anew, with the experiment that it finds.
 */
it('altered run folders: the same curve, or something is said', async () => {
  const random = generator(seed);
  const { wanted } = await unbroken(training);
  const runs = path.join(folder, 'stopped');
  await convlab(['train', ...training, '--runs', runs, '--json'], (event, kill) => {
    if (event.type === 'epoch' && event.epoch === 1) kill('SIGTERM');
  });
  const stopped = onlyRun(runs);
  expect(readHistory(stopped).finished).toBeUndefined();
  const told = { alterations: 0, same: 0, sentence: 0, warned: 0 };
  const silent: string[] = [];
  for (; told.alterations < sized(12, 2000); told.alterations++) {
    const run = path.join(folder, 'altered', path.basename(stopped));
    fs.rmSync(run, { recursive: true, force: true });
    fs.cpSync(stopped, run, { recursive: true });
    const what = alter(run, random);
    const result = await convlab(['train', '--resume', run, '--threads', '1', '--json']);
    if (result.status !== 0) {
      const failed = result.events.find((event) => event.type === 'failed');
      if (!failed) expectSentence(result, what);
      expect(result.error, what).not.toMatch(/\n\s+at .+:\d+:\d+/);
      told.sentence++;
    } else if (JSON.stringify(curve(run)) === JSON.stringify(wanted)) told.same++;
    else if (result.events.some((event) => event.type === 'warning')) told.warned++;
    else silent.push(`alteration ${told.alterations}: ${what}`);
  }
  console.log(`campaign: altered runs: ${JSON.stringify({ seed, ...told, silent: silent.length })}`);
  expect(silent).toEqual([]);
});

/** Changes one file of a run. @returns what was done */
function alter(run: string, random: () => number): string {
  const files = fs.readdirSync(run, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const { name, parentPath } = files[Math.floor(random() * files.length)]!;
  const file = path.join(parentPath, name);
  const bytes = fs.readFileSync(file);
  if (random() < 0.1) {
    fs.rmSync(file);
    return `${name} is gone`;
  }
  if (name.endsWith('.safetensors') || random() < 0.4) {
    fs.writeFileSync(file, mutateBytes(bytes, random));
    return `${name}: bytes`;
  }
  const lines = name.endsWith('.jsonl') ? bytes.toString().trim().split('\n') : [bytes.toString()];
  const at = Math.floor(random() * lines.length);
  const value: unknown = JSON.parse(lines[at]!);
  const paths = pathsOf(value);
  const field = paths[Math.floor(random() * paths.length)]!;
  lines[at] = JSON.stringify(mutateField(value, field, random));
  fs.writeFileSync(file, `${lines.join('\n')}\n`);
  return `${name}: ${field.join('.')} in ${lines[at]!.slice(0, 200)}`;
}

it.each(long ? ['ENOSPC', 'EROFS', 'ESTALE'] : ['ENOSPC'])(
  'a disk that fails with %s at one write after another',
  async (code) => {
    const { wanted } = await unbroken(training);
    const told = { faults: 0, resumed: 0, begunAnew: 0 };
    // The short form plants every seventh.
    for (let nth = 1; ; nth += sized(19, 1)) {
      const runs = path.join(folder, `${code}-${nth}`);
      const mark = path.join(folder, `mark-${nth}`);
      const env = {
        NODE_OPTIONS: `--require ${JSON.stringify(path.resolve('test/campaign/failAtWrite.cjs'))}`,
        CONVLAB_TEST_FAULT: JSON.stringify({ below: runs, nth, code, mark }),
      };
      const result = await convlab(['train', ...training, '--runs', runs], undefined, { env });
      if (!fs.existsSync(mark)) {
        expect(result.status).toBe(0);
        break;
      }
      told.faults++;
      // What fails after the last result is written may be passed over.
      if (result.status !== 0) expectSentence(result, `${code} at change ${nth}`);
      const left = fs.existsSync(runs) && fs.readdirSync(runs).length > 0;
      if (left && readHistory(onlyRun(runs)).finished === undefined) {
        told.resumed++;
        const { status, error } = await convlab(['train', '--resume', onlyRun(runs), '--threads', '1']);
        expect(status, `${code} at change ${nth}: ${error}`).toBe(0);
      } else if (!left) told.begunAnew++;
      if (left) expect(curve(onlyRun(runs)), `${code} at change ${nth}`).toEqual(wanted);
      fs.rmSync(runs, { recursive: true, force: true });
    }
    console.log(`campaign: ${code}: ${JSON.stringify(told)}`);
    expect(told.faults).toBeGreaterThan(0);
  },
);

describe.runIf(process.platform === 'linux')('short of something', () => {
  const under = (...command: readonly string[]): Result => {
    const args = ['train', ...training, '--runs', path.join(folder, 'runs')];
    const { status, stdout, stderr } = spawnSync(
      command[0]!,
      [...command.slice(1), process.execPath, path.resolve('dist/cli.js'), ...args],
      { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8', CONVLAB_CACHE: cache }, timeout: 110_000 },
    );
    return { status, out: stdout, error: stderr, events: [] };
  };
  const finishesOrTells = async (result: Result, what: string) => {
    console.log(`campaign: ${what}: ${result.status === 0 ? 'finishes' : result.error.trim()}`);
    if (result.status !== 0) return expectSentence(result, what);
    const run = onlyRun(path.join(folder, 'runs'));
    // Where memory is short a batch takes several passes, whose sums have other last digits: that is told.
    const told = readEvents(run).flatMap((event) => (event.type === 'warning' ? [JSON.stringify(event.message)] : []));
    if (told.length > 0) console.log(`campaign: ${what}: warns ${told.join(' ')}`);
    const { started } = readHistory(run);
    if (started!.microBatch !== started!.experiment.batchSize) expect(told.join()).toMatch(/memoryShort|microBatch/);
    else expect(curve(run)).toEqual((await unbroken(training)).wanted);
  };

  it('of open files', () => finishesOrTells(under('sh', '-c', 'ulimit -n 64; exec "$0" "$@"'), '64 open files'));

  it('of processors', (context) => {
    if (spawnSync('taskset', ['-c', '0', 'true']).status !== 0) return context.skip('no taskset here');
    return finishesOrTells(under('taskset', '-c', '0'), 'one processor');
  });

  it('of the right time', (context) => {
    if (spawnSync('faketime', ['-f', '+0', 'true']).status !== 0) return context.skip('no libfaketime here');
    // An hour passes in a second.
    return finishesOrTells(under('faketime', '-f', '+0 x3600'), 'a clock that runs away');
  });

  it.for([512, 1024])('of memory: %i MB', (megabytes, context) => {
    const group = `/sys/fs/cgroup/memory/convlab-campaign-${process.pid}`;
    try {
      fs.mkdirSync(group);
      fs.writeFileSync(path.join(group, 'memory.limit_in_bytes'), String(megabytes * 1e6));
    } catch {
      fs.rmSync(group, { recursive: true, force: true });
      return context.skip('no control group may be made here');
    }
    try {
      const result = under('sh', '-c', `echo $$ > ${group}/cgroup.procs; exec "$0" "$@"`);
      return finishesOrTells(result, `${megabytes} MB of memory`);
    } finally {
      fs.rmdirSync(group);
    }
  });
});
