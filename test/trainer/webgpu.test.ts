/** The trainer on WebGPU, where CONVLAB_WEBGPU names the adapter that must be there (see test/engines/webgpu.test.ts). */
import * as fs from 'node:fs';
import { expect, it } from 'vitest';
import { convlab, temporaryFolder } from './convlab';

const adapter = process.env['CONVLAB_WEBGPU'];

it('trains on WebGPU, and names engine and adapter', async (context) => {
  if (adapter === undefined) return context.skip('CONVLAB_WEBGPU does not name an adapter');
  const runs = temporaryFolder();
  try {
    const args = 'train lenet5-mnist --engine webgpu --limit 200 --epochs 1 --json --runs'.split(' ');
    const { status, events, error } = await convlab([...args, runs]);
    expect(error).toBe('');
    expect(status).toBe(0);
    const started = events[0]!;
    if (started.type !== 'started') throw new Error(`began with ${started.type}`);
    expect(started.engine).toBe('webgpu');
    expect(started.device).toContain(adapter);
    expect(started.engineReasons.map((reason) => reason.id)).toEqual(['engineChosenAsked']);
    expect(started.versions).toMatchObject({ webgpu: '0.6.2', '@tensorflow/tfjs-backend-webgpu': '4.22.0' });
    const epoch = events.find((event) => event.type === 'epoch');
    // Four steps from ln 10: it has moved, and not away.
    expect(epoch?.trainLoss).toBeGreaterThan(1.5);
    expect(epoch?.trainLoss).toBeLessThan(2.4);
    expect(events.at(-1)!.type).toBe('finished');
  } finally {
    fs.rmSync(runs, { recursive: true });
  }
});

it('lists WebGPU among the engines', async () => {
  const { out } = await convlab(['engines', '--json']);
  const engines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { engine: string; usable: boolean; device?: { name: string } });
  const webgpu = engines.find(({ engine }) => engine === 'webgpu');
  if (adapter === undefined) expect(typeof webgpu?.usable).toBe('boolean');
  else expect(webgpu?.device?.name).toContain(adapter);
});
