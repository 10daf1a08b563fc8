/**
 * Runs on disk: making a run's folder, its lock, its append-only events, and reading and listing runs. The trainer
 * writes through {@link RunFolder}; the extension and the terminal read. Whatever happens to a process, what was
 * written stays readable.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { compared, ComparedRun } from '../core/comparison';
import { parseResolved, ResolvedExperiment } from '../core/experiment';
import { History, RunState } from '../core/history';
import { message, UserError } from '../core/messages/message';
import { diskError, makeFolder, writeAtomically } from './files';
import { readJson, readJsonLines } from './json';
import { liveHolder, Lock, LockLost } from './lock';
import type { FinishedEvent, RunEvent, WeightsStart } from '../core/contracts/events';

/** run.json: what is fixed for the whole run. */
export interface RunRecord {
  readonly format: 1;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly convlab: string;
  readonly experiment: ResolvedExperiment;
  /** What its weights started from, where not from scratch. */
  readonly start?: WeightsStart;
}

export const eventsFile = 'metrics.jsonl';
const recordFile = 'run.json';
const resultFile = 'result.json';
const lockFile = 'lock';
export const checkpointsFolder = 'checkpoints';

/** What stood in a run's folder beside a checkpoint when that was written; SHA-256 in hexadecimal digits. */
export interface Beside {
  /** Of the experiment in run.json, as it stands there. */
  readonly experiment: string;
  /** Of the first bytes of the events' file. */
  readonly events: { readonly bytes: number; readonly sha256: string };
}

/** A run as its owner, the trainer, holds it: locked, with its event file open for appending. */
export class RunFolder {
  private readonly events: number;
  /** Of everything in the events' file, and how many bytes that is. */
  private readonly eventsHash = createHash('sha256');
  private eventsBytes = 0;
  private readonly experimentHash: string;

  private constructor(
    readonly folder: string,
    readonly record: RunRecord,
    private readonly lock: Lock,
  ) {
    try {
      this.events = fs.openSync(path.join(folder, eventsFile), 'a');
      // A process that was killed in the middle of a line leaves a torn one; the next line must not join it.
      if (!endsInNewline(path.join(folder, eventsFile))) fs.writeSync(this.events, '\n');
      this.eventsBytes = hashFile(path.join(folder, eventsFile), this.eventsHash);
      this.experimentHash = experimentDigest(folder);
    } catch (error) {
      lock.release();
      throw diskError(folder, error);
    }
  }

  /**
   * Makes a new run `<time>-<experiment>` in `runsFolder`, which is made as needed and ignores itself for git.
   * @throws UserError where the folder cannot be written
   */
  static create(
    runsFolder: string,
    experiment: ResolvedExperiment,
    version: string,
    start?: WeightsStart,
    now = new Date(),
  ): RunFolder {
    const record: RunRecord = { format: 1, created: now.toISOString(), convlab: version, experiment, start };
    const stem = `${now.toISOString().slice(0, 19).replaceAll('-', '').replaceAll(':', '').replace('T', '-')}-${experiment.id}`;
    try {
      makeFolder(runsFolder);
      const ignore = path.join(path.dirname(runsFolder), '.gitignore');
      if (path.basename(path.dirname(runsFolder)) === '.convlab' && !fs.existsSync(ignore))
        fs.writeFileSync(ignore, '*\n');
      for (let copy = 1; ; copy++) {
        const folder = path.join(runsFolder, copy === 1 ? stem : `${stem}-${copy}`);
        try {
          // Two runs may start in the same second: the folder goes to whoever makes it.
          fs.mkdirSync(folder);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
          throw error;
        }
        try {
          const lock = takeLock(folder);
          fs.mkdirSync(path.join(folder, checkpointsFolder));
          writeAtomically(path.join(folder, recordFile), JSON.stringify(record, undefined, 1));
          return new RunFolder(folder, record, lock);
        } catch (error) {
          // A full disk at the very start: what is there is no run, and nobody is told to resume it.
          fs.rmSync(folder, { recursive: true, force: true });
          throw error;
        }
      }
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw diskError(runsFolder, error);
    }
  }

