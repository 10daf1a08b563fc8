/**
 * `npm run results`: makes the runs that docs/results.md wants, one after another on the terminal's own way, and writes
 * the page, its curves and the figures behind it. A broken-off run is gone on with, and none is made twice: neither one
 * that is finished, nor one whose folder is gone but whose figures docs/results.json has. So it can be ended and started
 * again at any time, on any machine; the page marks what is missing.
 *
 *   --runs DIR     where the runs are kept (default .convlab/results)
 *   --only TEXT    only runs whose name contains the text
 *   --threads N    processor threads of a run, for a machine that does other things too
 *   --write        make no runs, only write the page from what there is
 *   --again        makes runs anew of which only the figures are left
 *   --alone        nothing else runs on this machine: seconds are figures of speed
 *
 * CONVLAB_CAT_DOG names the photographs.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { ResolvedExperiment, resolveExperiment } from '../src/core/experiment';
import { findExperiment } from '../src/disk/experimentFiles';
import { listRuns, readHistory, RunSummary } from '../src/disk/runs';
import { measured, MeasuredRun, ResultsFile, Wanted, wanted } from './measured';
import { writeReport } from './report';

const docs = 'docs';
const figures = path.join(docs, 'results.json');

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '.convlab/results' },
    only: { type: 'string', default: '' },
    threads: { type: 'string' },
    write: { type: 'boolean', default: false },
    again: { type: 'boolean', default: false },
    alone: { type: 'boolean', default: false },
  },
});
/** What the page was last written from. */
const stored = fs.existsSync(figures) ? (JSON.parse(fs.readFileSync(figures, 'utf8')) as ResultsFile) : undefined;
const runsFolder = path.resolve(values.runs);

const resolved = ({ id, preset, seed, overrides }: Wanted): ResolvedExperiment =>
  resolveExperiment(findExperiment('experiments', id), preset, { ...overrides, seed });

/** Whether two experiments train the same; words about them may differ. */
function trainsAlike(a: ResolvedExperiment, b: ResolvedExperiment): boolean {
  const settings = ({ title: _t, chapter: _c, question: _q, assumed: _a, ...rest }: ResolvedExperiment) =>
    JSON.stringify(rest);
  return settings(a) === settings(b);
}

/** The run that was made for a wish with today's settings: a finished one, else one that can go on. */
function runFor(wish: Wanted): RunSummary | undefined {
  const experiment = resolved(wish);
  const alike = listRuns(runsFolder).filter(({ record }) => trainsAlike(record.experiment, experiment));
  return alike.find(({ state }) => state === 'finished') ?? alike.find(({ epochsDone }) => epochsDone > 0);
}

function train(wish: Wanted, before: RunSummary | undefined): void {
  const settings = Object.entries(wish.overrides).flatMap(([at, value]) => ['--set', `${at}=${JSON.stringify(value)}`]);
  const what = before
    ? ['--resume', before.folder]
    : [wish.id, '--preset', wish.preset, '--seed', String(wish.seed), ...settings];
  const images = process.env['CONVLAB_CAT_DOG'];
  const photographs = resolved(wish).dataset.name === 'cat-dog';
  const data = photographs && images !== undefined ? ['--data', path.resolve(images)] : [];
  const threads = values.threads === undefined ? [] : ['--threads', values.threads];
  console.log(`── ${wish.name}${before ? ', going on' : ''}`);
  const { status } = spawnSync(
    process.execPath,
    ['dist/cli.js', 'train', ...what, ...data, ...threads, '--engine', 'onnx', '--runs', runsFolder],
    { stdio: 'inherit' },
  );
  if (status === 130) process.exit(130);
  if (status !== 0) console.error(`── ${wish.name} ended with status ${status}; its row stays open.`);
}

/** The figures of every wanted run: from its folder, or as they were stored by an earlier start of this program. */
function gather(): ResultsFile {
  const runs = wanted.flatMap((wish): MeasuredRun[] => {
    const run = runFor(wish);
    const fresh = run && measured(wish, run.record.experiment, readHistory(run.folder));
    const kept = storedFigures(wish);
    return fresh ? [fresh] : kept ? [kept] : [];
  });
  const cpu = os.cpus();
  const machine = `${cpu.length} × ${cpu[0]!.model.trim()}, Node ${process.versions.node}`;
  const made = runs.some((run) => !stored?.runs.some((figure) => figure.name === run.name));
  return {
    format: 1,
    shared: made || !stored ? !values.alone : stored.shared,
    machine: made || !stored ? machine : stored.machine,
    runs,
  };
}

const storedFigures = (wish: Wanted): MeasuredRun | undefined =>
  stored?.runs.find((figure) => figure.name === wish.name && stands(figure, resolved(wish)));

/** Whether stored figures are still those of today's preset. */
function stands(figure: MeasuredRun, experiment: ResolvedExperiment): boolean {
  return (
    figure.network === experiment.network.name &&
    figure.splitBy === experiment.dataset.splitBy &&
    figure.epochs.length === experiment.epochs &&
    figure.size === experiment.input.size &&
    figure.batchSize === experiment.batchSize &&
    figure.learningRate === experiment.optimizer.learningRate &&
    (experiment.limit === undefined || figure.examples.train <= experiment.limit)
  );
}

function write(): void {
  const results = gather();
  fs.writeFileSync(figures, `${JSON.stringify(results, null, 1)}\n`);
  writeReport(results, wanted, resolved, docs);
}

const isToBeMade = (wish: Wanted): boolean =>
  wish.name.includes(values.only) && runFor(wish)?.state !== 'finished' && (values.again || !storedFigures(wish));

/** Whether a run starts from the weights of another, whose folder it then needs and not the figures alone. */
function startsFrom(wish: Wanted, other: Wanted): boolean {
  const { weights } = resolved(wish).network;
  return typeof weights === 'object' && 'experiment' in weights && weights.experiment === other.id;
}

for (const wish of wanted) {
  if (values.write) continue;
  const before = runFor(wish);
  if (before?.state === 'finished') continue;
  if (!isToBeMade(wish) && !wanted.some((other) => startsFrom(other, wish) && isToBeMade(other))) continue;
  train(wish, before);
  write();
}
write();
