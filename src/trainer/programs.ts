/**
 * Programs of the machine that setting TensorFlow up needs: where one is, and running it to its end within a time, with
 * its output, until somebody cancels. Used by tensorflow/ and by engines/tfjs/.
 */
import { execFile, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/**
 * Absolute path of the first of these programs on the PATH, or undefined. Relative entries of the PATH are passed over,
 * and so is the current folder, which Windows would search first: nothing that lies in a workspace is ever run.
 */
export function findProgram(...names: readonly string[]): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  const endings = process.platform === 'win32' ? ['.exe', '.cmd'] : [''];
  for (const name of names) {
    for (const file of folders.flatMap((folder) => endings.map((ending) => join(folder, name + ending)))) {
      if (isProgram(file)) return file;
    }
  }
  return undefined;
}

export function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

export interface ProgramOptions {
  /** Where it runs; never the folder that the user works in. */
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  readonly timeoutMs: number;
  /** Asked every second; true ends the program as if its time were up. */
  readonly stalled?: () => boolean;
}

export interface ProgramEnd {
  /** Exit status, the signal that ended it, or 'timeout'. */
  readonly status: number | NodeJS.Signals | 'timeout';
  readonly out: string;
  /** Its standard error. */
  readonly log: string;
}

/**
 * Runs a program without input, and ends it and all that it started when its time is up or `signal` is aborted.
 * @throws the signal's reason when it is aborted, or the system's error when the program cannot be started
 */
export async function runProgram(
  file: string,
  args: readonly string[],
  { cwd, env = process.env, signal, timeoutMs, stalled }: ProgramOptions,
): Promise<ProgramEnd> {
  signal?.throwIfAborted();
  // Node starts batch files, such as npm's, only through a shell; then the path must be quoted, the arguments are ours.
  const shell = file.endsWith('.cmd');
  const child = spawn(shell ? `"${file}"` : file, [...args], {
    cwd,
    env,
    shell,
    // A group of its own, which can be ended as a whole.
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
  });
  let [out, log] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log += chunk));
  const end = () => {
    if (child.pid === undefined) return;
    if (process.platform === 'win32') {
      // By its whole name: Windows looks for a bare one in the current folder first.
      const taskkill = join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32', 'taskkill.exe');
      execFile(taskkill, ['/pid', String(child.pid), '/T', '/F'], { windowsHide: true }, () => child.kill());
      return;
    }
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has just ended by itself.
    }
  };
  let timedOut = false;
  const timeUp = () => ((timedOut = true), end());
  const timer = setTimeout(timeUp, timeoutMs);
  const watch = stalled && setInterval(() => stalled() && timeUp(), 1000);
  signal?.addEventListener('abort', end);
  try {
    const status = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, by) => resolve(code ?? by!));
    });
    signal?.throwIfAborted();
    return { status: timedOut ? 'timeout' : status, out, log };
  } finally {
    clearTimeout(timer);
    clearInterval(watch);
    signal?.removeEventListener('abort', end);
  }
}
