import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { buildSync } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Identity, liveHolder, Lock, LockLost } from '../../src/disk/lock';

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-lock-'));
  file = path.join(folder, 'lock');
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const boot = () => {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return `minute ${Math.round((Date.now() - os.uptime() * 1000) / 60_000)}`;
  }
};
const here = (): Identity => ({
  pid: process.pid,
  host: os.hostname(),
  boot: boot(),
  pidNamespace: fs.existsSync('/proc/self/ns/pid') ? fs.readlinkSync('/proc/self/ns/pid') : '',
});

/** Moves a lock's last heartbeat into the past. */
function silence(minutes: number): void {
  const then = new Date(Date.now() - minutes * 60_000);
  fs.utimesSync(file, then, then);
}

/** A process id that is no longer anybody's. */
const dead = (): number => spawnSync(process.execPath, ['-e', '']).pid;

describe('a lock', () => {
  it('is taken once, released by its owner, and leaves nothing behind', () => {
    const lock = Lock.take(file)!;
    expect(liveHolder(file)).toEqual({ pid: process.pid, host: os.hostname() });
    expect(Lock.take(file)).toBeUndefined();
    lock.release();
    expect(liveHolder(file)).toBeUndefined();
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it('of a process that is dead passes on, and its former owner can neither write nor release it', () => {
    const former = Lock.take(file, { ...here(), pid: dead() })!;
    const successor = Lock.take(file)!;
    expect(() => former.check()).toThrow(LockLost);
    former.release();
    expect(() => successor.check()).not.toThrow();
    expect(fs.readdirSync(folder)).toEqual(['lock']);
    successor.release();
  });

  it('of a living process here is never taken, however long it was stopped', () => {
    const lock = Lock.take(file)!;
    silence(24 * 60);
    expect(Lock.take(file)).toBeUndefined();
    lock.release();
  });

  it.runIf(process.platform === 'linux')('of a later process with the same number is free', () => {
    const lock = Lock.take(file)!;
    const holder = JSON.parse(fs.readFileSync(file, 'utf8')) as { began: string };
    fs.writeFileSync(file, JSON.stringify({ ...holder, began: String(Number(holder.began) - 1) }));
    expect(liveHolder(file)).toBeUndefined();
    lock.release();
  });

  it.runIf(process.platform === 'linux')('of a zombie is free', async () => {
    // What the shell becomes waits for no child, so the one that ends stays a zombie.
    const parent = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 30'], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const zombie = await new Promise<number>((resolve) => parent.stdout.on('data', (text) => resolve(Number(text))));
      while (!/\) Z /.test(fs.readFileSync(`/proc/${zombie}/stat`, 'utf8'))) await new Promise((r) => setTimeout(r, 5));
      const lock = Lock.take(file, { ...here(), pid: zombie })!;
      expect(liveHolder(file)).toBeUndefined();
      lock.release();
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it.each([
    ['another machine', { host: 'elsewhere', boot: 'another', pidNamespace: 'pid:[1]' }],
    ['a container of this machine', { host: 'elsewhere', pidNamespace: 'pid:[1]' }],
  ])('of %s is held while its heartbeat goes on, whatever its process id says here', (_, other) => {
    const lock = Lock.take(file, { ...here(), pid: dead(), ...other })!;
    silence(9);
    expect(Lock.take(file)).toBeUndefined();
    silence(11);
    const successor = Lock.take(file)!;
    // Whoever was only stopped finds out before it writes.
    expect(() => lock.check()).toThrow(LockLost);
    lock.release();
    successor.release();
  });

  it('of this machine before it was started anew is free after a minute', () => {
    const lock = Lock.take(file, { ...here(), boot: 'an earlier one' })!;
    expect(Lock.take(file)).toBeUndefined();
    silence(2);
    const successor = Lock.take(file)!;
    expect(() => lock.check()).toThrow(LockLost);
    lock.release();
    successor.release();
  });

  it('that was cleared away is made again by its owner, unless somebody has it', () => {
    const lock = Lock.take(file)!;
    fs.rmSync(file);
    lock.check();
    expect(liveHolder(file)?.pid).toBe(process.pid);
    fs.rmSync(file);
    const other = Lock.take(file)!;
    expect(() => lock.check()).toThrow(LockLost);
    lock.release();
    other.release();
  });

  it('of an earlier version, a bare process id, is understood', () => {
    fs.writeFileSync(file, String(process.pid));
    expect(Lock.take(file)).toBeUndefined();
    fs.writeFileSync(file, String(dead()));
    Lock.take(file)!.release();
  });

  it('passes to one successor only, though a claim was left by one that died taking over', () => {
    const first = Lock.take(file, { ...here(), pid: dead() })!;
    const { token } = JSON.parse(fs.readFileSync(file, 'utf8')) as { token: string };
    const second = Lock.take(path.join(folder, 'other'), { ...here(), pid: dead() })!;
    fs.renameSync(path.join(folder, 'other'), `${file}.${token}.next`);
    const lock = Lock.take(file)!;
    expect(() => lock.check()).not.toThrow();
    expect(fs.readdirSync(folder)).toEqual(['lock']);
    [first, second, lock].forEach((each) => each.release());
  });
});

it('is held by one process at a time when several race for it and die holding it', async () => {
  const script = path.join(folder, 'racer.cjs');
  const racer = `
    import * as fs from 'node:fs';
    import { Lock } from './src/disk/lock';
    const [file, mark, log] = process.argv.slice(2);
    for (let taken = 0; taken < 150;) {
      const lock = Lock.take(file);
      if (!lock) continue;
      lock.check();
      taken++;
      let overlap = '';
      try { fs.mkdirSync(mark); } catch { overlap = '!'; }
      fs.appendFileSync(log, '.' + overlap);
      if (!overlap) fs.rmdirSync(mark);
      if (Math.random() < 0.02) process.kill(process.pid, 'SIGKILL');
      lock.release();
    }`;
  buildSync({
    stdin: { contents: racer, resolveDir: path.resolve('.'), loader: 'ts' },
    bundle: true,
    platform: 'node',
    logLevel: 'error',
    outfile: script,
  });
  const log = path.join(folder, 'log');
  const race = () =>
    new Promise<void>((resolve) => {
      const child = spawn(process.execPath, [script, file, path.join(folder, 'mark'), log], { stdio: 'ignore' });
      child.on('close', (code) => (code === 0 ? resolve() : resolve(race())));
    });
  await Promise.all([race(), race(), race()]);
  const taken = fs.readFileSync(log, 'utf8');
  expect(taken).not.toContain('!');
  // Each of three racers ends after 150 in one life.
  expect(taken.length).toBeGreaterThanOrEqual(450);
});
