/** Runs that start from other weights: another run's, or a file's, in the real trainer. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findExperiment } from '../../src/disk/experimentFiles';
import { networkOf, ResolvedExperiment, resolveExperiment } from '../../src/core/experiment';
import type { RunEvent, StartedEvent } from '../../src/core/contracts/events';
import { readHistory, readRecord } from '../../src/disk/runs';
import { readTrained } from '../../src/trainer/training/checkpoint';
import { NamedTensor, StateDict, writeStateDict } from '../../src/trainer/weights/pth';
import { findStart, initialState } from '../../src/trainer/weights/start';
import { convlab, curve, small, temporaryFolder } from './convlab';

let root: string;
let runs: string;
/** The name of a finished run: LeNet-5, two epochs. */
let first: string;
let file: string;
beforeAll(async () => {
  root = temporaryFolder();
  runs = path.join(root, 'runs');
  await convlab(['train', ...small, '--runs', runs]);
  first = fs.readdirSync(runs)[0]!;
  file = path.join(root, 'digits.pth');
  await convlab(['export', first, '--runs', runs, '--format', 'pth', '--out', file]);
});
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const settings = { limit: 640, epochs: 2 };
const experimentFrom = (weights: unknown, more: object = {}): ResolvedExperiment =>
  resolveExperiment(findExperiment('experiments', 'lenet5-mnist'), 'course', {
    ...settings,
    'network.weights': weights,
    ...more,
  });
const withSeed = (seed: number) => experimentFrom('scratch', { seed });
const finding = () => ({ runsFolder: runs, progress: () => undefined, signal: new AbortController().signal });
const started = (events: readonly RunEvent[]) => events.find((e): e is StartedEvent => e.type === 'started')!;
/** The runs in the order they were started. */
const newest = () => fs.readdirSync(runs).sort((a, b) => created(a).localeCompare(created(b))).at(-1)!; // prettier-ignore
const created = (name: string) => readRecord(path.join(runs, name)).created;

/** A file of weights, each tensor passed through `change` first; undefined leaves it out. */
function written(name: string, change: (tensor: NamedTensor) => NamedTensor | NamedTensor[] | undefined): string {
  const network = networkOf(experimentFrom('scratch'));
  const { parameters } = readTrained(path.join(runs, first), network);
  const tensors = network.parameters.flatMap((p) => {
    return change({ name: p.name, shape: p.shape, values: parameters.get(p.name)! }) ?? [];
  });
  const target = path.join(root, name);
  const descriptor = fs.openSync(target, 'w');
  writeStateDict(descriptor, tensors);
  fs.closeSync(descriptor);
  return target;
}

