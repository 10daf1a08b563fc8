/**
 * `npm run bench -- memory [network] [--size PIXELS] [--batch N] [--steps N] [--threads N]`: whether memory stays flat
 * over many steps. By default 1 000 steps of ResNet-18 on batches of 8 at 32 pixels, in a process with the allocator
 * settings of a trainer; prints what the process holds on the way, and the growth from a tenth of the way to the end.
 */
import { parseArgs } from 'node:util';
import { buildNetwork, networkNames, NetworkName } from '../src/core/networks/catalog';
import { elements } from '../src/core/networks/network';
import { fillUniform, streamKey, word } from '../src/core/random';
import { onnxProvider } from '../src/trainer/engines/onnx/provider';
import { allocatorTunables } from '../src/trainerClient';
import { child, loadInitial, optionsOf } from './parts/workload';

interface Setting {
  readonly network: NetworkName;
  readonly size: number;
  readonly batch: number;
  readonly steps: number;
  readonly threads?: number;
}

/** @returns MiB that the process holds after each tenth of the steps */
async function watch({ network: name, size, batch, steps, threads }: Setting): Promise<number[]> {
  const network = buildNetwork(name, [3, size, size], 1);
  const engine = await onnxProvider.open({ threads });
  const model = await engine.compile(network, { ...optionsOf('resnet18'), batchSize: batch, microBatch: batch });
  await loadInitial(model);
  const images = new Float32Array(batch * elements(network.inputShape));
  const held: number[] = [];
  for (let step = 0; step < steps; step++) {
    fillUniform(images, streamKey(1, step), 1);
    const labels = Int32Array.from({ length: batch }, (_, i) => word(streamKey(2, step), i) % 2);
    await model.trainStep({ images, labels, size: batch }, { epoch: 1, step }, 1e-4);
    if ((step + 1) % Math.ceil(steps / 10) === 0) held.push(process.memoryUsage.rss() / 2 ** 20);
  }
  await engine.dispose();
  return held;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      size: { type: 'string', default: '32' },
      batch: { type: 'string', default: '8' },
      steps: { type: 'string', default: '1000' },
      threads: { type: 'string' },
      child: { type: 'boolean', default: false },
    },
  });
  const [name = 'resnet18'] = positionals;
  const network = networkNames.find((known) => known === name);
  if (!network) throw new Error(`There is no network ${name}; there are: ${networkNames.join(', ')}.`);
  const [size, batch, steps] = [values.size, values.batch, values.steps].map(Number) as [number, number, number];
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  if (values.child) {
    console.log(JSON.stringify(await watch({ network, size, batch, steps, threads })));
    return;
  }
  const held = child<number[]>(process.execPath, [__filename, '--child', ...process.argv.slice(2)], allocatorTunables);
  const tenths = held.map((mebibytes) => mebibytes.toFixed(0)).join(', ');
  console.log(`${network}, ${batch} at ${size}, ${steps} steps: MiB after each tenth: ${tenths}`);
  const growth = held.at(-1)! - held[0]!;
  console.log(`from the first tenth to the end: ${growth >= 0 ? '+' : '−'}${Math.abs(growth).toFixed(1)} MiB`);
}

void main();
