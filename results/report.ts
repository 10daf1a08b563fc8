/**
 * Writes docs/results.md and its charts from the figures of finished runs: the claims of the notes with their
 * verdicts, a table of the runs, the diagnostics, and the curves. What has not been run is said to be so.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { median } from '../src/core/statistics';
import { datasetTitles, ResolvedExperiment } from '../src/core/experiment';
import { english } from '../src/core/messages/message';
import { networks } from '../src/core/networks/catalog';
import { claims, figure, finalLevel, finder, isStuck, mean, shown } from './claims';
import { draw, Line, Chart } from './charts';
import type { MeasuredRun, ResultsFile, Wanted } from './measured';

type Resolve = (wish: Wanted) => ResolvedExperiment;

/**
 * Writes results.md and images/results/*.svg.
 * @param resolve the experiment that a wanted run trains today, for what is said of runs that have not been made
 * @param folder of the page
 */
export function writeReport(results: ResultsFile, wishes: readonly Wanted[], resolve: Resolve, folder: string): void {
  const images = path.join(folder, 'images/results');
  fs.rmSync(images, { recursive: true, force: true });
  fs.mkdirSync(images, { recursive: true });
  const charts = [...chartsOf(results.runs)];
  for (const [name, chart] of charts) fs.writeFileSync(path.join(images, `${name}.svg`), draw(chart));
  const sections = [
    introduction(results, wishes),
    claimsSection(results.runs),
    runsSection(results, wishes, resolve),
    diagnosticsSection(results.runs),
    curvesSection(charts),
    lenetSection(results.runs),
  ];
  fs.writeFileSync(path.join(folder, 'results.md'), `${sections.filter(Boolean).join('\n\n')}\n`);
}

function introduction({ runs, machine, shared }: ResultsFile, wishes: readonly Wanted[]): string {
  const versions = new Set(runs.map((run) => `${run.engine} ${run.versions['onnxruntime-node'] ?? ''}`.trim()));
  const photographs = runs.find((run) => run.dataset === 'cat-dog');
  const count = photographs && Object.values(photographs.examples).reduce((a, b) => a + b, 0);
  return [
    '# Results',
    'Written by `npm run results` from ConvLab’s own runs; every figure is one that a run printed, and the verdicts are decided by the rules in `results/claims.ts`, not by hand.',
    [
      `Runs made: ${runs.length} of ${wishes.length}. Engine: ${[...versions].join(', ') || 'none yet'}; ${machine}.`,
      photographs ? `Cats and dogs: ${count} photographs, split by the seed.` : '',
      shared
        ? 'Other programs shared the processor with these runs, so no seconds are given: they would be no measure of speed ([benchmarks](benchmarks.md) has those).'
        : '',
      'The `quick` presets use few and small images: where a claim is about more, the verdict is that it cannot be shown at this size.',
    ]
      .filter(Boolean)
      .join(' '),
  ].join('\n\n');
}

function claimsSection(runs: readonly MeasuredRun[]): string {
  return [
    '## What the notes say, and what was measured',
    ...claims(finder(runs)).map(({ claim, rule, verdict, measured }) =>
      [`**${claim}** — ${verdict}`, `${measured} _Rule: ${rule}_`].join('  \n'),
    ),
  ].join('\n\n');
}

/** Runs that differ in their seed alone, in the order of the plan. */
function series<T extends Wanted>(wishes: readonly T[]): T[][] {
  const groups = new Map<string, T[]>();
  for (const wish of wishes) {
    const key = JSON.stringify([wish.id, wish.preset, wish.overrides]);
    groups.set(key, [...(groups.get(key) ?? []), wish]);
  }
  return [...groups.values()];
}

const described = ({ id, preset, overrides }: Wanted): string => {
  const changed = Object.entries(overrides).map(([path, value]) => `${path.split('.').at(-1)} ${String(value)}`);
  return `${id} (${[preset, ...changed].join(', ')})`;
};

