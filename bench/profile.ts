/**
 * `npm run bench -- profile NETWORK [--steps N] [--threads N] [--nodes N]`: where a training step's time goes. ONNX
 * Runtime's own profile, summed by operator, by layer and direction, and by node; the rest is Adam and the calls around.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onnxProvider } from '../src/trainer/engines/onnx/provider';
import { machineMemory } from '../src/trainer/engines/memory';
import { OnnxModel } from '../src/trainer/engines/onnx/model';
import { nativeLibrary, openNative } from '../src/trainer/engines/onnx/runtime';
import { allocatorTunables } from '../src/trainerClient';
import { batchOf, child, knownNetworks, loadInitial, median, networkOf, optionsOf, timeSteps } from './parts/workload';

/** One event of the profile: `dur` in microseconds. */
interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args?: { readonly op_name?: string; readonly output_type_shape?: readonly Record<string, number[]>[] };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      steps: { type: 'string', default: '6' },
      threads: { type: 'string' },
      nodes: { type: 'string', default: '25' },
      child: { type: 'boolean', default: false },
    },
  });
  const [name] = knownNetworks(positionals);
  if (name === undefined) throw new Error('Name a network.');
  if (!values.child) {
    const { report } = child<{ report: string }>(
      process.execPath,
      [__filename, '--child', ...process.argv.slice(2)],
      allocatorTunables,
    );
    console.log(report);
    return;
  }

  const available = await onnxProvider.probe();
  const threads = Number(values.threads ?? (available.usable && available.device.threads));
  const folder = mkdtempSync(join(tmpdir(), 'convlab-profile-'));
  const profiling = { enableProfiling: true, profileFilePrefix: join(folder, 'profile') };
  const runtime = await openNative(nativeLibrary, threads, profiling);
  const model = new OnnxModel(runtime, networkOf(name), optionsOf(name), machineMemory());
  await loadInitial(model);
  const steps = Number(values.steps);
  const seconds = await timeSteps(model, batchOf(name), steps);
  await model.dispose();
  const files = readdirSync(folder);
  const events = JSON.parse(readFileSync(join(folder, files[0]!), 'utf8')) as ProfileEvent[];
  rmSync(folder, { recursive: true });

  // The first runs pay for fresh pages.
  const skipped = Math.floor(steps / 3);
  const runs = events.filter((event) => event.name === 'model_run').sort((a, b) => a.ts - b.ts);
  const start = runs[skipped]!.ts;
  const byNode = new Map<string, ProfileEvent[]>();
  for (const event of events) {
    if (event.cat !== 'Node' || !event.name.endsWith('_kernel_time') || event.ts < start) continue;
    byNode.set(event.name, [...(byNode.get(event.name) ?? []), event]);
  }
  // Of each node its median, so that a disturbance in one step does not count.
  const kernels = [...byNode.values()].map((runs) => ({ ...runs[0]!, dur: median(runs.map((event) => event.dur)) }));
  const total = kernels.reduce((sum, e) => sum + e.dur, 0) / 1000;
  const step = median(seconds.slice(skipped)) * 1000;
  const lines = [`${name}: step ${step.toFixed(1)} ms, of it ${total.toFixed(1)} ms in ${kernels.length} kernels`];
  const table = (title: string, key: (event: ProfileEvent) => string, most = 1000) => {
    const sums = new Map<string, number>();
    for (const event of kernels) sums.set(key(event), (sums.get(key(event)) ?? 0) + event.dur / 1000);
    lines.push('', `${title}: ms, share of the step`);
    const sorted = [...sums].sort((a, b) => b[1] - a[1]).slice(0, most);
    for (const [text, ms] of sorted) {
      lines.push(`${ms.toFixed(2).padStart(9)} ${((100 * ms) / step).toFixed(1).padStart(5)} %  ${text}`);
    }
  };
  const shapeOf = (e: ProfileEvent) => e.args?.output_type_shape?.map((o) => Object.values(o)[0]!.join('×')).join();
  table('by operator', (e) => e.args?.op_name ?? '?');
  table('by layer', (e) => e.name.split('/')[0]!);
  table('by layer and operator', (e) => `${e.name.split('/')[0]} ${e.args?.op_name}`, Number(values.nodes));
  table('by node', (e) => `${e.name.replace('_kernel_time', '')} → ${shapeOf(e)}`, Number(values.nodes));
  console.log(JSON.stringify({ report: lines.join('\n') }));
}

void main();
