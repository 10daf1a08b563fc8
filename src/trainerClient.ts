/**
 * Starts a trainer in a child process to train or for another task (to measure, to estimate, to tell of engines or data, to
 * set TensorFlow up), passes its messages on, and stops it. The extension host and the terminal use the same client, so a
 * run behaves the same in both.
 */
import { ChildProcess, execFile, fork, ForkOptions } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import { roughDuration } from './core/estimates';
import { Message, message, UserError } from './core/messages/message';
import type { FromTrainer, Request, TaskEnd, TaskName, ToTrainer, Update } from './core/contracts/tasks';
import { protocolVersion } from './core/contracts/events';

export interface TrainerListener<T extends TaskName> {
  /** What the trainer is doing, for a status line. */
  onProgress?(message: Message): void;
  onUpdate?(update: Update<T>): void;
  /** A line of the trainer's standard output or error. */
  onLog?(line: string): void;
}

export interface TrainerOptions {
  /** The bundled trainer, dist/trainer.js. */
  readonly script: string;
  /** The Node to run it with; default: the one that runs this code, Electron's included. */
  readonly execPath?: string;
  /** Added to the child's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Leave the processor to other programs first; true in an editor. */
  readonly lowPriority?: boolean;
  /** How long a trainer may take to end once asked to stop, where it does not itself say that it needs longer; default 60 s. */
  readonly graceMs?: number;
}

/** How a trainer ended. A crash is told where the trainer could not say anything itself. */
export type TrainerEnd<T extends TaskName = TaskName> =
  TaskEnd<T> | { readonly kind: 'crashed'; readonly message: Message; readonly advice: Message };

/** A trainer at work. */
export interface Trainer<T extends TaskName = TaskName> {
  readonly pid: number | undefined;
  /** Settles when the process is gone; never rejects. */
  readonly ended: Promise<TrainerEnd<T>>;
  /** Asks the trainer to write a checkpoint and exit, and kills it after the grace time. Resolves when it is gone. */
  stop(): Promise<TrainerEnd<T>>;
  /**
   * Closes the channel, as the end of this process would: the trainer writes a checkpoint and exits by itself, and the
   * run may go on without asking. `ended` settles when it is gone, with 'stopped' whatever happens.
   */
  release(): void;
  /** Ends the process at once; nothing after the last checkpoint is kept. */
  kill(): void;
}

/** glibc returns large blocks to the system at once; keeping them spares a training step thousands of page faults. */
export const allocatorTunables =
  'glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1';

const helloTimeoutMs = 30_000;
const keptLogLines = 20;

/** The environment that a trainer runs in. */
export function trainerEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  // Electron behaves as plain Node only when told to; plain Node ignores the variable.
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    ELECTRON_RUN_AS_NODE: '1',
    // Said here too, so that it holds in every thread, whichever loads the library first.
    ORT_DISABLE_TELEMETRY: '1',
    ...extra,
  };
  if (process.platform === 'linux') {
    env['GLIBC_TUNABLES'] = [process.env['GLIBC_TUNABLES'], allocatorTunables].filter(Boolean).join(':');
  }
  return env;
}

/** Starts a trainer. Does not throw: a trainer that cannot be started ends as 'crashed' or 'failed'. */
export function startTask<T extends TaskName>(
  task: T,
  request: Request<T>,
  options: TrainerOptions,
  listener: TrainerListener<T> = {},
): Trainer<T> {
  if (!fs.existsSync(options.script)) {
    const end: TrainerEnd<T> = {
      kind: 'failed',
      message: message('trainerMissing', { file: options.script }),
      advice: message('trainerMissingAdvice'),
    };
    const ended = Promise.resolve(end);
    return { pid: undefined, ended, stop: () => ended, release: () => undefined, kill: () => undefined };
  }
  return new TrainerProcess(task, request, options, listener);
}

class TrainerProcess<T extends TaskName> implements Trainer<T> {
  readonly ended: Promise<TrainerEnd<T>>;
  private readonly child: ChildProcess;
  private readonly log: string[] = [];
  private hello = false;
  private killedByUs = false;
  private readonly started = performance.now();
  private stopAsked = false;
  /** How long it says that a stop can take. */
  private stopTakesMs = 0;
  private spawnError?: Error;
  /** The trainer's own last word. */
  private verdict?: TrainerEnd<T>;
  private killTimer?: NodeJS.Timeout;
  private settle!: (end: TrainerEnd<T>) => void;

