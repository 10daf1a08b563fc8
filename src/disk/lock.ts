/**
 * Locks as files: who holds a run, or a download that is under way. A lock names its holder by a random token, host, boot,
 * process and the time that process began; it appears whole (by link), is renewed by a heartbeat, passes from a dead holder
 * to exactly one successor, and is released by its owner alone. runs.ts and download.ts take them.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

/** Who holds a lock, as its file says it. */
export interface Holder {
  readonly token: string;
  readonly pid: number;
  readonly host: string;
  /** Of the system's start: two processes of one boot can tell whether the other lives. */
  readonly boot: string;
  /** Containers of one machine number their processes by themselves; '' where there is no such thing. */
  readonly pidNamespace: string;
  /** When the process began, as the system counts it; a later process of the same number has another. */
  readonly began?: string;
}

/** The lock is another's: whoever held it was taken for dead, or the file was removed. */
export class LockLost extends Error {}

const heartbeatMs = 10_000;
/** A holder that cannot be asked (another machine or container) is taken for dead after this long without a heartbeat. */
const silentMs = 10 * 60_000;
/** One of this machine before its last start. A clock may be off by a little; a heartbeat may be late. */
const rebootedMs = 6 * heartbeatMs;
/** Earlier versions wrote only a process id, and held that for five minutes. */
const formerExpiryMs = 5 * 60_000;
/** On a file system without links, a lock is empty for a moment. */
const writingMs = 10_000;

/** What identifies this process among those that may meet its locks; tests stand in for other machines. */
export interface Identity {
  readonly pid: number;
  readonly host: string;
  readonly boot: string;
  readonly pidNamespace: string;
}

let own: Identity | undefined;

function identity(): Identity {
  own ??= { pid: process.pid, host: os.hostname(), boot: bootOf(), pidNamespace: pidNamespace() };
  return own;
}

function bootOf(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Minutes, because the two clocks that it is the difference of are read one after the other.
    return `minute ${Math.round((Date.now() - os.uptime() * 1000) / 60_000)}`;
  }
}

function pidNamespace(): string {
  try {
    return fs.readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

function sameBoot(a: string, b: string): boolean {
  const minute = /^minute (\d+)$/;
  const [left, right] = [minute.exec(a), minute.exec(b)];
  // A clock that is set moves the reckoned start; three minutes are more than clocks are set by in passing.
  return left && right ? Math.abs(Number(left[1]) - Number(right[1])) <= 3 : a === b;
}

/** State and start of a process as Linux tells them; undefined elsewhere, or where they are hidden. */
function processOf(pid: number): { state: string; began: string } | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, began: fields[19]! };
  } catch {
    return undefined;
  }
}

/** Whether a process of this system is there and could still write. A zombie cannot. */
function isAlive(pid: number, began?: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists but is another user's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const seen = processOf(pid);
  if (!seen) return true;
  return !/[ZXx]/.test(seen.state) && (began === undefined || began === seen.began);
}

/** A lock file as it was found. */
interface Found {
  readonly token: string;
  readonly holder?: Holder;
  /** Of an earlier version's file, which holds only this. */
  readonly formerPid?: number;
  readonly touched: number;
}