describe('a run that starts from another', () => {
  it('goes on from its parameters, says so in the terminal, and records it', async () => {
    const { status, out } = await convlab(['train', ...small, '--start', first, '--runs', runs]);
    expect(status).toBe(0);
    expect(out).toContain(`Started from the run ${first}, as it was after epoch 2.\n`);
    const run = path.join(runs, newest());
    const source = { kind: 'run', run: first, epoch: 'last', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) };
    expect(readRecord(run).start).toMatchObject({ source });
    const history = readHistory(run);
    expect(history.started!.startedFrom).toEqual([{ id: 'startedFromRun', args: { run: first, epoch: 2 } }]);
    expect(history.started!.experiment.network.weights).toEqual({ run: first });
    // It begins where the other ended: what this one's first epoch learned comes on top.
    const before = readHistory(path.join(runs, first)).epochs.at(-1)!;
    expect(history.epochs[0]!.trainLoss).toBeLessThan(before.trainLoss);
  });

  it('finds the newest finished run of an experiment, and its best epoch', async () => {
    const unfinished = path.join(runs, '29991231-235959-lenet5-mnist');
    fs.cpSync(path.join(runs, first), unfinished, { recursive: true });
    const events = path.join(unfinished, 'metrics.jsonl');
    fs.writeFileSync(events, fs.readFileSync(events, 'utf8').replace(/.*"finished".*\n/, ''));
    const expected = newest();
    const asked = ['--set', 'network.weights={"experiment":"lenet5-mnist","epoch":"best"}', '--json'];
    const { status, events: told } = await convlab(['train', ...small, ...asked, '--runs', runs]);
    fs.rmSync(unfinished, { recursive: true });
    expect(status).toBe(0);
    const { bestEpoch } = readHistory(path.join(runs, expected)).finished!;
    expect(started(told).startedFrom).toEqual([{ id: 'startedFromRun', args: { run: expected, epoch: bestEpoch } }]);
  });

  it.each(['killed before its first checkpoint', 'stopped'] as const)(
    '%s, resumes to exactly the unbroken curve',
    async (how) => {
      const more = ['--limit', '6400', '--start', first, '--runs', runs];
      await convlab(['train', ...small, ...more]);
      const whole = path.join(runs, newest());
      let asked = false;
      await convlab(['train', ...small, ...more, '--json'], (event, kill) => {
        if (event.type !== 'step' || asked) return;
        asked = true;
        kill('SIGTERM');
      });
      const broken = path.join(runs, newest());
      expect(broken).not.toBe(whole);
      if (how !== 'stopped') for (const name of fs.readdirSync(path.join(broken, 'checkpoints'))) fs.rmSync(path.join(broken, 'checkpoints', name)); // prettier-ignore
      const resumed = await convlab(['train', '--resume', broken, '--threads', '1']);
      expect([resumed.status, resumed.error]).toEqual([0, '']);
      expect(curve(broken)).toEqual(curve(whole));
    },
  );

  it('does not go on from a start that has changed', async () => {
    const { source } = (await findStart(experimentFrom({ run: first }), finding()))!;
    const network = networkOf(experimentFrom('scratch'));
    const altered = { ...source, sha256: source.sha256.replace(/^./, (c) => (c === '0' ? '1' : '0')) };
    await expect(initialState(network, withSeed(1), altered, finding())).rejects.toThrow(
      /is no longer what this run started from.*start a new run/,
    );
    const gone = { ...source, run: 'gone' };
    await expect(initialState(network, withSeed(1), gone as typeof source, finding())).rejects.toThrow(/no run at/);
  });
});

describe('a run that starts from a file', () => {
  it('has the file’s parameters to the last bit, in the terminal too', async () => {
    const start = (await findStart(experimentFrom({ file }), finding()))!;
    const network = networkOf(experimentFrom('scratch'));
    const state = await initialState(network, withSeed(1), start.source, finding());
    const trained = readTrained(path.join(runs, first), network);
    expect(state.parameters).toEqual(trained.parameters);
    const { status, out } = await convlab(['train', ...small, '--start', path.relative('.', file), '--runs', runs]);
    expect(status).toBe(0);
    expect(out).toContain(`Started from the weights in ${file}.\n`);
    // From the same parameters the same curve, wherever they lay.
    await convlab(['train', ...small, '--start', first, '--runs', runs]);
    const [fromFile, fromRun] = fs.readdirSync(runs).sort((a, b) => created(a).localeCompare(created(b))).slice(-2); // prettier-ignore
    expect(curve(path.join(runs, fromFile!))).toEqual(curve(path.join(runs, fromRun!)));
  });

  it('gets a new last layer, drawn from the seed, where the number of outputs is another', async () => {
    const two = written('two.pth', ({ name, shape, values }) => {
      const rows = name.startsWith('fc3') ? 2 : shape[0]!;
      const count = (rows * values.length) / shape[0]!;
      return { name, shape: [rows, ...shape.slice(1)], values: (values as Float32Array).slice(0, count) };
    });
    const experiment = experimentFrom({ file: two });
    const start = (await findStart(experiment, finding()))!;
    expect(start.told).toEqual([
      { id: 'startedFromFile', args: { file: two } },
      { id: 'startedNewLayer', args: { layer: 'fc3', outputs: 10, before: 2 } },
    ]);
    const network = networkOf(experiment);
    const state = await initialState(network, withSeed(7), start.source, finding());
    const scratch = await initialState(network, withSeed(7), undefined, finding());
    const trained = readTrained(path.join(runs, first), network);
    for (const { name } of network.parameters) {
      const from = name.startsWith('fc3') ? scratch : trained;
      expect(state.parameters.get(name), name).toEqual(from.parameters.get(name));
    }
  });

  it.each([
    ['a missing tensor', (t: NamedTensor) => (t.name === 'conv2.bias' ? undefined : t), /has no tensor called conv2\.bias/],
    [
      'another shape before the last layer',
      (t: NamedTensor) => (t.name === 'fc1.bias' ? { ...t, shape: [60], values: (t.values as Float32Array).slice(0, 60) } : t),
      /The tensor fc1\.bias is 60 in .*misfit\.pth, and 120 in the network/,
    ],
    [
      'a last layer that is fed otherwise',
      (t: NamedTensor) => (t.name === 'fc3.weight' ? { ...t, shape: [20, 42] } : t),
      /The tensor fc3\.weight is 20×42 in .*, and 10×84 in the network/,
    ],
    [
      'a tensor of another network',
      (t: NamedTensor) => [t, ...(t.name === 'fc3.bias' ? [{ ...t, name: 'fc4.bias' }] : [])],
      /has a tensor called fc4\.bias, and the network to be trained has none/,
    ],
  ])('says what does not fit: %s', async (_, change, sentence) => {
    const misfit = written('misfit.pth', change);
    await expect(findStart(experimentFrom({ file: misfit }), finding())).rejects.toThrow(sentence);
  }); // prettier-ignore

  it('is held to what the file was', async () => {
    const copy = path.join(root, 'copy.pth');
    fs.copyFileSync(file, copy);
    const { source } = (await findStart(experimentFrom({ file: copy }), finding()))!;
    const bytes = fs.readFileSync(copy);
    bytes[bytes.length >> 1]! ^= 1;
    fs.writeFileSync(copy, bytes);
    const network = networkOf(experimentFrom('scratch'));
    await expect(initialState(network, withSeed(1), source, finding())).rejects.toThrow(
      /is no longer what this run started from/,
    );
  });
});

