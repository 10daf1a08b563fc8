/** The terminal program as a process: signals at any moment, outputs that cannot be written, and words that are hostile. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEvents } from '../../src/disk/runs';
import { convlab, onlyRun, small, temporaryFolder } from './convlab';

let runs: string;
beforeEach(() => (runs = temporaryFolder()));
afterEach(() => fs.rmSync(runs, { recursive: true, force: true }));

/** Far longer than a test may take: whoever does not hear the signal is found out. */
const long = ['train', 'lenet5-mnist', '--epochs', '1000', '--threads', '1'];
const finished = (folder: string) =>
  fs.existsSync(folder) &&
  fs.readdirSync(folder).some((run) => readEvents(path.join(folder, run)).some(({ type }) => type === 'finished'));

describe.skipIf(process.platform === 'win32')('a signal', () => {
  // From the first words of the process to well into training: the estimate, the start of the trainer, its first steps.
  it.each([
    ['SIGINT', 300],
    ['SIGTERM', 500],
    ['SIGINT', 700],
    ['SIGTERM', 1000],
    ['SIGINT', 1500],
  ] as const)('is heard whenever it comes: %s after %i ms', async (signal, ms) => {
    const quick = ['train', ...small, '--preset', 'quick', '--runs', runs];
    const { status, out, error } = await convlab(quick.concat('--epochs', '1000'), undefined, {
      onStart: (kill) => setTimeout(() => kill(signal), ms),
    });
    expect(error).toBe('');
    expect(finished(runs)).toBe(false);
    // Before the program has begun, on a machine that is busy, the signal ends it as it ends any.
    if (status === null) return expect([out, fs.readdirSync(runs)]).toEqual(['', []]);
    expect(status).toBe(130);
    // It names a run to go on with where there is one, and none where there is none.
    const [run] = fs.existsSync(runs) ? fs.readdirSync(runs) : [];
    if (run === undefined) expect(out).toMatch(/^Stopped before the run began; nothing was trained\.$/m);
    else
      expect(out).toMatch(new RegExp(`^Stopped\\. Continue with: node \\S*cli\\.js train --resume \\S*${run}$`, 'm'));
  });

  it('that comes twice at once, to the whole group, still writes a checkpoint', async () => {
    let sent = false;
    const { status, error } = await convlab(
      [...long, '--runs', runs, '--json'],
      (event, kill) => {
        if (event.type !== 'step' || sent) return;
        sent = true;
        kill('SIGINT');
        kill('SIGINT');
      },
      { detached: true },
    );
    expect([status, error]).toEqual([130, '']);
    expect(readEvents(onlyRun(runs)).at(-1)).toMatchObject({ type: 'stopped', reason: 'user' });
    expect(fs.readdirSync(path.join(onlyRun(runs), 'checkpoints'))).not.toEqual([]);
  });

  it.each([150, 250, 350, 450])('to the whole group while the trainer starts is no crash (%i ms)', async (ms) => {
    // A run that goes on has no estimate before: the trainer is started at once.
    const { error, out } = await convlab([...long, '--runs', runs, '--json'], undefined, {
      detached: true,
      onStart: (kill) => setTimeout(() => kill('SIGINT'), ms),
    });
    expect(error).toBe('');
    expect(out).not.toContain('"failed"');
  });
});

describe('an output that cannot be written', () => {
  const full = '/dev/full';
  it.skipIf(!fs.existsSync(full))('is told in one sentence, and nothing is trained for nobody', async () => {
    for (const args of [['list'], [...long, '--runs', runs]]) {
      const stdout = fs.openSync(full, 'w');
      const { status, error } = await convlab(args, undefined, { stdout });
      fs.closeSync(stdout);
      expect([status, error]).toEqual([
        1,
        expect.stringMatching(/^Error: The output could not be written: ENOSPC.*\n$/),
      ]);
    }
    expect(finished(runs)).toBe(false);
  });

  it('for which the reader has gone away is quiet, and no success', async () => {
    const { status, error } = await new Promise<{ status: number | null; error: string }>((resolve) => {
      const child = spawn(process.execPath, [path.resolve('dist/cli.js'), ...long, '--runs', runs, '--json']);
      let error = '';
      child.stderr.on('data', (chunk) => (error += chunk));
      child.stdout.once('data', () => child.stdout.destroy());
      child.on('exit', (status) => resolve({ status, error }));
    });
    expect([status, error]).toEqual([130, '']);
    // What was trained is kept.
    expect(readEvents(onlyRun(runs)).at(-1)).toMatchObject({ type: 'stopped' });
  });
});

