/** Measured speeds and estimates as the terminal's users meet them: real measurements of the smallest network. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NetworkSpeed } from '../../src/core/contracts/tasks';
import { convlab, small, temporaryFolder } from './convlab';

let folder: string;
let env: { CONVLAB_CACHE: string };
beforeEach(() => {
  folder = temporaryFolder();
  env = { CONVLAB_CACHE: path.join(folder, 'cache') };
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Where measurements are kept; beside it the cache has that native code was tried. */
const measured = () => path.join(env.CONVLAB_CACHE, 'speeds');

interface EngineLine {
  engine: string;
  usable: boolean;
  device: { name: string; threads?: number };
  speeds: NetworkSpeed[];
}
const lines = (out: string): EngineLine[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as EngineLine);
const onnx = (out: string): EngineLine => lines(out).find((line) => line.engine === 'onnx')!;

const measure = ['engines', '--measure', '--network', 'lenet5', '--threads', '1'];

describe('convlab engines', () => {
  it('shows device and threads, and measures nothing unasked', async () => {
    const { status, out } = await convlab(['engines', '--json'], undefined, { env });
    expect(status).toBe(0);
    const line = onnx(out);
    expect(line).toMatchObject({ usable: true, device: { kind: 'cpu' } });
    expect(line.device.threads).toBeGreaterThan(0);
    expect(line.speeds).toEqual([]);
    const person = await convlab(['engines', '--threads', '1'], undefined, { env });
    expect(person.out).toMatch(
      /onnx: can train here \(.+, 1 thread\)(; “auto” chooses it)?\n {2}Its speed has not been measured yet;/,
    );
    expect(fs.existsSync(measured())).toBe(false);
  });

  it('measures a network, and the next time reads what was measured', async () => {
    const first = await convlab([...measure, '--json'], undefined, { env });
    expect(first.status).toBe(0);
    const line = onnx(first.out);
    expect(line.device.threads).toBe(1);
    expect(line.speeds).toHaveLength(1);
    const [speed] = line.speeds;
    expect(speed).toMatchObject({
      shape: { network: 'lenet5', size: 32, batchSize: 64 },
      exact: true,
      cached: false,
    });
    expect(speed!.imagesPerSecond).toBeGreaterThan(0);
    expect(speed!.evaluationImagesPerSecond).toBeGreaterThan(0);
    // A second measurement would hardly give the same figures to the last digit.
    const second = await convlab([...measure, '--json'], undefined, { env });
    expect(onnx(second.out).speeds).toEqual([{ ...speed, cached: true }]);
    const other = await convlab([...measure, '--json'], undefined, { env: { CONVLAB_CACHE: path.join(folder, 'b') } });
    expect(onnx(other.out).speeds[0]!.cached).toBe(false);
    const person = await convlab(measure, undefined, { env });
    expect(person.out).toMatch(
      /onnx: can train here \(.+, 1 thread\)(; “auto” chooses it)?\n {2}LeNet-5, 32×32, batches of 64: [\d,]+ images\/s\n/,
    );
    // Without measuring, what was measured is told all the same, for as many threads.
    const known = await convlab(['engines', '--threads', '1', '--json'], undefined, { env });
    expect(onnx(known.out).speeds).toEqual([{ ...speed, cached: true }]);
    expect(onnx((await convlab(['engines', '--threads', '2', '--json'], undefined, { env })).out).speeds).toEqual([]);
  });

  it('stops on a signal and keeps what it has measured', async () => {
    const stopped = await convlab(
      ['engines', '--measure', '--network', 'lenet5', '--network', 'resnet18', '--threads', '1'],
      undefined,
      { env, onText: (text, kill) => text.includes('LeNet-5') && kill() },
    );
    expect(stopped.status).toBe(130);
    // Where native TensorFlow is set up, its library writes a note of its own before; no setting silences it.
    expect(stopped.error).toMatch(/^Stopped\. What was measured is kept\.\n$/m);
    expect(stopped.out).not.toContain('ResNet-18');
    const again = await convlab([...measure, '--json'], undefined, { env });
    // Of the engine that was measured first: where native TensorFlow is set up, that is not onnx.
    const cached = lines(again.out).flatMap(({ speeds = [] }) => speeds.filter((speed) => speed.cached));
    expect(cached).toHaveLength(1);
  });

  it('names the networks there are', async () => {
    const { status, error } = await convlab(['engines', '--measure', '--network', 'lenet'], undefined, { env });
    expect(status).toBe(2);
    expect(error).toMatch(/--network takes one of lenet5, alexnet, .*, not “lenet”/);
  });
});

describe('before a run', () => {
  const train = ['train', ...small, '--runs'];

  it('the terminal says how long it will take, from a measurement and later from the run itself', async () => {
    const first = await convlab([...train, folder], undefined, { env });
    expect(first.status).toBe(0);
    expect(first.out).toMatch(/^About \d+ s on onnx\.\nRun: /);
    expect(fs.readdirSync(measured())).toHaveLength(1);
    // Without the measured speeds, what an earlier run tells is enough: nothing is measured.
    fs.rmSync(env.CONVLAB_CACHE, { recursive: true });
    const second = await convlab([...train, folder], undefined, { env });
    expect(second.out).toMatch(/^About \d+ s on onnx\.\nRun: /);
    expect(fs.existsSync(measured())).toBe(false);
  });

  it('suggests the quick preset before a long run', async () => {
    const { status, out } = await convlab(
      ['train', 'lenet5-mnist', '--epochs', '9999', '--runs', folder],
      undefined,
      // A press of Ctrl+C once the run has begun.
      { env, onText: (text, kill) => text.includes('Run: ') && kill() },
    );
    expect(status).toBe(130);
    expect(out).toMatch(
      /^About [\d.]+ [hd] on onnx\.\nFor a first look, “--preset quick” takes about [\d.]+ (min|h|d)\.\nRun: /,
    );
  });

  it('a quick run, --json and a resumption measure nothing', async () => {
    const quick = await convlab([...train, folder, '--preset', 'quick'], undefined, { env });
    expect(quick.status).toBe(0);
    expect(quick.out).toMatch(/^Run: /);
    const json = await convlab([...train, folder, '--json'], undefined, { env });
    expect(json.events[0]).toMatchObject({ type: 'started', threads: 1 });
    expect(fs.existsSync(measured())).toBe(false);
  });
});
