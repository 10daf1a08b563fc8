/**
 * `npm run bench -- diagnostics [network…] [--pairs N] [--threads N]`: what a step's figures cost: norms of gradients,
 * updates and parameters, dead ReLUs, spread of the logits. Two models in one process, one of which leaves them out, take
 * turns step by step; the cost is the median over the pairs of how much longer the other takes, in time and in the
 * processors' time, which other programs disturb less.
 */
import { parseArgs } from 'node:util';
import type { Model } from '../src/trainer/engines/engine';
import { onnxProvider } from '../src/trainer/engines/onnx/provider';
import { allocatorTunables } from '../src/trainerClient';
import { batchOf, child, knownNetworks, loadInitial, Measured, median, networkOf, optionsOf } from './parts/workload';

/** Of one step, in seconds. */
interface Cost {
  readonly time: number;
  readonly processor: number;
}

/** Pairs that make a stable median in reasonable time. */
const usualPairs: Partial<Record<Measured, number>> = { lenet5: 2000, alexnet: 40, resnet18: 20 };

async function measure(name: Measured, pairs: number, threads: number | undefined): Promise<string> {
  const engine = await onnxProvider.open({ threads });
  const models: Model[] = [];
  for (const diagnostics of [true, false]) {
    const model = await engine.compile(networkOf(name), { ...optionsOf(name), diagnostics });
    await loadInitial(model);
    models.push(model);
  }
  const batch = batchOf(name);
  const warmUp = 2;
  const pairsOf: [Cost, Cost][] = [];
  for (let step = 0; step < pairs + warmUp; step++) {
    const costs: Cost[] = [];
    // Whoever goes second finds the caches full of the other.
    for (const which of step % 2 ? [0, 1] : [1, 0]) {
      const [begin, before] = [performance.now(), process.cpuUsage()];
      await models[which]!.trainStep(batch, { epoch: 1, step }, 1e-4);
      const { user, system } = process.cpuUsage(before);
      costs[which] = { time: (performance.now() - begin) / 1000, processor: (user + system) / 1e6 };
    }
    if (step >= warmUp) pairsOf.push(costs as [Cost, Cost]);
  }
  await engine.dispose();
  const row = (kind: keyof Cost, title: string) => {
    const ratios = pairsOf.map(([with_, without]) => with_[kind] / without[kind] - 1).sort((a, b) => a - b);
    const quartile = (q: number) => percent(ratios[Math.floor(q * (ratios.length - 1))]!);
    const [one, other] = [0, 1].map((i) => (1000 * median(pairsOf.map((pair) => pair[i]![kind]))).toFixed(2));
    return `  ${title.padEnd(18)} ${one} ms with, ${other} ms without: ${percent(median(ratios))} (quartiles ${quartile(0.25)} to ${quartile(0.75)})`;
  };
  return [`${name}, ${pairs} pairs`, row('time', 'time'), row('processor', 'processors’ time')].join('\n');
}

const percent = (share: number): string => `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(1)} %`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { pairs: { type: 'string' }, threads: { type: 'string' }, child: { type: 'boolean', default: false } },
  });
  const names = knownNetworks(positionals.length > 0 ? positionals : Object.keys(usualPairs));
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  if (values.child) {
    const [name] = names as [Measured];
    console.log(JSON.stringify(await measure(name, Number(values.pairs ?? usualPairs[name] ?? 10), threads)));
    return;
  }
  for (const name of names) {
    const pairs = values.pairs === undefined ? [] : ['--pairs', values.pairs];
    const cores = values.threads === undefined ? [] : ['--threads', values.threads];
    console.log(child<string>(process.execPath, [__filename, '--child', name, ...pairs, ...cores], allocatorTunables));
  }
}

void main();
