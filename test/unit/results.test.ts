/** The results page: what its rules make of measured figures, and that it shows what there is and names what is missing. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import { Claim, claims, finder, level, order, Verdict } from '../../results/claims';
import { draw } from '../../results/charts';
import { asManyDigits, measured, MeasuredEpoch, MeasuredRun, wanted } from '../../results/measured';
import { writeReport } from '../../results/report';
import { resolveExperiment } from '../../src/core/experiment';
import { findExperiment } from '../../src/disk/experimentFiles';
import { History } from '../../src/core/history';
import { temporaryFolder } from './drawnImages';

const epoch = (figures: Partial<MeasuredEpoch> = {}): MeasuredEpoch => ({
  trainLoss: 0.5,
  trainAccuracy: 0.8,
  validationLoss: 0.5,
  validationAccuracy: 0.8,
  firstGradientNorm: 1,
  lastGradientNorm: 1,
  updateRatio: 0.003,
  deadShare: 0.3,
  logitStd: 1,
  ...figures,
});
const guessing = { trainLoss: 0.6931, trainAccuracy: 0.5, validationAccuracy: 0.5, validationLoss: 0.6931 };

function run(id: string, accuracy: number, epochs: MeasuredEpoch[], more: Partial<MeasuredRun> = {}): MeasuredRun {
  const { preset = 'quick', seed = 1 } = more;
  const experiment = resolveExperiment(findExperiment('experiments', id.replace('-pretrained', '')), preset);
  return {
    ...{ name: `${id} ${preset} ${seed}`, id, preset, seed, overrides: {}, title: experiment.title },
    ...{ network: experiment.network.name, start: 'scratch', dataset: experiment.dataset.name },
    ...{ size: experiment.input.size, batchSize: 32, augmented: false, learningRate: 1e-4, parameters: 1 },
    ...{ examples: { train: 800, validation: 100, test: 100 }, data: '', engine: 'onnx', versions: {} },
    ...{ epochs, highestLoss: { loss: 0.7, step: 1 }, accuracy, loss: 0.5, testedOnTestSet: true },
    ...{ bestValidationAccuracy: Math.max(...epochs.map((e) => e.validationAccuracy)), bestEpoch: 1 },
    secondsPerEpoch: 1,
    seconds: 10,
    ...more,
  };
}
/** From scratch, and yet it learns in its second epoch, with a first layer that gets next to no gradient. */
const away = run('alexnet-catdog-scratch', 0.7, [epoch({ firstGradientNorm: 1e-6 }), epoch()]);
const stuck = (more: Partial<MeasuredEpoch> = {}) =>
  run('alexnet-catdog-scratch', 0.5, [epoch({ trainLoss: 0.75, ...more }), epoch(guessing), epoch(guessing)]);
const learning = (accuracy = 0.78, more: Partial<MeasuredEpoch> = {}) =>
  run('alexnet-catdog', accuracy, [epoch({ trainLoss: 0.69 }), epoch(), epoch(more)]);

const verdicts = (runs: MeasuredRun[]): Map<string, Claim> =>
  new Map(claims(finder(runs)).map((claim) => [claim.claim, claim]));
function verdict(runs: MeasuredRun[], words: RegExp): Verdict {
  const found = [...verdicts(runs)].filter(([claim]) => words.test(claim));
  expect(found).toHaveLength(1);
  return found[0]![1].verdict;
}

