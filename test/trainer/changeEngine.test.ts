/**
 * A run that goes on with another engine: the checkpoint of one is the state of the other, and what computes is recorded.
 * TensorFlow.js computes in JavaScript here; tensorflow.test.ts does the same on native TensorFlow.
 */
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import { english, message } from '../../src/core/messages/message';
import type { EngineRequest } from '../../src/core/contracts/tasks';
import type { RunEvent } from '../../src/core/contracts/events';
import { readHistory } from '../../src/disk/runs';
import type { EngineProvider } from '../../src/trainer/engines/engine';
import { onnxProvider } from '../../src/trainer/engines/onnx/provider';
import { tfjsEngine } from '../../src/trainer/engines/tfjs/engine';
import { Stop } from '../../src/trainer/stop';
import { run } from '../../src/trainer/training/run';
import { loadTfjsCpu } from '../engines/tfjsCpu';
import { greatestDifference, onlyRun, otherEngineTolerance, outcomeOf, temporaryFolder } from './convlab';

const tf = await loadTfjsCpu();
const device = { kind: 'cpu', name: 'JavaScript' } as const;
const tensorflow: EngineProvider = {
  name: 'tensorflow',
  probe: async () => ({ usable: true, device }),
  open: async () =>
    tfjsEngine(tf, { name: 'tensorflow', device, versions: { tfjs: tf.version_core }, memory: 2 ** 30 }),
};
const gone: EngineProvider = {
  ...tensorflow,
  probe: async () => ({ usable: false, reason: message('tensorflowNotSetUp'), action: message('tensorflowSetUp') }),
};

let runs: string;
beforeEach(() => (runs = temporaryFolder()));
afterEach(() => fs.rmSync(runs, { recursive: true, force: true }));

/** One epoch of ten steps, or up to step `until` of it. Without an engine, a run that goes on keeps the one it has. */
async function train(
  engine: EngineRequest | undefined,
  {
    resume,
    until,
    folder = runs,
    of = [tensorflow, onnxProvider],
  }: {
    resume?: string;
    until?: number;
    folder?: string;
    of?: EngineProvider[];
  } = {},
): Promise<{ outcome: string; events: RunEvent[] }> {
  const file = findExperiment('experiments', 'lenet5-mnist');
  const events: RunEvent[] = [];
  const stopping = new AbortController();
  const training = run(
    {
      experiment: resolveExperiment(file, 'course', { limit: 640, epochs: 1 }),
      engine: engine ?? 'auto',
      keepEngine: engine === undefined,
      threads: 1,
      runsFolder: folder,
      resume,
    },
    {
      version: '0',
      providers: of,
      checkEngine: async () => undefined,
      emit: (more) => {
        events.push(...more);
        if (events.some((e) => e.type === 'step' && e.step + 1 === until)) stopping.abort(new Stop('user'));
      },
      progress: () => undefined,
      runFolder: () => undefined,
      signal: stopping.signal,
    },
  );
  return { outcome: await outcomeOf(training), events };
}
const resumed = ({ events }: { events: RunEvent[] }) => events.find((event) => event.type === 'resumed');

describe('a run that goes on', () => {
  it('with another engine and back draws the curve of one engine, and records what computed what and why', async () => {
    expect((await train('onnx', { until: 3 })).outcome).toBe('stopped');
    const folder = onlyRun(runs);
    const there = await train('tensorflow', { resume: folder, until: 7 });
    expect(there.outcome).toBe('stopped');
    expect(resumed(there)).toMatchObject({
      epoch: 1,
      step: 3,
      engine: 'tensorflow',
      engineReasons: [message('engineChosenAsked', { engine: 'tensorflow' })],
      device: 'JavaScript',
      versions: { tfjs: tf.version_core },
    });
    expect((await train('onnx', { resume: folder })).outcome).toBe('finished');
    expect(readHistory(folder).engines.map(({ engine, epoch, step }) => [engine, epoch, step])).toEqual([
      ['onnx', 1, 0],
      ['tensorflow', 1, 3],
      ['onnx', 1, 7],
    ]);

    const whole = temporaryFolder();
    await train('onnx', { folder: whole });
    const difference = greatestDifference(folder, onlyRun(whole));
    fs.rmSync(whole, { recursive: true });
    expect(difference).toBeLessThan(otherEngineTolerance);
    // They are not the same arithmetic: a difference of 0 would mean that one engine had computed both.
    expect(difference).toBeGreaterThan(0);
  });

  it('keeps its engine, whatever “auto” would choose', async () => {
    await train('tensorflow', { until: 2 });
    const folder = onlyRun(runs);
    const again = await train(undefined, { resume: folder, until: 3 });
    expect(resumed(again)).toMatchObject({
      engine: 'tensorflow',
      engineReasons: [message('engineKept', { engine: 'tensorflow' })],
    });
    expect(readHistory(folder).engines).toHaveLength(1);
    // Asked for, “auto” prefers onnx to TensorFlow.js on the processor.
    expect(resumed(await train('auto', { resume: folder, until: 4 }))).toMatchObject({ engine: 'onnx' });
    expect(resumed(await train(undefined, { resume: folder, until: 5 }))).toMatchObject({ engine: 'onnx' });
  });

  it('whose engine cannot be used says so, and what else there is', async () => {
    await train('tensorflow', { until: 2 });
    const folder = onlyRun(runs);
    const before = fs.readFileSync(`${folder}/metrics.jsonl`, 'utf8');
    const { outcome, events } = await train(undefined, { resume: folder, of: [gone, onnxProvider] });
    expect(outcome).toBe('failed');
    expect(events).toMatchObject([
      {
        type: 'failed',
        message: { id: 'engineKeptUnusable', args: { engine: 'tensorflow' } },
        advice: { id: 'engineKeptAdvice' },
      },
    ]);
    const [failed] = events;
    if (failed?.type !== 'failed') throw new Error(`ended with ${failed?.type}`);
    expect(english(failed.message)).toContain('not set up');
    // It is left as it was, and goes on with the engine that is asked for.
    expect(fs.readFileSync(`${folder}/metrics.jsonl`, 'utf8')).toBe(before);
    expect((await train('onnx', { resume: folder, of: [gone, onnxProvider] })).outcome).toBe('finished');
  });
});