  /** Takes hold of a run that stands still. @throws UserError when there is none, it is unreadable, or it is locked */
  static open(folder: string): RunFolder {
    const record = readRecord(folder);
    return new RunFolder(folder, record, takeLock(folder));
  }

  /** Appends events, each as one line, before anybody is told of them. @throws UserError on a full disk */
  append(events: readonly RunEvent[]): void {
    this.check();
    try {
      const lines = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
      fs.writeSync(this.events, lines);
      this.eventsHash.update(lines);
      this.eventsBytes += lines.length;
    } catch (error) {
      throw diskError(this.folder, error);
    }
  }

  /** For a checkpoint, so that whoever goes on from it knows whether what stands beside it is still the same. */
  beside(): Beside {
    const events = { bytes: this.eventsBytes, sha256: this.eventsHash.copy().digest('hex') };
    return { experiment: this.experimentHash, events };
  }

  /** What is no longer as it stood beside a checkpoint. */
  changedSince({ experiment, events }: Beside): { experiment: boolean; events: boolean } {
    const hash = createHash('sha256');
    const bytes = hashFile(path.join(this.folder, eventsFile), hash, events.bytes);
    return {
      experiment: experiment !== this.experimentHash,
      events: bytes !== events.bytes || hash.digest('hex') !== events.sha256,
    };
  }

  /** Writes result.json: the final figures, for other programs to read. */
  writeResult(result: FinishedEvent): void {
    this.check();
    try {
      writeAtomically(path.join(this.folder, resultFile), JSON.stringify(result, undefined, 1));
    } catch (error) {
      throw diskError(this.folder, error);
    }
  }

  /**
   * Called before everything that is written to the run, its checkpoints included.
   * @throws UserError where another process has taken the run over; nothing more may be written then
   */
  check(): void {
    try {
      this.lock.check();
    } catch (error) {
      if (!(error instanceof LockLost)) throw diskError(this.folder, error);
      throw new UserError(message('runLost', { run: path.basename(this.folder) }), message('runLostAdvice'));
    }
  }

  close(): void {
    fs.closeSync(this.events);
    this.lock.release();
  }
}

/** Of the experiment as run.json has it: not as it is read, which later versions may do with other defaults. */
function experimentDigest(folder: string): string {
  const { experiment } = readJson(path.join(folder, recordFile)) as { experiment?: unknown };
  return createHash('sha256').update(JSON.stringify(experiment)).digest('hex');
}