describe('a claim', () => {
  const course = (accuracy: number) => run('lenet5-mnist', accuracy, [epoch()], { preset: 'course' });
  const digits = (trainLoss: number, secondsPerEpoch: number, id = 'alexnet-mnist') =>
    run(id, 0.97, [epoch({ trainLoss })], { secondsPerEpoch });
  const small = { ...digits(0.1, 1, 'lenet5-mnist'), overrides: asManyDigits };
  const resnet = (losses: number[], accuracies: number[]) =>
    run(
      'resnet18-catdog',
      0.8,
      losses.map((trainLoss, i) => epoch({ trainLoss, validationAccuracy: accuracies[i]! })),
    );
  const vgg = (accuracy: number, size: number) =>
    run(
      'vgg16-catdog',
      accuracy,
      [epoch({ trainLoss: 0.7, validationAccuracy: 0.5 }), epoch({ validationAccuracy: accuracy })],
      { size },
    );
  const pretrained = (accuracy: number, start: string) =>
    run('alexnet-catdog-pretrained', accuracy, [epoch()], { start });
  const steady = resnet([0.6, 0.4, 0.2], [0.7, 0.72, 0.74]);
  const rough = resnet([0.3, 0.6, 0.2, 0.7], [0.5, 0.9, 0.4, 0.9]);
  // Ten runs each, so that 100 images are enough to tell them apart.
  const many = (make: (seed: number) => MeasuredRun) => Array.from({ length: 10 }, (_, seed) => make(seed));
  const uneven = {
    epochs: [0.6, 0.65, 0.5].map((trainLoss, i) => epoch({ trainLoss, validationAccuracy: 0.6 + (i % 2) / 10 })),
  };
  const still = { ...steady, epochs: uneven.epochs };
  const moving = [many(() => ({ ...learning(), ...uneven })), many(() => ({ ...vgg(0.85, 64), ...uneven }))];

  const cases: [string, RegExp, MeasuredRun[], Verdict][] = [
    ['LeNet-5 at 99 %', /near 100/, [course(0.99)], 'agrees'],
    ['LeNet-5 at 97 %', /near 100/, [course(0.97)], 'cannot be shown at this size'],
    ['LeNet-5 at 90 %', /near 100/, [course(0.9)], 'disagrees'],
    ['no LeNet-5', /near 100/, [], 'not yet run'],
    ['a slower AlexNet', /takes longer/, [small, digits(0.12, 9)], 'agrees'],
    ['a faster AlexNet', /takes longer/, [small, digits(0.12, 0.5)], 'disagrees'],
    ['a higher loss', /slightly higher/, [small, digits(0.12, 9)], 'agrees'],
    ['a lower loss', /slightly higher/, [small, digits(0.05, 9)], 'disagrees'],
    ['an equal loss', /slightly higher/, [small, digits(0.101, 9)], 'cannot be shown at this size'],
    ['a stuck run', /gets stuck/, [stuck()], 'agrees'],
    ['a run that learns', /gets stuck/, [run('alexnet-catdog-scratch', 0.7, [epoch(), epoch()])], 'disagrees'],
    [
      'some of both',
      /gets stuck/,
      [stuck(), run('alexnet-catdog-scratch', 0.7, [epoch(), epoch()])],
      'cannot be shown at this size',
    ],
    ['gradients as in the run that learns', /vanish/, [stuck(), learning()], 'disagrees'],
    ['gradients a hundredth of those', /vanish/, [stuck({ firstGradientNorm: 0.01 }), learning()], 'agrees'],
    ['vanishing gradients in a run that is not stuck', /vanish/, [stuck(), away, learning()], 'disagrees'],
    ['vanishing gradients, and no run that is stuck', /vanish/, [away, learning()], 'cannot be shown at this size'],
    ['an augmented run that learns', /unstick/, [learning()], 'agrees'],
    ['an augmented run that is stuck', /unstick/, [{ ...stuck(), id: 'alexnet-catdog' }], 'disagrees'],
    [
      'a gap and a rising loss',
      /overfits/,
      [learning(0.78, { trainAccuracy: 0.99, validationAccuracy: 0.7, validationLoss: 0.9 })],
      'agrees',
    ],
    ['no gap', /overfits/, [learning()], 'cannot be shown at this size'],
    ['a best of 80 %', /tops out/, [learning()], 'agrees'],
    [
      'a best of 60 %',
      /tops out/,
      [run('alexnet-catdog', 0.6, [epoch({ validationAccuracy: 0.6 })])],
      'cannot be shown at this size',
    ],
    ['a best of 99 %', /tops out/, [run('alexnet-catdog', 0.99, [epoch({ validationAccuracy: 0.99 })])], 'disagrees'],
    ['VGG-16 at 85 %', /VGG-16/, [vgg(0.85, 32), learning()], 'agrees'],
    ['VGG-16 at 50 % on smaller images', /VGG-16/, [vgg(0.5, 32), learning()], 'cannot be shown at this size'],
    ['VGG-16 at 50 % on equal images', /VGG-16/, [vgg(0.5, 64), learning()], 'disagrees'],
    ['a steady ResNet-18', /steadily/, many(() => steady).concat(...moving), 'agrees'],
    ['a rough ResNet-18', /steadily/, many(() => rough).concat(...moving), 'disagrees'],
    [
      'a ResNet-18 as steady as VGG-16',
      /steadily/,
      many(() => still).concat(...moving),
      'cannot be shown at this size',
    ],
    ['one run of each', /steadily/, [steady, ...moving.map(([one]) => one!)], 'cannot be shown at this size'],
    [
      'a high pretrained AlexNet',
      /pretrained/,
      [
        ...many((seed) => ({ ...pretrained(0.97, 'imagenet'), seed })),
        ...many(() => steady),
        ...many(() => learning()),
        ...many(() => vgg(0.8, 32)),
      ],
      'agrees',
    ],
    [
      'a low one from ImageNet',
      /pretrained/,
      [
        ...many(() => pretrained(0.5, 'imagenet')),
        ...many(() => steady),
        ...many(() => learning()),
        ...many(() => vgg(0.8, 32)),
      ],
      'disagrees',
    ],
    [
      'a low one from elsewhere',
      /pretrained/,
      [
        ...many(() => pretrained(0.5, 'alexnet-cifar8')),
        ...many(() => steady),
        ...many(() => learning()),
        ...many(() => vgg(0.8, 32)),
      ],
      'cannot be shown at this size',
    ],
  ];
  it.each(cases)('with %s', (_name, words, runs, expected) => {
    expect(verdict(runs, words)).toBe(expected);
  });

  it('tells which run from scratch gets below ln 2, and when', () => {
    const { measured } = [...verdicts([stuck(), { ...away, seed: 3 }]).values()].find(({ claim }) =>
      /gets stuck/.test(claim),
    )!;
    expect(measured).toContain('1 of 2 runs stuck');
    expect(measured).toContain('Seed 3 gets below ln 2 in epoch 2.');
  });

  it('is open as long as a run that decides it is missing', () => {
    expect([...verdicts([]).values()].map(({ verdict }) => verdict)).toEqual(Array(11).fill('not yet run'));
    expect(verdict([stuck()], /vanish/)).toBe('not yet run');
  });
});