  constructor(
    private readonly task: T,
    private readonly request: Request<T>,
    private readonly options: TrainerOptions,
    private readonly listener: TrainerListener<T>,
  ) {
    this.ended = new Promise((resolve) => (this.settle = resolve));
    this.child = fork(options.script, [], {
      execPath: options.execPath ?? process.execPath,
      execArgv: [],
      env: trainerEnvironment(options.env),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'json',
      // A window or terminal that is closed takes its process group, and on Windows its job, with it: the trainer writes a
      // checkpoint first, and ends by itself when the channel closes.
      detached: true,
      windowsHide: true,
    } as ForkOptions);
    this.child.on('error', (error) => {
      this.spawnError = error;
      if (this.child.pid === undefined) this.child.emit('close', null, null);
    });
    if (options.lowPriority && this.child.pid !== undefined) {
      try {
        // On Windows the lowest class runs only while nothing else does.
        const { PRIORITY_LOW, PRIORITY_BELOW_NORMAL } = os.constants.priority;
        os.setPriority(this.child.pid, process.platform === 'win32' ? PRIORITY_BELOW_NORMAL : PRIORITY_LOW);
      } catch {
        // Some systems forbid it; training then competes with the editor on equal terms.
      }
    }
    // There are none where the process could not be started for want of open files.
    if (this.child.stdout) this.readLines(this.child.stdout);
    if (this.child.stderr) this.readLines(this.child.stderr);
    const helloTimer = setTimeout(() => {
      this.verdict = {
        kind: 'crashed',
        message: message('trainerSilent', { seconds: helloTimeoutMs / 1000 }),
        advice: message('trainerCrashedAdvice'),
      };
      this.kill();
    }, helloTimeoutMs);
    this.child.on('message', (raw: FromTrainer<T>) => {
      clearTimeout(helloTimer);
      this.receive(raw);
    });
    // 'close' comes after the last line of output, unlike 'exit'.
    this.child.once('close', (code: number | null, signal: NodeJS.Signals | null) => {
      clearTimeout(helloTimer);
      clearTimeout(this.killTimer);
      this.settle(this.verdict ?? this.diagnose(code, signal));
    });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  stop(): Promise<TrainerEnd<T>> {
    // One that has not said hello has begun nothing that it could put in order.
    if (!this.hello) this.kill();
    else if (!this.stopAsked) {
      this.stopAsked = true;
      this.send({ type: 'stop' });
      this.waitForEnd();
    }
    return this.ended;
  }

  /** Kills the trainer where it takes longer to end than it may, which is told where that is long. */
  private waitForEnd(): void {
    const usual = this.options.graceMs ?? 60_000;
    const ms = Math.max(usual, this.stopTakesMs);
    if (ms > usual) this.listener.onProgress?.(message('stoppingTakes', { time: roughDuration(ms / 1000) }));
    clearTimeout(this.killTimer);
    this.killTimer = setTimeout(() => {
      if (this.task === 'train') {
        const advice = message('trainerCrashedAdvice');
        this.verdict = { kind: 'crashed', message: message('trainerStopTimedOut', { seconds: ms / 1000 }), advice };
      }
      this.kill();
    }, ms);
  }

  release(): void {
    this.verdict ??= { kind: 'stopped' };
    // Node does not tell of 'close' when this side has closed the channel.
    const { verdict } = this;
    this.child.once('exit', () => this.settle(verdict));
    if (this.child.connected) this.child.disconnect();
  }

  kill(): void {
    this.killedByUs = true;
    this.child.kill('SIGKILL');
  }

  private send(toTrainer: ToTrainer<T>): void {
    // A trainer that is already gone cannot be told anything; 'close' reports it.
    if (this.child.connected) this.child.send(toTrainer, () => undefined);
  }

  private receive(fromTrainer: FromTrainer<T>): void {
    switch (fromTrainer.type) {
      case 'hello':
        if (fromTrainer.protocol !== protocolVersion) {
          this.verdict = {
            kind: 'failed',
            message: message('trainerVersion', { theirs: fromTrainer.protocol, ours: protocolVersion }),
            advice: message('trainerVersionAdvice'),
          };
          this.kill();
        } else if (!this.hello) {
          this.hello = true;
          this.send({ type: 'begin', protocol: protocolVersion, task: this.task, request: this.request });
        }
        break;
      case 'progress':
        this.listener.onProgress?.(fromTrainer.message);
        break;
      case 'stopTakes':
        this.stopTakesMs = fromTrainer.seconds * 1000;
        if (this.stopAsked) this.waitForEnd();
        break;
      case 'update':
        this.listener.onUpdate?.(fromTrainer.update);
        break;
      case 'ended':
        this.verdict = fromTrainer.end;
        break;
    }
  }

  private diagnose(code: number | null, signal: NodeJS.Signals | null): TrainerEnd<T> {
    // A terminal's signal reaches a trainer as well, perhaps before it has begun to listen for it.
    const asked = signal === 'SIGINT' || signal === 'SIGTERM' || signal === 'SIGHUP';
    if (this.killedByUs || asked) return { kind: 'stopped' };
    if (this.spawnError) {
      const reason = this.spawnError.message;
      return {
        kind: 'crashed',
        message: message('trainerNotStarted', { reason }),
        advice: message(
          /EMFILE|ENFILE|EAGAIN/.test(reason) ? 'trainerNotStartedLimitAdvice' : 'trainerNotStartedAdvice',
        ),
      };
    }
    const how = signal ?? `exit status ${code}`;
    const training = this.task === 'train';
    const otherwise = message(this.task === 'setup' ? 'setupCrashedAdvice' : 'surveyCrashedAdvice');
    const timeAdvice = training ? message('trainerOutOfTimeAdvice') : otherwise;
    if (signal === 'SIGXCPU')
      return { kind: 'crashed', message: message('trainerOutOfTime', { how }), advice: timeAdvice };
    const seconds = signal === 'SIGKILL' ? processorSeconds() : undefined;
    // It may have used all of it if it lived so long on every processor.
    if (seconds !== undefined && ((performance.now() - this.started) / 1000) * os.cpus().length >= seconds) {
      return { kind: 'crashed', message: message('trainerOutOfTimeOrMemory', { how, seconds }), advice: timeAdvice };
    }
    if (signal === 'SIGKILL' && process.platform !== 'win32') {
      return {
        kind: 'crashed',
        message: message('trainerOutOfMemory', { how }),
        advice: training ? message('trainerOutOfMemoryAdvice') : otherwise,
      };
    }
    return {
      kind: 'crashed',
      message: message('trainerCrashed', { how, lines: this.log.join(' ⏎ ') || '–' }),
      advice: training ? message('trainerCrashedAdvice') : otherwise,
    };
  }

  private readLines(stream: NodeJS.ReadableStream): void {
    let rest = '';
    const emit = (line: string) => {
      if (!line.trim()) return;
      this.log.push(line);
      if (this.log.length > keptLogLines) this.log.shift();
      this.listener.onLog?.(line);
    };
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      lines.forEach(emit);
    });
    stream.on('end', () => emit(rest));
  }
}

