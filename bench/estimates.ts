/**
 * `npm run bench -- estimates [case…] [--rounds N] [--threads N]`: how near estimates come to the truth. For each case:
 * the estimate from an empty cache, which measures first; then the run itself, timed from starting the trainer to its
 * end; then the estimate that rests on that run. `told` cases are estimated, without measuring, from the speeds that
 * `convlab engines --measure` leaves. Ratios are estimate over truth.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { Overrides, Preset, ResolvedExperiment, resolveExperiment } from '../src/core/experiment';
import { findExperiment } from '../src/disk/experimentFiles';
import { median } from '../src/core/statistics';
import { english } from '../src/core/messages/message';
import type { Estimate, Machine, Request, TaskName } from '../src/core/contracts/tasks';
import { endError, startTask, TrainerListener } from '../src/trainerClient';

interface Case {
  readonly preset: Preset;
  readonly overrides: Overrides;
}

/** MNIST, copied to three channels and resized, stands for photographs. */
const photographs = (network: string, size: number, more: Overrides): Case => ({
  preset: 'course',
  overrides: {
    'network.name': network,
    'input.size': size,
    'input.channels': 3,
    'input.fit': 'resize',
    batchSize: 32,
    ...more,
  },
});

const cases: Record<string, Case> = {
  'lenet5-quick': { preset: 'quick', overrides: {} },
  'lenet5-course': { preset: 'course', overrides: {} },
  'resnet18-64': photographs('resnet18', 64, { limit: 3000, epochs: 2 }),
  'resnet18-96': photographs('resnet18', 96, { limit: 1500, epochs: 2 }),
  'resnet18-224': photographs('resnet18', 224, { limit: 400, epochs: 2 }),
  'alexnet-64': photographs('alexnet', 64, { limit: 3000, epochs: 2 }),
};
const told = ['resnet18-96'];

const root = path.join(__dirname, '../..');
const script = path.join(root, 'dist/trainer.js');

async function run<T extends TaskName>(
  task: T,
  request: Request<T>,
  cache: string,
  onUpdate?: TrainerListener<T>['onUpdate'],
): Promise<number> {
  const begin = performance.now();
  const env = { CONVLAB_CACHE: cache };
  const trainer = startTask(task, request, { script, env }, { onLog: console.error, onUpdate });
  const end = await trainer.ended;
  if (end.kind === 'failed' || end.kind === 'crashed') throw endError(end);
  return (performance.now() - begin) / 1000;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string', default: '1' }, threads: { type: 'string' } },
  });
  const names = positionals.length > 0 ? positionals : Object.keys(cases);
  const unknown = names.find((name) => !Object.hasOwn(cases, name));
  if (unknown !== undefined)
    throw new Error(`There is no case ${unknown}; there are: ${Object.keys(cases).join(', ')}.`);
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  execFileSync(process.execPath, ['esbuild.mjs'], { cwd: root, stdio: 'inherit' });
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-bench-'));
  const common = { engine: 'onnx' as const, threads };
  let machine: Machine | undefined;

  const estimate = async (experiment: ResolvedExperiment, cache: string, runs: string[], measure: boolean) => {
    let found: Estimate | undefined;
    const request = { ...common, experiments: [experiment], runsFolders: runs, measure };
    const took = await run('estimate', request, cache, (update) => {
      if (update.type === 'machine') machine = update.machine;
      else found = update.estimate;
    });
    return { seconds: found?.seconds ?? NaN, basis: found?.basis, took };
  };

  try {
    const spare = path.join(folder, 'usual');
    if (names.some((name) => told.includes(name))) {
      const request = { ...common, networks: ['resnet18' as const], again: false };
      const took = await run('measure', request, spare, (update) => {
        if (update.type === 'unmeasured') console.error(`${update.network}: ${english(update.reason)}`);
      });
      console.log(`engines --measure --network resnet18 took ${took.toFixed(1)} s`);
    }
    const rows = new Map<string, { ratios: Record<string, number[]>; truth: number[]; took: number[] }>();
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const name of names) {
        const { preset, overrides } = cases[name]!;
        const file = findExperiment(path.join(root, 'experiments'), 'lenet5-mnist');
        const experiment = resolveExperiment(file, preset, overrides);
        const here = fs.mkdtempSync(path.join(folder, `${name}-`));
        const [cache, runs] = [path.join(here, 'cache'), path.join(here, 'runs')];
        const row = rows.get(name) ?? { ratios: {}, truth: [], took: [] };
        rows.set(name, row);
        const fresh = await estimate(experiment, cache, [runs], true);
        const known = told.includes(name) ? await estimate(experiment, spare, [], false) : undefined;
        const truth = await run('train', { ...common, experiment, runsFolder: runs }, cache);
        const after = await estimate(experiment, cache, [runs], false);
        if (fresh.basis !== 'speed' || after.basis !== 'run')
          throw new Error(`${name}: ${fresh.basis}, ${after.basis}`);
        for (const [kind, { seconds }] of Object.entries({
          measured: fresh,
          ...(known && { told: known }),
          run: after,
        })) {
          (row.ratios[kind] ??= []).push(seconds / truth);
        }
        row.truth.push(truth);
        row.took.push(fresh.took);
        fs.rmSync(here, { recursive: true });
      }
    }
    const { device, threads: used, versions } = machine!;
    const libraries = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
    console.log(
      `${device}, ${used} threads; ${libraries.join(', ')}, Node ${process.version}; ${values.rounds} rounds`,
    );
    console.log(
      'case             truth       estimating   estimate/truth: measured (range), told from others, from the run',
    );
    for (const [name, { ratios, truth, took }] of rows) {
      const ratio = (kind: string) => {
        const list = ratios[kind];
        if (!list) return '–';
        const range = list.length > 1 ? ` (${Math.min(...list).toFixed(2)}–${Math.max(...list).toFixed(2)})` : '';
        return median(list).toFixed(2) + range;
      };
      const head = `${name.padEnd(16)} ${`${median(truth).toFixed(1)} s`.padEnd(11)} ${`${median(took).toFixed(1)} s`.padEnd(12)}`;
      console.log(`${head} ${['measured', 'told', 'run'].map((kind) => ratio(kind).padEnd(18)).join(' ')}`.trimEnd());
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

void main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
