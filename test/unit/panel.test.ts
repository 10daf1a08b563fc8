import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseExperiment, resolveExperiment } from '../../src/core/experiment';
import { History } from '../../src/core/history';
import { message } from '../../src/core/messages/message';
import type { EpochEvent, StartedEvent, StepEvent } from '../../src/core/contracts/events';
import { colorText, mix, parseColor, withAlpha } from '../../src/webview/color';
import {
  axisIntervals,
  decimalsOf,
  deadestLayer,
  epochCurves,
  gradientSpan,
  layerCurves,
  logarithmicTicks,
  lossAxisTop,
  lossBesideGuessing,
  markerIndex,
  roundStep,
  sparseMarkers,
  StepCurve,
} from '../../src/webview/curves';
import { Language } from '../../src/webview/language';
import { settingRows } from '../../src/webview/settings';

const file = 'experiments/lenet5-mnist.json';
const experiment = resolveExperiment(parseExperiment(readFileSync(file, 'utf8'), file), 'course');

function started(stepsPerEpoch: number): StartedEvent {
  return {
    type: 'started',
    protocol: 1,
    time: '2025-01-01T00:00:00Z',
    experiment,
    engine: 'onnx',
    engineReasons: [],
    device: '',
    versions: {},
    parameterCount: 1,
    stepsPerEpoch,
    examples: { train: 1, validation: 1, test: 1 },
    classNames: [],
  };
}

const step = (epoch: number, number: number, loss: number): StepEvent => ({
  type: 'step',
  epoch,
  step: number,
  loss,
  imagesPerSecond: 1,
  secondsLeft: 1,
});

const epoch = (number: number, figures: Partial<EpochEvent> = {}): EpochEvent => ({
  type: 'epoch',
  epoch: number,
  trainLoss: 1 / number,
  trainAccuracy: 0.5,
  validationLoss: 1,
  validationAccuracy: 0.5,
  learningRate: 1e-3,
  seconds: 1,
  imagesPerSecond: 1,
  layers: [],
  logitStd: 1,
  ...figures,
});

describe('the step curve', () => {
  it('is every step while they are few, at its place within the epoch', () => {
    const history = new History();
    history.apply(started(4));
    const curve = new StepCurve();
    for (const [e, s, loss] of [
      [1, 1, 2.3],
      [1, 3, 2],
      [2, 0, 1.5],
    ] as const) {
      history.apply(step(e, s, loss));
      curve.update(history);
    }
    expect(curve.points).toEqual([
      { x: 0.5, y: 2.3 },
      { x: 1, y: 2 },
      { x: 1.25, y: 1.5 },
    ]);
  });

  it('stays drawable over 10 000 steps, keeps spikes, its newest point and the detail of early epochs', () => {
    const history = new History();
    history.apply(started(1000));
    const curve = new StepCurve();
    const held = curve.points;
    for (let i = 0; i < 10_000; i++) {
      history.apply(step(1 + Math.floor(i / 1000), i % 1000, i === 123 ? 50 : 1 + (i % 7) / 10));
      curve.update(history);
      // 2000, a tenth that may be appended before the next thinning, and the newest point that thinning adds.
      expect(curve.points.length).toBeLessThanOrEqual(2201);
    }
    expect(curve.points).toBe(held);
    expect(Math.max(...curve.points.map((p) => p.y))).toBe(50);
    expect(curve.points.at(-1)).toEqual({ x: 10, y: 1 + (9999 % 7) / 10 });
    const within = (from: number) => curve.points.filter((p) => p.x > from && p.x <= from + 1).length;
    // Thinning what was thinned already would leave the first epoch with a few points; thinned at once, all are alike
    // up to what has been appended since.
    expect(within(0)).toBeGreaterThan(150);
    expect(within(9)).toBeLessThan(450);
    expect(curve.points.every((p, i) => i === 0 || p.x > curve.points[i - 1]!.x)).toBe(true);
  });

  it('follows a resumed run back, also when it has as many steps again at the next update', () => {
    const history = new History();
    history.apply(started(10));
    const curve = new StepCurve();
    for (let s = 0; s < 8; s++) history.apply(step(1, s, 1));
    curve.update(history);
    history.apply({ type: 'resumed', time: '', epoch: 1, step: 4 });
    curve.update(history);
    expect(curve.points).toHaveLength(4);
    for (let s = 4; s < 8; s++) history.apply(step(1, s, 1));
    curve.update(history);
    history.apply({ type: 'resumed', time: '', epoch: 1, step: 6 });
    for (let s = 6; s < 9; s++) history.apply(step(1, s, 3));
    curve.update(history);
    expect(curve.points.map((p) => p.y)).toEqual([1, 1, 1, 1, 1, 1, 3, 3, 3]);
  });
});