/** The limit on processor time that a child inherits, in seconds, beyond which it is killed; undefined where none is known. */
function processorSeconds(): number | undefined {
  try {
    const limits = fs.readFileSync('/proc/self/limits', 'utf8');
    const hard = /^Max cpu time +\S+ +(\d+)/m.exec(limits)?.[1];
    return hard === undefined ? undefined : Number(hard);
  } catch {
    return undefined;
  }
}

/** What `convlab export` is asked for. Paths are absolute. */
export interface ExportRequest {
  readonly run: string;
  readonly format: 'onnx' | 'pth';
  readonly out: string;
}

/**
 * Writes the trained network of a run to a file, by the terminal's `convlab export` in a process of its own.
 * @param script the bundled terminal, dist/cli.js
 * @throws UserError that says why there is no file
 */
export function exportInProcess({ run, format, out }: ExportRequest, script: string): Promise<void> {
  // The editor has asked already whether a file that is there is to be replaced.
  const args = [script, 'export', run, '--format', format, '--out', out, '--force', '--json'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { env: trainerEnvironment() }, (error, stdout, stderr) => {
      if (!error) return resolve();
      try {
        const end = JSON.parse(stdout.trim()) as { message: Message; advice?: Message };
        reject(new UserError(end.message, end.advice));
      } catch {
        const how = stderr.trim().split('\n').at(-1) || (error.signal ?? `exit status ${error.code}`);
        reject(new UserError(message('exportCrashed', { how })));
      }
    });
  });
}

/** The sentence for a trainer that did not end well, as an error. */
export function endError(end: { readonly message: Message; readonly advice?: Message }): UserError {
  return new UserError(end.message, end.advice);
}
