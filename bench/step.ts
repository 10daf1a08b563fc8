/**
 * `npm run bench -- step [network…] [--steps N] [--pairs N] [--threads N] [--without-pytorch] [--webassembly]`: images per
 * second and peak memory of a whole training step, of ConvLab's embedded engine and of PyTorch (the Pythons that
 * CONVLAB_PYTHON lists, separated as in PATH, or python3), each as shipped and with the allocator settings that ConvLab
 * gives its own process; with --webassembly also of ConvLab as it runs where it has no native code.
 * Every figure comes from processes that take turns, one pair after another, so that a change of the machine's pace meets
 * them all; a row gives medians over the pairs and the median and range of the ratios within pairs.
 */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { delimiter } from 'node:path';
import { parseArgs } from 'node:util';
import type { EngineOptions } from '../src/trainer/engines/engine';
import { onnxProvider } from '../src/trainer/engines/onnx/provider';
import { allocatorTunables } from '../src/trainerClient';
import {
  child,
  digits,
  knownNetworks,
  Measured,
  median,
  optionsOf,
  rateOf,
  scriptArguments,
  spread,
  timeTraining,
  Timing,
  workloads,
} from './parts/workload';

/** The child process: times the steps of one network on the embedded engine. */
async function timeConvLab(name: Measured, steps: number, options: EngineOptions): Promise<Timing> {
  const engine = await onnxProvider.open(options);
  // In passes of the engine's own choice, as users train.
  const timing = await timeTraining(engine, name, steps, { ...optionsOf(name), microBatch: undefined });
  await engine.dispose();
  return timing;
}

/** What is measured beside ConvLab. */
interface Opponent {
  readonly title: string;
  time(name: Measured, steps: number, threads: number): Timing;
}

function timeInChild(name: Measured, steps: number, threads: number, runtime: 'native' | 'web'): Timing {
  const numbers = ['--steps', String(steps), '--threads', String(threads), '--runtime', runtime];
  return child(process.execPath, [__filename, '--child', name, ...numbers], allocatorTunables);
}

const webAssembly: Opponent = {
  title: 'ConvLab as WebAssembly',
  time: (name, steps, threads) => timeInChild(name, steps, threads, 'web'),
};

function pyTorch(title: string, python: string, tunables: string | undefined): Opponent {
  return {
    title,
    time: (name, steps, threads) => child(python, scriptArguments('step.py', name, steps, threads), tunables),
  };
}

function pyTorches(): Opponent[] {
  const pythons = (process.env['CONVLAB_PYTHON'] ?? 'python3').split(delimiter);
  return pythons.flatMap((python) => {
    const found = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
    if (found.status !== 0) {
      console.log(`PyTorch: not found (${python}); set CONVLAB_PYTHON`);
      return [];
    }
    const title = `PyTorch ${found.stdout.trim()}`;
    return [pyTorch(`${title}, as shipped`, python, undefined), pyTorch(`${title}, tuned`, python, allocatorTunables)];
  });
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      child: { type: 'boolean', default: false },
      steps: { type: 'string' },
      pairs: { type: 'string', default: '3' },
      threads: { type: 'string' },
      'without-pytorch': { type: 'boolean', default: false },
      webassembly: { type: 'boolean', default: false },
      runtime: { type: 'string' },
    },
  });
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  const names = knownNetworks(positionals.length > 0 ? positionals : Object.keys(workloads));
  if (values.child) {
    const runtime = values.runtime as EngineOptions['runtime'];
    console.log(JSON.stringify(await timeConvLab(names[0]!, Number(values.steps), { threads, runtime })));
    return;
  }
  const cores = threads ?? (await probedThreads());
  const engine = await onnxProvider.open({ threads: cores });
  const versions = Object.entries(engine.versions).map(([name, version]) => `${name} ${version}`);
  console.log(`${engine.device.name}, ${cores} threads; ${versions.join(', ')}, Node ${process.version}`);
  await engine.dispose();
  const others = [...(values['without-pytorch'] ? [] : pyTorches()), ...(values.webassembly ? [webAssembly] : [])];
  for (const name of names) {
    compare(name, others, Number(values.steps ?? workloads[name].steps), Number(values.pairs), cores);
  }
}

function compare(name: Measured, others: readonly Opponent[], steps: number, pairs: number, threads: number): void {
  const { batch, size } = workloads[name];
  const rate = (timing: Timing) => rateOf(name, timing);
  const own: Timing[] = [];
  const theirs = others.map((): Timing[] => []);
  for (let pair = 0; pair < pairs; pair++) {
    own.push(timeInChild(name, steps, threads, 'native'));
    others.forEach((other, i) => theirs[i]!.push(other.time(name, steps, threads)));
  }
  const row = (title: string, timings: readonly Timing[]) => {
    const speeds = timings.map((other, i) => rate(own[i]!) / rate(other));
    const peaks = timings.map((other, i) => own[i]!.peakMemory / other.peakMemory);
    const mebibytes = median(timings.map((timing) => timing.peakMemory / 2 ** 20)).toFixed(0);
    const rates = digits(median(timings.map(rate))).padStart(7);
    const ratios = timings === own ? ['', ''] : [spread(speeds), spread(peaks)];
    console.log(`  ${title.padEnd(34)}${rates}  ${ratios[0]!.padEnd(19)}${mebibytes.padStart(7)}  ${ratios[1]!}`);
  };
  console.log(`${name}, ${batch} at ${size}`.padEnd(36) + 'images/s  ConvLab is       MiB, peak  ConvLab takes');
  const { microBatch = batch } = own[0]!;
  row(microBatch < batch ? `ConvLab, ${microBatch} at a time` : 'ConvLab', own);
  others.forEach(({ title }, i) => row(title, theirs[i]!));
}

async function probedThreads(): Promise<number> {
  const available = await onnxProvider.probe();
  return (available.usable && available.device.threads) || cpus().length;
}

void main();