function look(file: string): Found | undefined {
  let text: string;
  let touched: number;
  try {
    const stat = fs.statSync(file);
    touched = stat.mtimeMs;
    // Ours have some hundred bytes. A link to a device would be read without end.
    text = stat.isFile() && stat.size < 65_536 ? fs.readFileSync(file, 'utf8') : '';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if (/^\d{1,15}$/.test(text.trim())) {
    const formerPid = Number(text);
    return { token: `pid-${formerPid}`, formerPid, touched };
  }
  try {
    const { token, pid, host, boot, pidNamespace, began } = JSON.parse(text) as Holder;
    // The token names files, so it must be what this code makes.
    if (/^[0-9a-f-]{36}$/.test(token) && Number.isSafeInteger(pid)) {
      const holder = { token, pid, host: String(host), boot: String(boot), pidNamespace: String(pidNamespace) };
      return { token, holder: { ...holder, ...(began !== undefined && { began: String(began) }) }, touched };
    }
  } catch {
    // Being written, or not a lock at all.
  }
  return { token: 'unreadable', touched };
}

/** @param now by the clock that `touched` was set by */
function isHeld({ holder, formerPid, touched }: Found, now: number): boolean {
  const silence = now - touched;
  if (formerPid !== undefined) return isAlive(formerPid) && silence < formerExpiryMs;
  if (!holder) return silence < writingMs;
  const me = identity();
  if (sameBoot(holder.boot, me.boot) && (holder.host === me.host || !holder.boot.startsWith('minute'))) {
    // However long it has been silent: it may have been stopped, or the machine asleep.
    if (holder.pidNamespace === me.pidNamespace) return isAlive(holder.pid, holder.began);
    return silence < silentMs;
  }
  return silence < (holder.host === me.host ? rebootedMs : silentMs);
}

/** Where the one successor of a dead holder announces itself. */
const claimOf = (file: string, token: string): string => `${file}.${token}.next`;

/**
 * Who holds a lock; undefined where nobody does. Follows successors that are just taking over.
 * @param file the lock
 */
export function liveHolder(file: string): { readonly pid: number; readonly host?: string } | undefined {
  try {
    for (let found = look(file); found; found = look(claimOf(file, found.token))) {
      if (!isHeld(found, Date.now())) continue;
      return { pid: found.holder?.pid ?? found.formerPid ?? -1, host: found.holder?.host };
    }
  } catch {
    // What cannot be read cannot be said to be held; taking it tells why.
  }
  return undefined;
}

/** A lock that this process holds. */
export class Lock {
  private readonly renewal: NodeJS.Timeout;

  private constructor(
    readonly file: string,
    private readonly text: string,
    private readonly token: string,
  ) {
    this.renewal = setInterval(() => this.renew(), heartbeatMs);
    this.renewal.unref();
  }

  /**
   * Takes a lock that is free, or whose holder is dead.
   * @param file the lock, in a folder that exists
   * @param as another process than this one, in tests
   * @returns undefined where somebody else holds it
   * @throws what the file system throws
   */
  static take(file: string, as: Identity = identity()): Lock | undefined {
    const token = randomUUID();
    const { pid, host, boot, pidNamespace } = as;
    const holder: Holder = { token, pid, host, boot, pidNamespace, began: processOf(pid)?.began };
    const text = `${JSON.stringify(holder)}\n`;
    const draft = `${file}.${token}`;
    fs.writeFileSync(draft, text, { flag: 'wx' });
    try {
      for (let attempt = 0; attempt < 100; attempt++) {
        if (publish(draft, file, text)) return new Lock(file, text, token);
        const outcome = succeed(file, draft, text);
        if (outcome === 'taken') return new Lock(file, text, token);
        if (outcome === 'held') return undefined;
      }
      return undefined;
    } finally {
      fs.rmSync(draft, { force: true });
    }
  }

  /**
   * Called before everything that is written under the lock.
   * @throws LockLost where it is no longer this process's
   */
  check(): void {
    const found = look(this.file);
    if (found?.token === this.token) return;
    // Somebody cleared it away, and nobody took it: it is still ours.
    if (!found && publishText(this.file, this.text)) return;
    throw new LockLost(this.file);
  }

  release(): void {
    clearInterval(this.renewal);
    try {
      if (look(this.file)?.token === this.token) fs.rmSync(this.file, { force: true });
    } catch {
      // Its folder is gone, and the lock with it.
    }
  }

  /** Writes the same bytes again, so that the time of change is told by the file system's own clock. */
  private renew(): void {
    let descriptor: number | undefined;
    try {
      descriptor = fs.openSync(this.file, 'r+');
      const bytes = Buffer.alloc(this.text.length);
      fs.readSync(descriptor, bytes, 0, bytes.length, 0);
      if (bytes.toString() === this.text) fs.writeSync(descriptor, this.text, 0);
    } catch {
      // The folder was deleted under the run; the next check says so.
    } finally {
      if (descriptor !== undefined) fs.closeSync(descriptor);
    }
  }
}

/**
 * Takes over from a dead holder. Its successor is whoever links a claim named after its token first, and puts that in the
 * lock's place; a claim whose maker died has a successor itself, by the same rule.
 */
function succeed(file: string, draft: string, text: string): 'taken' | 'held' | 'again' {
  const passed: { at: string; token: string }[] = [];
  let at = file;
  for (let found = look(at); found; found = look(at)) {
    if (isHeld(found, clockOf(file))) return 'held';
    passed.push({ at, token: found.token });
    at = claimOf(file, found.token);
  }
  if (passed.length === 0 || !publish(draft, at, text)) return 'again';
  // A claim says something only while what it claims is still there: another's may have come and gone in between.
  if (!passed.every((dead) => look(dead.at)?.token === dead.token)) {
    fs.rmSync(at, { force: true });
    return 'again';
  }
  fs.renameSync(at, file);
  for (const dead of passed.slice(1)) fs.rmSync(dead.at, { force: true });
  return 'taken';
}

/** The clock that times of change in this folder are told by: on a shared file system, the server's. */
function clockOf(file: string): number {
  const probe = path.join(path.dirname(file), `.${path.basename(file)}-${randomUUID()}`);
  fs.writeFileSync(probe, '');
  try {
    return fs.statSync(probe).mtimeMs;
  } finally {
    fs.rmSync(probe, { force: true });
  }
}

/** Makes `draft` appear under another name, whole. @returns false where that is taken */
function publish(draft: string, name: string, text: string): boolean {
  try {
    fs.linkSync(draft, name);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (code === 'ENOENT' || code === 'ENOSPC' || code === 'EROFS' || code === 'EIO') throw error;
    // exFAT and some network shares have no links.
    return publishText(name, text);
  }
}

function publishText(name: string, text: string): boolean {
  try {
    fs.writeFileSync(name, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