describe('accuracies', () => {
  it('differ only beyond two standard errors', () => {
    // One run on 100 images at 80 %: sqrt(0.8 × 0.2 / 100) = 0.04.
    expect(level([0.8], 100)).toEqual({ mean: 0.8, error: expect.closeTo(0.04, 12) });
    // Seeds that scatter more than images explain: sd 0.1 over √4.
    expect(level([0.7, 0.9, 0.7, 0.9], 10_000).error).toBeCloseTo(Math.sqrt(0.04 / 3) / 2, 12);
    expect(level([1], 100).error).toBeGreaterThan(0);
    expect(order(level([0.8], 100), level([0.7], 100))).toBe(0);
    expect(order(level([0.8], 100), level([0.5], 100))).toBe(1);
    expect(order(level([0.8], 10_000), level([0.85], 10_000))).toBe(-1);
  });
});

describe('the page', () => {
  const resolved = ({ id, preset, seed, overrides }: (typeof wanted)[number]) =>
    resolveExperiment(findExperiment('experiments', id), preset, { ...overrides, seed });
  let folder: string;
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  it('shows the runs that there are, and says which are missing', async () => {
    folder = temporaryFolder();
    const runs = [learning(0.78), run('lenet5-mnist', 0.97, [epoch()])];
    writeReport({ format: 1, shared: true, machine: 'two cores', runs }, wanted, resolved, folder);
    const page = fs.readFileSync(path.join(folder, 'results.md'), 'utf8');
    expect(page).toContain(`Runs made: 2 of ${wanted.length}.`);
    expect(page).toMatch(/`alexnet-catdog` \(quick\) .*78\.0 % ± 4\.1 % test \(1 of 3 runs\)/);
    expect(page).toMatch(/`vgg16-catdog` \(quick\) .*not yet run \(0 of 3\)/);
    expect(page).toContain('**ResNet-18 trains most steadily.** — not yet run');
    const images = [...page.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)].map((m) => m[1]!);
    expect(images).toContain('images/results/alexnet-accuracy.svg');
    for (const image of images) {
      const { width } = await sharp(path.join(folder, image)).metadata();
      expect(width, image).toBe(640);
    }
    expect(fs.readdirSync(path.join(folder, 'images/results'))).toHaveLength(images.length);
  });

  it('wants runs that the experiments can make, each of them once', () => {
    expect(new Set(wanted.map(({ name }) => name)).size).toBe(wanted.length);
    for (const wish of wanted) expect(resolved(wish).seed, wish.name).toBe(wish.seed);
    // The rules look for the runs that change one thing alone by the very settings of the plan.
    const variants = wanted.filter(({ overrides }) => Object.keys(overrides).length > 0);
    const figures = variants.map((wish) => run(wish.id, 0.7, [epoch()], wish));
    expect(
      claims(finder([...figures, learning()]))
        .map((c) => c.measured)
        .join(' '),
    ).not.toContain('alone: not yet run');
  });
});

