import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compared, ComparedRun, inCourseOrder, representatives } from '../../src/core/comparison';
import { parseExperiment, ResolvedExperiment, resolveExperiment } from '../../src/core/experiment';
import { History, RunState } from '../../src/core/history';
import { english } from '../../src/core/messages/message';
import type { NetworkName } from '../../src/core/networks/catalog';
import type { EpochEvent } from '../../src/core/contracts/events';
import { comparisonTable } from '../../src/terminal/comparisonTable';

const file = 'experiments/lenet5-mnist.json';
const lenet = resolveExperiment(parseExperiment(readFileSync(file, 'utf8'), file), 'quick');

const epoch = (number: number, validationAccuracy: number, seconds: number): EpochEvent => ({
  type: 'epoch',
  epoch: number,
  trainLoss: 0.1,
  trainAccuracy: 0.9,
  validationLoss: 0.2,
  validationAccuracy,
  learningRate: 1e-3,
  seconds,
  imagesPerSecond: 1,
  layers: [],
  logitStd: 1,
});

function row(
  run: string,
  options: {
    experiment?: ResolvedExperiment;
    epochs?: number[];
    test?: number;
    onTestSet?: boolean;
    state?: RunState;
  } = {},
): ComparedRun {
  const history = new History();
  (options.epochs ?? []).forEach((accuracy, i) => history.apply(epoch(i + 1, accuracy, [9, 2, 3, 4][i] ?? 3)));
  if (options.test !== undefined) {
    history.apply({
      type: 'finished',
      testLoss: 0.1,
      testAccuracy: options.test,
      testedOnTestSet: options.onTestSet ?? true,
      bestEpoch: 1,
      bestValidationAccuracy: 0.9,
      confusion: [],
      seconds: 1,
    });
  }
  const state = options.state ?? (options.test === undefined ? 'stopped' : 'finished');
  return compared(run, run, options.experiment ?? lenet, history, state);
}

const of = (name: NetworkName, id: string): ResolvedExperiment => ({
  ...lenet,
  id,
  network: { ...lenet.network, name },
  dataset: { name: 'cat-dog', split: { train: 0.8, validation: 0.1, test: 0.1 } },
  input: { ...lenet.input, size: 64, channels: 3 },
  loss: 'bce_with_logits',
});

describe('a row of the comparison', () => {
  it('holds what was measured, and what the network is made of', () => {
    const lenetRow = row('a', { epochs: [0.8, 0.95, 0.9], test: 0.97 });
    expect(lenetRow).toMatchObject({
      network: 'LeNet-5',
      parameters: 61_706,
      dataset: { id: 'datasetMnist' },
      input: '1×32×32',
      accuracy: { value: 0.97, of: 'test' },
      bestValidationAccuracy: 0.95,
      // The first epoch is slower for its warming up, so the median stands for all.
      secondsPerEpoch: 3,
      epochsDone: 3,
    });
    expect(english(lenetRow.structure)).toBe('2 convolutions, 3 linear layers');
    expect(lenetRow.curve.map(({ validationAccuracy }) => validationAccuracy)).toEqual([0.8, 0.95, 0.9]);
    const resnet = row('b', { experiment: of('resnet18', 'r') });
    expect(english(resnet.structure)).toBe('20 convolutions with batch norm, 8 shortcuts, 1 linear layer');
    // torchvision's ResNet-18 with one output.
    expect(resnet.parameters).toBe(11_177_025);
    expect(english(row('c', { experiment: of('vgg16', 'v') }).structure)).toBe('13 convolutions, 3 linear layers');
  });

  it('says of what its accuracy is', () => {
    expect(row('a', { epochs: [0.8, 0.7] }).accuracy).toEqual({ value: 0.7, of: 'validation' });
    expect(row('a', { epochs: [0.8], test: 0.75, onTestSet: false }).accuracy).toEqual({
      value: 0.75,
      of: 'validation',
    });
    expect(row('a').accuracy).toBeUndefined();
    expect(row('a').secondsPerEpoch).toBeUndefined();
  });

  it('stands in the order of the notes', () => {
    const rows = [
      row('1', { experiment: of('resnet18', 'r') }),
      row('3'),
      row('2', { experiment: of('alexnet', 'b') }),
      row('4', { experiment: of('alexnet', 'a') }),
      row('0'),
    ];
    expect(inCourseOrder(rows).map(({ run }) => run)).toEqual(['0', '3', '4', '2', '1']);
  });

  it('is by default the newest finished run of its experiment', () => {
    const rows = [
      row('1', { epochs: [0.9], test: 0.9 }),
      row('2', { epochs: [0.8], test: 0.8 }),
      row('3', { epochs: [0.7] }),
      row('4', { experiment: of('alexnet', 'a'), epochs: [0.6] }),
      row('5', { experiment: of('alexnet', 'a'), epochs: [0.5] }),
      row('6', { experiment: of('vgg16', 'v') }),
    ];
    expect(representatives(rows).map(({ run }) => run)).toEqual(['2', '5']);
    expect(representatives(rows.toReversed()).map(({ run }) => run)).toEqual(['2', '5']);
  });
});

describe('the table on the terminal', () => {
  it('lines its columns up, also where they hold Chinese, and tells the notes’ words from what was measured', () => {
    const rows = [row('a', { epochs: [0.9], test: 0.9 }), row('b', { experiment: of('vgg16', 'v'), epochs: [0.6] })];
    const lines = comparisonTable(rows, english).split('\n');
    expect(lines[2]).toMatch(/^LeNet-5 +lenet5-mnist \(quick\) +2 conv.+ 61,706 +0\.9000 test +0\.9000 +9\.0$/);
    expect(lines[3]).toMatch(/VGG-16 .+ 0\.6000 validation, after 1 of \d+ epochs/);
    // Numbers end where their heading ends.
    const end = lines[0]!.indexOf('Best validation') + 'Best validation'.length;
    expect(lines[2]!.slice(0, end)).toMatch(/ 0\.9000$/);
    expect(lines.join('\n')).toContain('LeNet-5\n  Difficulty (the notes): very easy');
    const bundle = JSON.parse(readFileSync('l10n/bundle.l10n.zh-tw.json', 'utf8')) as Record<string, string>;
    const chinese = comparisonTable(rows, (m) =>
      (bundle[english({ ...m, args: {} })] ?? english(m)).replace(/\{(\w+)\}/g, (_, k: string) => m.args[k] as string),
    );
    const [head, rule, first] = chinese.split('\n') as [string, string, string];
    // A Chinese character takes two columns: '網路' and 'LeNet-5' end where the rule's first column ends.
    expect(head.indexOf('實驗')).toBe(rule.indexOf('  '));
    expect(first.indexOf('lenet5-mnist')).toBe(rule.indexOf('  ') + 2);
  });
});
