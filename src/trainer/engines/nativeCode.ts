/**
 * What is said of native code that does not load, or that ends the process which loads it: the reason in a few words, and
 * what is to be installed. onnx/trial.ts and tfjs/adapter.ts, which try such code in a process of its own, ask here.
 */
import { release } from 'node:os';
import { Message, message } from '../../core/messages/message';

/**
 * An error as a part of a sentence: its first line that says something, without the full stop, and of the paths in it the
 * files' names alone. Windows' loader ends its lines in `\r` and names the whole path in a line of its own.
 */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text
    .split(/\r?\n|\r/)
    .map((each) => each.trim())
    .find(Boolean);
  return (line ?? '')
    .replace(/(?:\\\\\?\\|\\\\)?[A-Za-z]:\\(?:[^\\:*?"<>|\n]+\\)*/g, '')
    .replace(/(^|[\s('"“‘])\/(?:[^/\n:'"]+\/)+/g, '$1')
    .replace(/\.$/, '');
}

/**
 * How a process crashed, from its status as Node tells it; undefined where it ended by itself. Windows has no signals: the
 * status of a crash is the exception's code (NTSTATUS, of severity “error”: 3221225477 is an access violation).
 */
export function crashOf(status: number | string | null | undefined): string | undefined {
  if (typeof status === 'string') return status.startsWith('SIG') ? status : undefined;
  return typeof status === 'number' && status >= 0xc0000000 ? `exit status ${status}` : undefined;
}

/** The system that native code has met. */
export interface System {
  readonly platform: string;
  readonly arch: string;
  /** The kernel's. */
  readonly release: string;
}

export const thisSystem = (): System => ({ platform: process.platform, arch: process.arch, release: release() });

/** macOS' version by Darwin's: 22 is 13, 24 is 15, 25 is 26. */
export function macosOf(darwin: string): number {
  const major = Number.parseInt(darwin, 10);
  return major >= 25 ? major + 1 : major - 9;
}

/** What a library's native code asks for beyond itself. */
export interface Needs {
  /** The library's name. */
  readonly library: string;
  /** The macOS that its header names. */
  readonly macos: number;
  /** Whether it is linked to Microsoft's C++ runtime, which is missing or too old on many machines. */
  readonly vcRuntime: boolean;
}

export const onnxRuntimeNeeds: Needs = { library: 'ONNX Runtime', macos: 14, vcRuntime: true };
export const dawnNeeds: Needs = { library: 'WebGPU', macos: 26, vcRuntime: false };

/** What may cure native code that does not load or crashes; undefined where nothing is known to. */
export function cureOf({ library, macos, vcRuntime }: Needs, system: System = thisSystem()): Message | undefined {
  if (system.platform === 'win32' && vcRuntime) {
    const arch = system.arch === 'arm64' ? 'arm64' : 'x64';
    return message('installVcRuntime', { address: `https://aka.ms/vs/17/release/vc_redist.${arch}.exe` });
  }
  const version = macosOf(system.release);
  if (system.platform === 'darwin' && version < macos) {
    return message('macosTooOld', { library, needed: `macOS ${macos}`, version: `macOS ${version}` });
  }
  return undefined;
}