/** Hashes a file's first bytes. @returns how many there were */
function hashFile(file: string, hash: ReturnType<typeof createHash>, most = Infinity): number {
  const descriptor = fs.openSync(file, 'r');
  try {
    const part = Buffer.allocUnsafe(2 ** 16);
    let done = 0;
    while (done < most) {
      const read = fs.readSync(descriptor, part, 0, Math.min(part.length, most - done), done);
      if (read === 0) break;
      hash.update(part.subarray(0, read));
      done += read;
    }
    return done;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** @throws UserError where another process holds the run */
function takeLock(folder: string): Lock {
  let lock: Lock | undefined;
  try {
    lock = Lock.take(path.join(folder, lockFile));
  } catch (error) {
    throw diskError(folder, error);
  }
  if (lock) return lock;
  const holder = liveHolder(path.join(folder, lockFile));
  const run = path.basename(folder);
  const { pid = '?', host = os.hostname() } = holder ?? {};
  const elsewhere = host !== os.hostname();
  throw new UserError(
    elsewhere ? message('runBusyElsewhere', { run, pid, host }) : message('runBusy', { run, pid }),
    message('runBusyAdvice'),
  );
}

/** The process id of the trainer at work on a run, wherever it runs; undefined where there is none. */
export const lockHolder = (folder: string): number | undefined => liveHolder(path.join(folder, lockFile))?.pid;

/** Reads run.json. @throws UserError */
export function readRecord(folder: string): RunRecord {
  const file = path.join(folder, recordFile);
  let value: { format?: unknown; created?: unknown; convlab?: unknown; experiment?: unknown; start?: unknown };
  try {
    value = readJson(file) as typeof value;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new UserError(message('runNotFound', { folder }));
    const reason = error instanceof UserError ? error.userMessage : (error as Error).message;
    throw new UserError(message('runUnreadable', { folder, reason }));
  }
  if (value.format !== 1) {
    throw new UserError(message('runUnreadable', { folder, reason: `format ${String(value.format)}` }));
  }
  return {
    format: 1,
    created: String(value.created),
    convlab: String(value.convlab),
    experiment: parseResolved(value.experiment, file),
    ...(value.start !== undefined && { start: value.start as WeightsStart }),
  };
}

/**
 * The events of a run, in order. Lines that are torn or not events are passed over.
 * @throws UserError where the file cannot be read or is beyond all bounds
 */
export function readEvents(folder: string): RunEvent[] {
  try {
    return (readJsonLines(path.join(folder, eventsFile)) as (RunEvent | null)[]).filter(
      (value): value is RunEvent => typeof value?.type === 'string',
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    const reason = error instanceof UserError ? error.userMessage : (error as Error).message;
    throw new UserError(message('runUnreadable', { folder: path.join(folder, eventsFile), reason }));
  }
}

/** A run's events folded. */
export function readHistory(folder: string): History {
  const history = new History();
  for (const event of readEvents(folder)) history.apply(event);
  return history;
}

/** A line of the run list. */
export interface RunSummary {
  /** Absolute path. */
  readonly folder: string;
  /** The folder's name, which identifies the run among its neighbours. */
  readonly name: string;
  readonly record: RunRecord;
  readonly state: RunState;
  readonly testAccuracy?: number;
  /** False where `testAccuracy` is that of the validation set, because the experiment has no test set. */
  readonly testedOnTestSet?: boolean;
  readonly bestValidationAccuracy?: number;
  readonly epochsDone: number;
  /** Whether its editor went away in mid-run, so that it may go on without asking. */
  readonly editorGone: boolean;
}

/** Every readable run of a runs folder, newest first; anything else in the folder is passed over. */
export function listRuns(runsFolder: string): RunSummary[] {
  let names: string[];
  try {
    names = fs.readdirSync(runsFolder);
  } catch {
    return [];
  }
  const runs: RunSummary[] = [];
  for (const name of names.sort().reverse()) {
    const folder = path.join(runsFolder, name);
    try {
      runs.push(summarize(folder));
    } catch {
      // Not a run, or one that cannot be read: opening it by name tells why.
    }
  }
  return runs;
}

/** What the run list shows of one run. @throws UserError where it cannot be read */
export function summarize(folder: string): RunSummary {
  return summaryOf(folder, readRecord(folder), readHistory(folder), lockHolder(folder) !== undefined);
}

/** @param alive whether a trainer is at work on the run */
export function summaryOf(folder: string, record: RunRecord, history: History, alive: boolean): RunSummary {
  return {
    folder,
    name: path.basename(folder),
    record,
    state: history.state(alive),
    testAccuracy: history.finished?.testAccuracy,
    testedOnTestSet: history.finished?.testedOnTestSet,
    bestValidationAccuracy: history.bestEpoch?.validationAccuracy,
    epochsDone: history.epochs.length,
    editorGone: history.stopReason === 'editorGone',
  };
}

/** A run as a comparison shows it. @throws UserError where it cannot be read */
export function comparedRun({ folder, name, record, state }: RunSummary): ComparedRun {
  return compared(name, record.created, record.experiment, readHistory(folder), state);
}

function endsInNewline(file: string): boolean {
  const descriptor = fs.openSync(file, 'r');
  try {
    const { size } = fs.fstatSync(descriptor);
    if (size === 0) return true;
    const last = Buffer.alloc(1);
    fs.readSync(descriptor, last, 0, 1, size - 1);
    return last[0] === 0x0a;
  } finally {
    fs.closeSync(descriptor);
  }
}