describe('words that are not ours', () => {
  const escape = '\u001b]0;owned\u0007\u001b[31m';

  it('steer no terminal: unknown options, settings and names', async () => {
    for (const args of [
      ['list', `--${escape}`],
      [`tr${escape}`],
      ['train', `lenet${escape}`],
      ['train', 'lenet5-mnist', '--set', `${escape}=1`],
      ['train', '--resume', `x${escape}\nError: forged`],
    ]) {
      const { error, out } = await convlab([...args]);
      expect(error).not.toBe('');

      expect(out + error).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|^Error: forged/m);
    }
  });

  it('stay what they are in JSON', async () => {
    await convlab(['train', ...small, '--epochs', '1', '--runs', runs]);
    const file = path.join(onlyRun(runs), 'run.json');
    const record = JSON.parse(fs.readFileSync(file, 'utf8')) as { experiment: { title: string } };
    record.experiment.title = `x${escape}\u009b31m\u202ey`;
    fs.writeFileSync(file, JSON.stringify(record));
    const json = await convlab(['compare', '--runs', runs, '--json']);
    expect(json.out).not.toMatch(/[\u007f-\u009f\u202e]/);
    expect(JSON.stringify(JSON.parse(json.out))).toContain(JSON.stringify(record.experiment.title).slice(1, -1));
    const person = await convlab(['compare', '--runs', runs]);

    expect(person.out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });
});

it.each(['--runs', '--resume', '--data', '--start'])('%s takes no empty word', async (option) => {
  const { status, error } = await convlab(['train', 'lenet5-mnist', option, '']);
  expect([status, error]).toEqual([
    2,
    expect.stringContaining(`The option ${option} takes something that is not empty`),
  ]);
});

it.skipIf(process.platform === 'win32')('says that the working folder is gone', async () => {
  const gone = path.join(runs, 'gone');
  fs.mkdirSync(gone);
  const script = `cd "${gone}" && rmdir "${gone}" && exec "${process.execPath}" "${path.resolve('dist/cli.js')}" list`;
  const { status, error } = await new Promise<{ status: number | null; error: string }>((resolve) => {
    const child = spawn('/bin/sh', ['-c', script], { env: { ...process.env, LC_ALL: 'C.UTF-8' } });
    let error = '';
    child.stderr.on('data', (chunk) => (error += chunk));
    child.on('close', (status) => resolve({ status, error }));
  });
  expect([status, error]).toEqual([
    1,
    'Error: The folder that this was started in no longer exists. Change to another folder and start again.\n',
  ]);
});

it('resolves paths where the user stands when npm runs it, and names the command as they call it', async () => {
  const sub = path.join(runs, 'a folder');
  fs.mkdirSync(sub);
  const env = { npm_package_name: 'convlab', npm_lifecycle_event: 'convlab', INIT_CWD: sub };
  let stopped = false;
  const { status, out } = await convlab([...long, '--runs', 'my runs'], undefined, {
    env,
    onText: (text, kill) => {
      if (stopped || !text.includes('Run:')) return;
      stopped = true;
      kill();
    },
  });
  expect(status).toBe(130);
  const run = path.basename(onlyRun(path.join(sub, 'my runs')));
  expect(out).toContain(`Stopped. Continue with: npm run convlab -- train --resume 'my runs/${run}'\n`);
});