describe('the axes', () => {
  it('have round steps, no smaller than asked for', () => {
    expect([0.0021, 0.13, 0.2, 0.81, 1, 9, 260].map(roundStep)).toEqual([0.0025, 0.15, 0.2, 1, 1, 10, 300]);
    expect([0, -1, NaN, Infinity].map(roundStep)).toEqual([0.2, 0.2, 0.2, 0.2]);
    for (let exponent = -8; exponent < 8; exponent++) {
      for (const digit of [1.01, 1.7, 2.2, 3.3, 4.4, 5.5, 6.6, 7.7, 9.9]) {
        const least = digit * 10 ** exponent;
        expect(roundStep(least)).toBeGreaterThanOrEqual(least * (1 - 1e-9));
        expect(roundStep(least)).toBeLessThanOrEqual(least * 1.5);
      }
    }
  });

  it('let the first batches and single spikes leave the image, but never an epoch', () => {
    const steps = Array.from({ length: 100 }, (_, i) => ({ x: i / 10, y: i < 3 ? 2.3 : i === 60 ? 8 : 0.3 }));
    const top = lossAxisTop(steps, [{ x: 1, y: 0.35 }]);
    expect(top).toBeGreaterThanOrEqual(0.35);
    expect(top).toBeLessThan(0.6);
    expect(lossAxisTop(steps, [{ x: 1, y: 4 }])).toBeGreaterThanOrEqual(4);
    expect(lossAxisTop([], [])).toBe(axisIntervals * 0.2);
  });

  it('have ticks at powers of ten when logarithmic, with 2 and 5 between where there are few', () => {
    expect(logarithmicTicks(0.1, 1)).toEqual([0.1, 0.2, 0.5, 1]);
    expect(logarithmicTicks(1e-4, 1e-2)).toEqual([1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2]);
    expect(logarithmicTicks(1e-6, 1e-2)).toEqual([1e-6, 1e-5, 1e-4, 1e-3, 1e-2]);
    expect(logarithmicTicks(3, 12)).toEqual([5, 10]);
  });

  it('label ticks with the decimals that tell them apart', () => {
    expect([0.2, 0.15, 0.025, 1, 0.0006].map(decimalsOf)).toEqual([1, 2, 3, 1, 4]);
  });
});