it('a curve is drawn where its values are', () => {
  const svg = draw({
    title: 'a < b',
    axis: 'loss',
    low: 0,
    high: 1,
    lines: [{ label: 'x', group: 0, values: [0, 1, 0.5] }],
  });
  // The plot spans 56…624 across and 56…296 down.
  expect(svg).toContain('d="M56 296L340 56L624 176"');
  expect(svg).toContain('<title>a &lt; b</title>');
});

it('the figures of a run are those of its events', () => {
  const experiment = resolveExperiment(findExperiment('experiments', 'alexnet-catdog-scratch'), 'quick');
  const history = new History();
  const wish = wanted.find(({ id }) => id === 'alexnet-catdog-scratch')!;
  const base = { engineReasons: [], device: 'd', versions: {}, parameterCount: 5, stepsPerEpoch: 2, classNames: [] };
  history.apply({
    ...{ type: 'started', protocol: 1, time: '', experiment, engine: 'onnx', ...base },
    examples: { train: 800, validation: 100, test: 100 },
  });
  const step = (at: number, loss: number) =>
    history.apply({ type: 'step', epoch: 1, step: at, loss, imagesPerSecond: 1, secondsLeft: 1 });
  step(0, 0.7);
  step(1, 3.2);
  expect(measured(wish, experiment, history)).toBeUndefined();
  const figures = { trainLoss: 0.7, trainAccuracy: 0.5, validationLoss: 0.69, validationAccuracy: 0.51, logitStd: 0.1 };
  history.apply({
    ...{ type: 'epoch', epoch: 1, ...figures, learningRate: 1e-3, seconds: 4, imagesPerSecond: 200 },
    layers: [
      { layer: 'a', gradientNorm: 2, updateRatio: 0.01, deadShare: 0.5 },
      { layer: 'b', gradientNorm: 3, updateRatio: 0.03, deadShare: 0.9 },
      { layer: 'c', gradientNorm: 4, updateRatio: 0.02 },
    ],
  });
  const end = { bestEpoch: 1, bestValidationAccuracy: 0.51, confusion: [], seconds: 4 };
  history.apply({ type: 'finished', testLoss: 0.69, testAccuracy: 0.5, testedOnTestSet: true, ...end });
  const run = measured(wish, experiment, history)!;
  expect(run.highestLoss).toEqual({ loss: 3.2, step: 2 });
  expect(run).toMatchObject({ start: 'scratch', augmented: false, accuracy: 0.5, learningRate: 1e-3, size: 64 });
  expect(run.epochs).toEqual([
    { ...figures, firstGradientNorm: 2, lastGradientNorm: 4, updateRatio: 0.02, deadShare: 0.9 },
  ]);
});
