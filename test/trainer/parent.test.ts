/** What becomes of a trainer whose parent, terminal or window goes away, and what it leaves on the machine and sends. */
import { buildSync } from 'esbuild';
import { ChildProcess, execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEvents, readHistory } from '../../src/disk/runs';
import { onlyRun, small, temporaryFolder } from './convlab';

let folder: string;
let children: ChildProcess[] = [];
beforeEach(() => (folder = temporaryFolder()));
afterEach(() => {
  children.forEach((child) => child.kill('SIGKILL'));
  children = [];
  fs.rmSync(folder, { recursive: true, force: true });
});

const cli = path.resolve('dist/cli.js');
const until = async (test: () => boolean): Promise<void> => {
  while (!test()) await new Promise((resolve) => setTimeout(resolve, 50));
};
const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // A process that has ended stays in the table until somebody asks how.
    return process.platform !== 'linux' || !/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

it('a trainer that hangs ends soon after its parent, and one that writes its checkpoint is given its time', async () => {
  const source = (seconds: number) => `
    import { allow, startWatchdog } from './src/trainer/watchdog';
    startWatchdog();
    allow(${seconds});
    // The worker is up when it has been given a turn; from then on there is none.
    setTimeout(() => { process.send!('hung'); setTimeout(() => { for (;;); }, 100); }, 1000);
    process.on('disconnect', () => undefined);`;
  const scripts = [1, 1000].map((seconds) => {
    const outfile = path.join(folder, `${seconds}.cjs`);
    const stdin = { contents: source(seconds), resolveDir: process.cwd(), loader: 'ts' as const };
    buildSync({ stdin, outfile, bundle: true, platform: 'node', format: 'cjs' });
    return outfile;
  });
  const parent = path.join(folder, 'parent.cjs');
  fs.writeFileSync(
    parent,
    `const { fork } = require('node:child_process');
    for (const script of ${JSON.stringify(scripts)}) {
      const child = fork(script, [], { detached: true });
      child.on('message', () => console.log(child.pid));
    }`,
  );
  const started = spawn(process.execPath, [parent], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(started);
  const pids: number[] = [];
  started.stdout.setEncoding('utf8').on('data', (text: string) => pids.push(...text.trim().split('\n').map(Number)));
  await until(() => pids.length === 2);
  try {
    process.kill(started.pid!, 'SIGKILL');
    await until(() => pids.some((pid) => !lives(pid)));
    expect(pids.filter(lives)).toHaveLength(1);
  } finally {
    pids.filter(lives).forEach((pid) => process.kill(pid, 'SIGKILL'));
  }
});

describe.skipIf(process.platform === 'win32')('a terminal that is closed', () => {
  it('hangs up on its whole process group: the run has its checkpoint and is let go of', async () => {
    const args = ['train', ...small, '--epochs', '1000', '--runs', folder, '--json'];
    const terminal = spawn(process.execPath, [cli, ...args], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    children.push(terminal);
    let out = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    await until(() => out.includes('"step"'));
    process.kill(-terminal.pid!, 'SIGHUP');
    await new Promise((resolve) => terminal.once('close', resolve));
    const run = onlyRun(folder);
    expect(readEvents(run).at(-1)).toMatchObject({ type: 'stopped' });
    expect(readHistory(run).latestStep).toBeDefined();
    expect(fs.existsSync(path.join(run, 'checkpoints', 'last.safetensors'))).toBe(true);
    expect(fs.existsSync(path.join(run, 'lock'))).toBe(false);
  });
});

describe('a training', () => {
  const home = () => path.join(folder, 'home');
  const train = (command: string, before: readonly string[]) => {
    fs.mkdirSync(home(), { recursive: true });
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      HOME: home(),
      USERPROFILE: home(),
      CONVLAB_CACHE: path.join(folder, 'cache'),
    };
    // Programs that tell tales keep quiet where this is set, and so would hide what a user has.
    for (const name of ['CI', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'ORT_DISABLE_TELEMETRY']) delete env[name];
    const args = [...before, cli, 'train', ...small, '--engine', 'onnx', '--runs', path.join(folder, 'runs')];
    execFileSync(command, args, { env, stdio: 'ignore' });
  };

  it('leaves nothing in the user’s folder', () => {
    train(process.execPath, []);
    expect(fs.readdirSync(home(), { recursive: true })).toEqual([]);
  });

  const strace = process.platform === 'linux' && fs.existsSync('/usr/bin/strace');
  it.skipIf(!strace)(
    'writes nowhere but in runs and cache, looks no name up and connects to nobody (needs strace)',
    () => {
      const log = path.join(folder, 'calls');
      train('/usr/bin/strace', ['-f', '-qq', '-e', 'trace=connect,openat', '-o', log, process.execPath]);
      const calls = fs.readFileSync(log, 'utf8').split('\n');
      expect(calls.length).toBeGreaterThan(100);
      expect(calls.filter((call) => /AF_INET|resolv\.conf/.test(call))).toEqual([]);
      const written = calls.flatMap((call) => /"([^"]+)", [A-Z_|]*O_(?:WRONLY|RDWR|CREAT)/.exec(call)?.[1] ?? []);
      const own = ['runs', 'cache'].map((name) => path.join(folder, name) + path.sep);
      expect(written.some((file) => file.startsWith(own[0]!))).toBe(true);
      expect(written.filter((file) => ![...own, '/dev/', '/proc/'].some((place) => file.startsWith(place)))).toEqual(
        [],
      );
    },
  );
});