describe('the curves of epochs and layers', () => {
  const history = new History();
  history.apply(started(10));
  const layers = (first: number, last: number) => [
    { layer: 'conv1', gradientNorm: first, updateRatio: 1e-3, deadShare: 0.25 },
    { layer: 'fc', gradientNorm: last, updateRatio: 0 },
  ];
  history.apply(epoch(1, { layers: layers(0, 2), trainAccuracy: 0.7, validationAccuracy: 0.8 }));
  history.apply(epoch(2, { layers: layers(0.5, 2) }));

  it('place an epoch’s figures at its end', () => {
    const curves = epochCurves(history);
    expect(curves.trainLoss).toEqual([
      { x: 1, y: 1 },
      { x: 2, y: 0.5 },
    ]);
    expect(curves.trainAccuracy[0]!.y).toBe(0.7);
    expect(curves.validationAccuracy[0]!.y).toBe(0.8);
  });

  it('leave a gap on a logarithmic axis where a value is 0, and out what a layer does not have', () => {
    const norms = layerCurves(history, 'gradientNorm', true);
    expect(norms.map((c) => c.layer)).toEqual(['conv1', 'fc']);
    expect(norms[0]!.points.map((p) => p.y)).toEqual([NaN, 0.5]);
    expect(layerCurves(history, 'gradientNorm', false)[0]!.points[0]!.y).toBe(0);
    expect(layerCurves(history, 'deadShare', false)).toEqual([
      {
        layer: 'conv1',
        points: [
          { x: 1, y: 0.25 },
          { x: 2, y: 0.25 },
        ],
      },
    ]);
  });

  it('compare the first layer’s gradient with the last one’s, in the newest epoch', () => {
    expect(gradientSpan(history)).toEqual({ epoch: 2, first: 'conv1', last: 'fc', ratio: 0.25 });
    expect(gradientSpan(new History())).toBeUndefined();
  });

  it('name the layer with the most dead channels, in the newest epoch', () => {
    const layer = (name: string, deadShare?: number) => ({ layer: name, gradientNorm: 1, updateRatio: 1, deadShare });
    const run = new History();
    run.apply(started(10));
    expect(deadestLayer(run)).toBeUndefined();
    run.apply(epoch(1, { layers: [layer('conv1', 1), layer('conv2', 0.5), layer('fc')] }));
    run.apply(epoch(2, { layers: [layer('conv1', 0.25), layer('conv2', 0.5), layer('fc')] }));
    expect(deadestLayer(run)).toEqual({ epoch: 2, layer: 'conv2', share: 0.5 });
    run.apply(epoch(3, { layers: [layer('conv1', 0), layer('fc')] }));
    expect(deadestLayer(run)).toBeUndefined();
  });

  it('hold the training loss against guessing', () => {
    const run = new History();
    run.apply({ ...started(10), classNames: ['cat', 'dog'] });
    expect(lossBesideGuessing(run)).toBeUndefined();
    run.apply(epoch(1, { trainLoss: 0.7 }));
    expect(lossBesideGuessing(run)).toEqual({ epoch: 1, loss: 0.7, guessing: Math.LN2 });
  });

  it('have markers that tell apart what has the same colour', () => {
    const pairs = Array.from({ length: 18 }, (_, i) => `${i % 6} ${markerIndex(i, 3, 6)}`);
    expect(new Set(pairs).size).toBe(18);
    const shown = (count: number) =>
      Array.from({ length: count }, (_, i) => sparseMarkers(count)(i)).filter(Boolean).length;
    expect([1, 20, 24, 80].map(shown)).toEqual([1, 20, 12, 20]);
  });
});