describe('a start that is not there ends in a sentence, before a run is made', () => {
  const cases: [string, string[], number, RegExp][] = [
    ['neither run nor file', ['--start', 'nothing'], 1, /neither a run in .* nor a file called “nothing”/],
    ['no run of the experiment', ['--set', 'network.weights={"experiment":"alexnet-cifar8"}'], 1, /from a run of “alexnet-cifar8”, but none has finished.*Train “alexnet-cifar8” first/],
    ['no such run', ['--set', 'network.weights={"run":"20000101-000000-x"}'], 1, /no run at .*20000101-000000-x/],
    ['a file that holds no weights', ['--start', 'package.json'], 1, /weights in .*package\.json cannot be used/],
    ['a start for a run that goes on', ['--resume', 'x', '--start', 'y'], 1, /no run at/],
  ]; // prettier-ignore
  it.each(cases)('%s', async (_, args, status, sentence) => {
    const before = fs.readdirSync(runs).length;
    const result = await convlab(['train', ...(args[0] === '--resume' ? [] : small), ...args, '--runs', runs]);
    expect(result.error).toMatch(sentence);
    expect(result.status).toBe(status);
    expect(fs.readdirSync(runs)).toHaveLength(before);
  });

  it('a run that has not finished, one elsewhere, and one of another network', async () => {
    const copy = path.join(root, 'elsewhere');
    fs.cpSync(path.join(runs, first), copy, { recursive: true });
    const elsewhere = await convlab(['train', ...small, '--start', copy, '--runs', runs]);
    expect(elsewhere.error).toMatch(/is not in the runs folder/);
    const inside = path.join(runs, 'copy');
    fs.renameSync(copy, inside);
    const larger = experimentFrom({ run: 'copy' }, { 'network.name': 'alexnet', 'input.size': 64 });
    await expect(findStart(larger, finding())).rejects.toThrow(/The run copy trained LeNet-5, but .* trains AlexNet/);
    const wider = experimentFrom({ run: 'copy' }, { 'input.size': 36 });
    await expect(findStart(wider, finding())).rejects.toThrow(/The tensor fc1\.weight is 120×400 in copy, and 120×576/);
    const events = path.join(inside, 'metrics.jsonl');
    fs.writeFileSync(events, fs.readFileSync(events, 'utf8').replace(/.*"finished".*\n/, ''));
    await expect(findStart(experimentFrom({ run: 'copy' }), finding())).rejects.toThrow(/copy has not finished/);
    fs.rmSync(inside, { recursive: true });
  });
});

it('reads every tensor of the exported file that it started from', () => {
  const weights = StateDict.open(file);
  expect(weights.names).toEqual(networkOf(experimentFrom('scratch')).parameters.map((p) => p.name));
  weights.close();
});
