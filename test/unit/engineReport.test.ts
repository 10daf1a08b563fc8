/** What is told of the engines without loading one, and how `auto` ranks them. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Speed } from '../../src/core/estimates';
import { message } from '../../src/core/messages/message';
import type { EngineName } from '../../src/core/contracts/events';
import type { Machine, StepShape } from '../../src/core/contracts/tasks';
import type { Availability, EngineProvider } from '../../src/trainer/engines/engine';
import { reportEngines } from '../../src/trainer/tasks/engines';
import { Speeds } from '../../src/trainer/tasks/speeds';

let cache: string;
beforeEach(() => (cache = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-report-'))));
afterEach(() => fs.rmSync(cache, { recursive: true, force: true }));

const provider = (name: EngineName, availability: Availability): EngineProvider => ({
  name,
  probe: async () => availability,
  open: () => Promise.reject(new Error('loaded')),
});
const gpu = { usable: true, device: { kind: 'gpu', name: 'A GPU' } } as const;
const cpu = { usable: true, device: { kind: 'cpu', name: 'A processor', threads: 4 } } as const;
const none = { usable: false, reason: message('webgpuNoVulkan'), action: message('installVulkan') } as const;
const report = (engines: Record<string, Availability>, threads?: number) =>
  reportEngines(
    { threads },
    '1.0.0',
    Object.entries(engines).map(([name, availability]) => provider(name as EngineName, availability)),
    cache,
    8,
  );

describe('auto', () => {
  const summary = async (engines: Record<string, Availability>) =>
    (await report(engines)).map(({ engine, preferred, reason }) => [engine, preferred, reason?.id]);

  test.each<[string, Record<string, Availability>, [string, boolean, string | undefined][]]>([
    [
      'takes a GPU before the processor',
      { tensorflow: cpu, webgpu: gpu, onnx: cpu },
      [
        ['tensorflow', false, 'engineNotChosenCpu'],
        ['webgpu', true, undefined],
        ['onnx', false, undefined],
      ],
    ],
    [
      'takes CUDA before WebGPU',
      { tensorflow: gpu, webgpu: gpu },
      [
        ['tensorflow', true, undefined],
        ['webgpu', false, undefined],
      ],
    ],
    [
      'takes onnx on the processor',
      { tensorflow: cpu, webgpu: none, onnx: cpu },
      [
        ['tensorflow', false, 'engineNotChosenCpu'],
        ['webgpu', false, 'webgpuNoVulkan'],
        ['onnx', true, undefined],
      ],
    ],
    [
      'never takes an emulated GPU',
      { webgpu: { usable: true, device: { kind: 'cpu', name: 'llvmpipe' } } },
      [['webgpu', false, 'engineEmulates']],
    ],
  ])('%s', async (_, engines, expected) => {
    expect(await summary(engines)).toEqual(expected);
  });

  test('leaves the action to who cannot train', async () => {
    const [webgpu] = await report({ webgpu: none });
    expect(webgpu).toEqual({ engine: 'webgpu', preferred: false, speeds: [], ...none });
  });
});

test('what an engine says of how it would compute is told', async () => {
  const notes = [message('onnxNoNativeBuild', { machine: 'darwin-x64' }), message('onnxOnWebAssembly')];
  const [onnx, webgpu] = await report({ onnx: { ...cpu, notes }, webgpu: gpu });
  expect([onnx!.notes, webgpu!.notes]).toEqual([notes, undefined]);
});

describe('speeds', () => {
  const shape: StepShape = { network: 'lenet5', channels: 1, size: 32, outputs: 10, batchSize: 64 };
  const speed = (stepSeconds: number, time: string, changed: Partial<StepShape> = {}): Speed => ({
    shape: { ...shape, ...changed },
    stepSeconds,
    evaluateSeconds: 0.5,
    evaluatedExamples: 500,
    startSeconds: 0.1,
    time,
  });
  const machine = (changed: Partial<Machine>): Machine => ({
    engine: 'onnx',
    device: 'A processor',
    threads: 4,
    versions: { convlab: '1.0.0', ort: '1' },
    ...changed,
  });
  const keep = (changed: Partial<Machine>, ...speeds: Speed[]) => {
    const file = new Speeds(machine(changed), cache);
    speeds.forEach((each) => file.add(each));
  };
  const rates = async (engines: Record<string, Availability>, threads?: number) =>
    (await report(engines, threads))[0]!.speeds.map((s) => [s.shape.network, s.shape.size, s.imagesPerSecond]);

  test('are those that were last measured on this device with as many threads, whatever the library’s version', async () => {
    keep({ versions: { convlab: '1.0.0', ort: '2' } }, speed(0.032, '2026-03-01T00:00:00.000Z'));
    keep({}, speed(0.064, '2026-02-01T00:00:00.000Z'));
    keep({ threads: 2 }, speed(0.128, '2026-04-01T00:00:00.000Z'));
    keep({ versions: { convlab: '0.9.0', ort: '2' } }, speed(0.001, '2026-05-01T00:00:00.000Z'));
    keep({ device: 'Another' }, speed(0.002, '2026-05-01T00:00:00.000Z'));
    keep({ engine: 'tensorflow' }, speed(0.003, '2026-05-01T00:00:00.000Z'));
    expect(await rates({ onnx: cpu })).toEqual([['lenet5', 32, 2000]]);
    expect(await rates({ onnx: cpu }, 2)).toEqual([['lenet5', 32, 500]]);
    expect(await rates({ onnx: cpu }, 3)).toEqual([]);
  });

  test('of an engine without threads do not depend on how many were asked for', async () => {
    keep({ engine: 'webgpu', device: 'A GPU', threads: undefined }, speed(0.032, '2026-03-01T00:00:00.000Z'));
    expect(await rates({ webgpu: gpu }, 3)).toEqual([['lenet5', 32, 2000]]);
  });

  test('are told only where measurements say enough', async () => {
    const vgg: Partial<StepShape> = { network: 'vgg16', channels: 3, outputs: 1, size: 64, batchSize: 32 };
    keep({}, speed(0.5, '2026-03-01T00:00:00.000Z', vgg));
    expect(await rates({ onnx: cpu })).toEqual([['vgg16', 64, 64]]);
  });

  test('survive a damaged file beside them', async () => {
    keep({}, speed(0.064, '2026-02-01T00:00:00.000Z'));
    fs.writeFileSync(path.join(cache, 'speeds/onnx-0.json'), '{"format":1,"speeds":[');
    fs.writeFileSync(path.join(cache, 'speeds/onnx-1.json'), '{"format":1,"machine":7,"speeds":[]}');
    expect(await rates({ onnx: cpu })).toEqual([['lenet5', 32, 1000]]);
  });

  test('loads and writes nothing', async () => {
    await report({ onnx: cpu, webgpu: gpu });
    expect(fs.readdirSync(cache)).toEqual([]);
  });
});