describe('the panel’s language', () => {
  const translations = (tag: string) =>
    JSON.parse(readFileSync(`l10n/bundle.l10n.${tag}.json`, 'utf8')) as Record<string, string>;
  let english: Language;
  beforeEach(() => {
    english = new Language('en', {});
  });

  it('writes figures with four decimals and magnitudes with three digits', () => {
    expect(english.figure(0.98914)).toBe('0.9891');
    expect(english.figure(1)).toBe('1.0000');
    expect([0, 1.2345, 0.00123, 4.567e-7, 123456].map((n) => english.magnitude(n))).toEqual([
      '0',
      '1.23',
      '0.00123',
      '4.57e-7',
      '1.23e5',
    ]);
    expect([1e-3, 3e-4, 1.25e-5, 0.01, 0.1].map((n) => english.learningRate(n))).toEqual([
      '1e-3',
      '3e-4',
      '1.25e-5',
      '0.01',
      '0.1',
    ]);
  });

  it('writes durations with their two largest units', () => {
    const durations = [0.2, 59.4, 59.6, 83, 3599.7, 7500, 86_399, 90_000];
    expect(durations.map((s) => english.duration(s))).toEqual([
      '0 s',
      '59 s',
      '1 min 0 s',
      '1 min 23 s',
      '1 h 0 min',
      '2 h 5 min',
      '1 d 0 h',
      '1 d 1 h',
    ]);
    expect(english.duration(1.25, true)).toBe('1.3 s');
    expect(english.duration(9.97, true)).toBe('10 s');
    expect(new Language('zh-tw', translations('zh-tw')).duration(83)).toBe('1 分 23 秒');
  });

  it('prints an epoch as the course notes do', () => {
    const line = message('epochLine', {
      epoch: 1,
      epochs: 80,
      trainLoss: '0.6931',
      trainAccuracy: '0.5000',
      validationAccuracy: '0.5000',
    });
    expect(new Language('zh-tw', translations('zh-tw')).text(line)).toBe(
      '輪次 [1/80] 訓練損失: 0.6931 訓練準確率: 0.5000 驗證準確率: 0.5000',
    );
    expect(new Language('en', {}).text(line)).toContain('0.6931');
  });

  it('translates what is put into a text, where that is a text too', () => {
    const dataset = message('datasetCatDog');
    const chinese = new Language('zh-tw', translations('zh-tw'));
    expect(chinese.text(message('loadingData', { dataset }))).toBe('正在讀取 貓狗分類…');
    const reasons = [message('engineNotChosenCpu', { engine: 'tensorflow' }), message('webgpuNoAdapter')];
    const [first, second] = reasons.map((reason) => chinese.text(reason));
    expect(chinese.text(message('engineNone', { reasons }))).toContain(`${first} ${second}`);
    expect(new Language('en', {}).text(message('dataFrom', { title: dataset, source: '/cat_dog' }))).toBe(
      'Cats vs Dogs (/cat_dog)',
    );
  });

  it('falls back to English for a language that is none, and to the id for a text that it does not know', () => {
    expect(new Language('no such language!', {}).tag).toBe('en');
    expect(english.text({ id: 'ofANewerVersion' as never, args: {} })).toBe('ofANewerVersion');
  });
});

describe('the rows of settings', () => {
  const rows = settingRows(experiment, (n) => n.toExponential());
  const row = (path: string) => rows.find((r) => r.path === path);

  it('are dotted paths as --set takes them, written as in the experiment file', () => {
    expect(row('optimizer.learningRate')).toEqual({ path: 'optimizer.learningRate', value: '1e-3', assumed: false });
    expect(row('epochs')!.value).toBe('10');
    expect(rows.map((r) => r.path)).not.toContain('title');
  });

  it('are marked where the notes leave them open, whole groups too', () => {
    expect(row('batchSize')!.assumed).toBe(true);
    expect(row('dataset.split.train')!.assumed).toBe(true);
    expect(row('dataset.name')!.assumed).toBe(false);
  });
});

describe('theme colours', () => {
  it('are read in every form that VS Code writes', () => {
    expect(parseColor('#3794ff')).toEqual([55, 148, 255, 1]);
    expect(parseColor('#fff')).toEqual([255, 255, 255, 1]);
    expect(parseColor('#00000080')).toEqual([0, 0, 0, 128 / 255]);
    expect(parseColor('rgba(1, 2, 3, 0.5)')).toEqual([1, 2, 3, 0.5]);
    expect(parseColor('rgb(1 2 3 / 50%)')).toEqual([1, 2, 3, 0.5]);
    expect(['', '#12', '#12345', 'red', 'rgb(1,2)', 'rgb(a,b,c)'].map(parseColor)).toEqual(Array(6).fill(undefined));
  });

  it('mix and fade', () => {
    expect(mix([0, 0, 0, 1], [100, 200, 50, 0], 0.5)).toEqual([50, 100, 25, 0.5]);
    expect(colorText(withAlpha([1.4, 2, 3, 0.5], 0.5))).toBe('rgba(1, 2, 3, 0.25)');
  });
});
