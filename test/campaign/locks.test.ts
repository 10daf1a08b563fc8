/** Processes that race for one lock, die holding it, and are stopped for longer than it lasts: never do two hold it. */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { buildSync } from 'esbuild';
import { expect, it } from 'vitest';
import { seed, sized } from './size';

const namespaces = process.platform === 'linux' && spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0;

it.each([
  ['of one system, mortal', false, 3_000, 60_000],
  ['of several process-id namespaces, as containers beside their host', true, 2_000, 40_000],
])('racing processes %s', async (_, contained, short, whole) => {
  // Some systems let only root make a namespace; without one there is nothing to be seen.
  if (contained && !namespaces) return console.log('campaign: locks: no process-id namespaces here, skipped');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-race-'));
  try {
    const script = path.join(folder, 'racer.cjs');
    buildSync({
      entryPoints: ['test/campaign/racer.ts'],
      bundle: true,
      platform: 'node',
      logLevel: 'error',
      outfile: script,
    });
    const [racers, wanted, log] = [4, sized(short, whole), path.join(folder, 'log')];
    const race = (own: number, life = 0): Promise<void> =>
      new Promise((resolve, reject) => {
        // One of them in the host's own namespace. In others a holder that dies would be waited for ten minutes.
        const apart = contained && own > 0;
        const files = [path.join(folder, 'lock'), path.join(folder, 'mark'), log];
        const numbers = [String(Math.round(wanted * 1.06)), String(seed + 100 * own + 10_000 * life)];
        const args = [script, ...files, ...numbers, contained ? 'immortal' : 'mortal'];
        const child = apart
          ? spawn('unshare', ['--pid', '--fork', '--mount-proc', process.execPath, ...args], {
              stdio: ['ignore', 'ignore', 'inherit'],
            })
          : spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
        child.on('close', (code, signal) => {
          if (code === 0) resolve();
          else if (signal === 'SIGKILL') resolve(race(own, life + 1));
          else reject(new Error(`racer ${own} ends with ${signal ?? code}`));
        });
      });
    await Promise.all(Array.from({ length: racers }, (_, own) => race(own)));
    const text = fs.readFileSync(log, 'utf8');
    const count = (sign: string) => text.split(sign).length - 1;
    const [acquisitions, overlaps] = [count('.'), count('!')];
    const report = { seed, acquisitions, overlaps, stops: count('z'), deaths: count('x'), lost: count('l') };
    console.log(`campaign: locks${contained ? ' across namespaces' : ''}: ${JSON.stringify(report)}`);
    expect(acquisitions).toBeGreaterThanOrEqual(wanted);
    expect(report.stops).toBeGreaterThan(0);
    // Those that were stopped for so long are seen to lose it to another namespace, and to notice.
    if (contained) expect(report.lost).toBeGreaterThan(0);
    else expect(report.deaths).toBeGreaterThan(0);
    expect(overlaps).toBe(0);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});