function runsSection({ runs, shared, machine }: ResultsFile, wishes: readonly Wanted[], resolve: Resolve): string {
  const rows = series(wishes).map((wanted) => {
    const made = runs.filter((run) => wanted.some(({ name }) => name === run.name));
    const experiment = resolve(wanted[0]!);
    const { input, epochs, network } = experiment;
    const cells = [
      `\`${wanted[0]!.id}\` ${described(wanted[0]!).slice(wanted[0]!.id.length + 1)}`,
      networks[network.name].title,
      `${english(datasetTitles[experiment.dataset.name])}, ${input.channels}×${input.size}×${input.size}`,
      String(epochs),
    ];
    if (made.length === 0) return [...cells, '–', `not yet run (0 of ${wanted.length})`, '', '', '', '', ''];
    // Another machine's seconds are no measure beside this one's.
    const elsewhere = made.some(({ device }) => device !== undefined && !machine.includes(device));
    const seconds = (of: (run: MeasuredRun) => number) =>
      elsewhere ? '–' : String(Number(median(made.map(of)).toPrecision(3)));
    const last = (of: (epoch: MeasuredRun['epochs'][number]) => number) =>
      figure(mean(made.map((run) => of(run.epochs.at(-1)!))));
    const kind = made[0]!.testedOnTestSet ? 'test' : 'validation';
    return [
      ...cells,
      `${made[0]!.examples.train} / ${made[0]!.examples.validation} / ${made[0]!.examples.test}`,
      `${shown(finalLevel(made))} ${kind}${made.length < wanted.length ? ` (${made.length} of ${wanted.length} runs)` : ` (${made.length})`}`,
      made.map((run) => `${figure(run.bestValidationAccuracy)} (${run.bestEpoch})`).join(', '),
      last((epoch) => epoch.trainLoss),
      last((epoch) => epoch.trainAccuracy),
      seconds((run) => run.secondsPerEpoch),
      seconds((run) => run.seconds),
    ];
  });
  const head = [
    ...['experiment', 'network', 'data', 'epochs', 'train / validation / test', 'final accuracy (runs)'],
    ...['best validation accuracy (epoch)', 'last training loss', 'last training accuracy'],
    ...['seconds per epoch', 'seconds in all'],
  ];
  // The seconds come last, and are none where other programs took some of them.
  const columns = shared ? -2 : undefined;
  return [
    '## Runs',
    [
      'Final accuracy is the mean over the seeds after the last epoch, ± its standard error (the larger of what the number of images allows and what the seeds show).',
      shared
        ? ''
        : 'Seconds are medians over the seeds, with nothing else at work on the machine; “in all” is from the first step to the end of the test, with validation and checkpoints. Where “–” stands, the run was made on another machine.',
    ]
      .filter(Boolean)
      .join(' '),
    table(
      head.slice(0, columns),
      rows.map((row) => row.slice(0, columns)),
    ),
  ].join('\n\n');
}

/** Diagnostics of one network's runs, where they explain something. */
function diagnosticsSection(runs: readonly MeasuredRun[]): string {
  const photographs = series(runs.filter((run) => run.dataset === 'cat-dog'));
  if (photographs.length === 0) return '';
  // Medians over runs that are stuck and others that are not would describe neither.
  const alike = photographs.flatMap((made) => {
    const outcomes = [made.filter(isStuck), made.filter((run) => !isStuck(run))].filter(({ length }) => length > 0);
    return outcomes.map((runs) => ({
      made: runs,
      more: outcomes.length === 1 ? '' : isStuck(runs[0]!) ? ', stuck' : ', not stuck',
    }));
  });
  const rows = alike.map(({ made, more }) => {
    const of = (value: (run: MeasuredRun) => number) => String(Number(median(made.map(value)).toPrecision(2)));
    const first = (run: MeasuredRun) => run.epochs[0]!;
    const last = (run: MeasuredRun) => run.epochs.at(-1)!;
    const span = (epoch: MeasuredRun['epochs'][number]) => epoch.firstGradientNorm / epoch.lastGradientNorm;
    return [
      `${described(made[0]!)}${more}`,
      of((run) => run.highestLoss.loss),
      of((run) => 100 * first(run).updateRatio),
      `${of((run) => span(first(run)))} → ${of((run) => span(last(run)))}`,
      `${of((run) => 100 * first(run).deadShare)} → ${of((run) => 100 * last(run).deadShare)}`,
      `${of((run) => first(run).logitStd)} → ${of((run) => last(run).logitStd)}`,
    ];
  });
  const head = [
    ...['experiment', 'highest loss of a step, epoch 1', 'median update, % of the weights, epoch 1'],
    ...['gradient norm, first over last layer', 'most dead ReLUs of a layer, %', 'logit spread'],
  ];
  return [
    '## Diagnostics, cats vs dogs',
    'Medians over the seeds; arrows lead from the first epoch to the last.',
    table(head, rows),
  ].join('\n\n');
}

