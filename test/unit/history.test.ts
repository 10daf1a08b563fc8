import { describe, expect, it } from 'vitest';
import { History, thin } from '../../src/core/history';
import type { EngineName, EngineUse, EpochEvent, StepEvent } from '../../src/core/contracts/events';

const step = (epoch: number, step: number, loss = 1): StepEvent => ({
  type: 'step',
  epoch,
  step,
  loss,
  imagesPerSecond: 100,
  secondsLeft: 1,
});
const epoch = (n: number, validationAccuracy: number): EpochEvent => ({
  type: 'epoch',
  epoch: n,
  trainLoss: 1,
  trainAccuracy: 0.5,
  validationLoss: 1,
  validationAccuracy,
  learningRate: 1e-3,
  seconds: 1,
  imagesPerSecond: 100,
  layers: [],
  logitStd: 1,
});

describe('History', () => {
  it('drops what a resumption supersedes, and nothing before it', () => {
    const history = new History();
    for (const e of [step(1, 0), step(1, 1), epoch(1, 0.5), step(2, 0), step(2, 1), epoch(2, 0.6)]) history.apply(e);
    history.apply({ type: 'resumed', time: '', epoch: 2, step: 1 });
    expect(history.steps.map((s) => [s.epoch, s.step])).toEqual([
      [1, 0],
      [1, 1],
      [2, 0],
    ]);
    expect(history.epochs.map((e) => e.epoch)).toEqual([1]);
  });

  it('knows what computed which part of a run', () => {
    const history = new History();
    const use = (engine: EngineName, device = 'A processor') => ({ engine, engineReasons: [], device, versions: {} });
    const goOn = (epoch: number, step: number, with_: Partial<EngineUse>) => {
      history.apply({ type: 'resumed', time: '', epoch, step, ...with_ });
      return history.engines.map((part) => [part.engine, part.device, part.epoch, part.step]);
    };
    expect(goOn(1, 0, use('onnx'))).toEqual([['onnx', 'A processor', 1, 0]]);
    // A run of an earlier version does not say.
    expect(goOn(1, 2, {})).toEqual([['onnx', 'A processor', 1, 0]]);
    expect(goOn(1, 3, use('onnx'))).toEqual([['onnx', 'A processor', 1, 0]]);
    const first = ['onnx', 'A processor', 1, 0];
    expect(goOn(2, 0, use('tensorflow', 'A GPU'))).toEqual([first, ['tensorflow', 'A GPU', 2, 0]]);
    // It did not come to a checkpoint, so nothing of it is left.
    expect(goOn(2, 0, use('onnx', 'Another'))).toEqual([first, ['onnx', 'Another', 2, 0]]);
    expect(goOn(1, 9, use('onnx'))).toEqual([first]);
    expect(goOn(1, 0, use('tensorflow'))).toEqual([['tensorflow', 'A processor', 1, 0]]);
  });

  it('knows its state with and without a living trainer', () => {
    const history = new History();
    expect(history.state(true)).toBe('starting');
    expect(history.state(false)).toBe('interrupted');
    history.apply({ type: 'stopped', reason: 'editorGone', epoch: 1, step: 1 });
    expect(history.state(false)).toBe('interrupted');
    history.apply({ type: 'stopped', reason: 'user', epoch: 1, step: 1 });
    expect(history.state(false)).toBe('stopped');
    history.apply({ type: 'failed', message: { id: 'testing', args: {} } });
    expect(history.state(false)).toBe('failed');
  });

  it('takes the first of the best epochs', () => {
    const history = new History();
    for (const accuracy of [0.5, 0.9, 0.9, 0.7]) history.apply(epoch(history.epochs.length + 1, accuracy));
    expect(history.bestEpoch?.epoch).toBe(2);
  });
});

describe('thin', () => {
  it('keeps spikes, order and the newest point within the limit', () => {
    const points = Array.from({ length: 10_000 }, (_, i) => ({ i, y: i === 5_001 ? 99 : Math.sin(i) }));
    const thinned = thin(points, (p) => p.y, 2000);
    expect(thinned.length).toBeLessThanOrEqual(2001);
    expect(thinned.some((p) => p.y === 99)).toBe(true);
    expect(thinned.at(-1)!.i).toBe(9_999);
    expect(thinned.every((p, k) => k === 0 || p.i > thinned[k - 1]!.i)).toBe(true);
  });
});