/** Charts that have at least one run to show, by file name. */
function* chartsOf(runs: readonly MeasuredRun[]): Generator<[string, Chart]> {
  const find = finder(runs);
  type Curve = (run: MeasuredRun) => readonly number[];
  const accuracy: Curve = (run) => run.epochs.map((epoch) => epoch.validationAccuracy);
  const loss: Curve = (run) => run.epochs.map((epoch) => epoch.trainLoss);
  const lines = (ids: readonly string[], curve: Curve): Line[] =>
    ids.flatMap((id, group) => find(id, 'quick').map((run) => ({ label: run.title, group, values: curve(run) })));
  const chart = (title: string, axis: string, ids: readonly string[], curve: Curve): Chart => ({
    title,
    axis,
    ...(axis === 'validation accuracy' ? { low: 0.4, high: 1 } : { low: 0 }),
    lines: lines(ids, curve),
  });
  const sets: [string, string, string[]][] = [
    ['mnist', 'MNIST', ['lenet5-mnist', 'alexnet-mnist']],
    ['alexnet', 'AlexNet on cats and dogs', ['alexnet-catdog-scratch', 'alexnet-catdog', 'alexnet-catdog-pretrained']],
    ['networks', 'Three networks on cats and dogs', ['alexnet-catdog', 'vgg16-catdog', 'resnet18-catdog']],
    ['keras', 'TensorFlow appendix', ['alexnet-keras-catdog', 'vgg16-keras-catdog', 'resnet50-keras-catdog']],
  ];
  for (const [name, title, ids] of sets) {
    if (lines(ids, loss).length === 0) continue;
    yield [`${name}-loss`, chart(`${title}: training loss`, 'training loss', ids, loss)];
    yield [`${name}-accuracy`, chart(`${title}: validation accuracy`, 'validation accuracy', ids, accuracy)];
  }
  const overfitting = find('alexnet-catdog', 'quick');
  if (overfitting.length > 0) {
    const curve = (label: string, group: number, of: Curve): Line[] =>
      overfitting.map((run) => ({ label, group, values: of(run), dashed: group === 1 }));
    yield [
      'alexnet-overfitting',
      {
        title: 'AlexNet, augmented: loss on training and validation images',
        axis: 'loss',
        low: 0,
        lines: [
          ...curve('training', 0, loss),
          ...curve('validation', 1, (run) => run.epochs.map((epoch) => epoch.validationLoss)),
        ],
      },
    ];
  }
}

function curvesSection(charts: readonly (readonly [string, Chart])[]): string {
  if (charts.length === 0) return '';
  return [
    '## Curves',
    'Quick presets; a line for each seed.',
    ...charts.map(([name, { title }]) => `![${title}](images/results/${name}.svg)`),
  ].join('\n\n');
}

function lenetSection(runs: readonly MeasuredRun[]): string {
  const made = finder(runs)('lenet5-mnist', 'course');
  if (made.length === 0) return '';
  const rows = made.map((run) => [
    String(run.seed),
    run.accuracy.toFixed(4),
    run.epochs.at(-1)!.trainAccuracy.toFixed(4),
    `${run.bestValidationAccuracy.toFixed(4)} (${run.bestEpoch})`,
  ]);
  return [
    '## LeNet-5 on MNIST, `course` preset',
    '55 000 / 5 000 / 10 000 examples, 10 epochs, batch 64, Adam 1e-3.',
    table(['seed', 'test accuracy', 'training accuracy', 'best validation accuracy (epoch)'], rows),
    'On two cores of an AMD EPYC (Zen 3), machine otherwise idle, the whole command `convlab train lenet5-mnist` took 30 s for each of the three seeds and 346 MB at its peak (onnxruntime-node 1.30, Node 20.20; measured by hand). PyTorch on all 60 000 training images: 0.988–0.990.',
  ].join('\n\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
