/**
 * Checkpoints: a model's state and the loop's position in the safetensors format
 * (https://github.com/huggingface/safetensors: an 8-byte length, a JSON header, raw little-endian tensors), with a
 * SHA-256 of the tensors in its metadata so that damage is noticed. `last` is replaced only by a complete successor and
 * the one before it is kept as `previous`.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { message, UserError } from '../messages';
import { Network, parameterCount, Tensors } from '../networks/network';
import { checkpointsFolder, diskError } from '../runs';
import type { ModelState } from './engines/engine';

const last = 'last.safetensors';
const previous = 'previous.safetensors';
const best = 'best.safetensors';

const sections = { parameters: '', buffers: '', firstMoment: 'adam.exp_avg.', secondMoment: 'adam.exp_avg_sq.' };

/** A state with what the loop needs to go on. */
export interface Checkpoint<Position> {
  readonly state: ModelState;
  readonly position: Position;
}

/** Bytes that a run's checkpoints take at their peak: last, previous and a successor being written, and best. */
function checkpointBytes(network: Network): number {
  return parameterCount(network) * 4 * (3 * 3 + 2);
}

/** @throws UserError when the disk has less free space than the checkpoints of this network need */
export function checkDiskSpace(folder: string, network: Network): void {
  const { bavail, bsize } = fs.statfsSync(folder);
  const needed = checkpointBytes(network);
  if (bavail * bsize >= needed) return;
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
  throw new UserError(
    message('diskTooSmall', { needed: megabytes(needed), free: megabytes(bavail * bsize), folder }),
    message('diskTooSmallAdvice'),
  );
}

/** Replaces the run's last checkpoint. @throws UserError on a full disk; the one before then still stands */
export function writeLast(runFolder: string, state: ModelState, position: unknown): void {
  const folder = path.join(runFolder, checkpointsFolder);
  const file = path.join(folder, last);
  write(file, state, position, () => {
    if (fs.existsSync(file)) fs.renameSync(file, path.join(folder, previous));
  });
}

/** Replaces the run's best parameters. @throws UserError on a full disk */
export function writeBest(runFolder: string, state: ModelState, position: unknown): void {
  const { parameters, buffers } = state;
  write(path.join(runFolder, checkpointsFolder, best), { parameters, buffers }, position);
}

/**
 * The newest checkpoint that is whole.
 * @returns the checkpoint, or undefined where there is none that can be used; and what was wrong with those passed over
 */
export function readNewest<Position>(
  runFolder: string,
  network: Network,
): { checkpoint?: Checkpoint<Position>; damage: string[] } {
  return newest<Position>(runFolder, network, true);
}

function newest<Position>(
  runFolder: string,
  network: Network,
  withMoments: boolean,
): { checkpoint?: Checkpoint<Position> & { readonly updates: number }; damage: string[] } {
  const damage: string[] = [];
  for (const name of [last, previous]) {
    const file = path.join(runFolder, checkpointsFolder, name);
    if (!fs.existsSync(file)) continue;
    try {
      return { checkpoint: read<Position>(file, network, withMoments), damage };
    } catch (error) {
      damage.push(error instanceof UserError ? error.message : `${name}: ${(error as Error).message}`);
    }
  }
  return { damage };
}

/** What a run has trained, without the optimiser's moments. */
export interface Trained {
  readonly parameters: Tensors;
  readonly buffers: Tensors;
  /** Updates made. */
  readonly updates: number;
}

/** The parameters of a run's newest whole checkpoint. @throws UserError where there is none */
export function readTrained(runFolder: string, network: Network): Trained {
  const { checkpoint, damage } = newest(runFolder, network, false);
  if (!checkpoint) {
    const run = path.basename(runFolder);
    throw new UserError(message('checkpointMissing', { run, reason: damage.join(' ') || '–' }));
  }
  const { parameters, buffers } = checkpoint.state;
  return { parameters, buffers, updates: checkpoint.updates };
}

function* tensorsOf(state: ModelState): Generator<[string, Float32Array]> {
  const parts: [string, Tensors | undefined][] = [
    [sections.parameters, state.parameters],
    [sections.buffers, state.buffers],
    [sections.firstMoment, state.optimizer?.firstMoment],
    [sections.secondMoment, state.optimizer?.secondMoment],
  ];
  for (const [prefix, tensors] of parts) for (const [name, data] of tensors ?? []) yield [prefix + name, data];
}

const bytesOf = (data: Float32Array) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function write(file: string, state: ModelState, position: unknown, beforeReplacing = () => {}): void {
  const hash = createHash('sha256');
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, data] of tensorsOf(state)) {
    header[name] = { dtype: 'F32', shape: [data.length], data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
    hash.update(bytesOf(data));
  }
  // JSON, because safetensors allows only strings in its metadata.
  const meta = { format: 'convlab-1', adamStep: state.optimizer?.step, position };
  header['__metadata__'] = { convlab: JSON.stringify(meta), sha256: hash.digest('hex') };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const temporary = `${file}.tmp`;
  try {
    const descriptor = fs.openSync(temporary, 'w');
    try {
      writeFully(descriptor, length);
      writeFully(descriptor, json);
      for (const [, data] of tensorsOf(state)) writeFully(descriptor, bytesOf(data));
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    beforeReplacing();
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw diskError(path.dirname(file), error);
  }
}

function writeFully(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(descriptor, bytes, at, Math.min(bytes.length - at, 1 << 30));
}

/** @param withMoments whether the optimiser's moments are wanted; they are checked in any case */
function read<Position>(
  file: string,
  network: Network,
  withMoments: boolean,
): Checkpoint<Position> & { readonly updates: number } {
  const damaged = (reason: string) =>
    new UserError(message('checkpointDamaged', { file: path.basename(file), reason }));
  const descriptor = fs.openSync(file, 'r');
  try {
    const { size } = fs.fstatSync(descriptor);
    const take = (bytes: Uint8Array, position: number) => {
      for (let at = 0; at < bytes.length;) {
        const n = fs.readSync(descriptor, bytes, at, Math.min(bytes.length - at, 1 << 30), position + at);
        if (n === 0) throw damaged('it is shorter than it should be');
        at += n;
      }
    };
    const length = Buffer.alloc(8);
    take(length, 0);
    const headerLength = Number(length.readBigUInt64LE());
    if (headerLength > size - 8) throw damaged('its header is longer than the file');
    const json = Buffer.alloc(headerLength);
    take(json, 8);
    type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };
    let header: Record<string, Entry> & { __metadata__?: { convlab: string; sha256: string } };
    let meta: { format: string; adamStep?: number; position: Position };
    try {
      header = JSON.parse(json.toString());
      meta = JSON.parse(header.__metadata__!.convlab);
    } catch {
      throw damaged('its header cannot be read');
    }
    const hash = createHash('sha256');
    let cursor = 0;
    let scratch = new Float32Array();
    const readSection = (
      prefix: string,
      of: readonly { name: string; shape: readonly number[] }[],
      keep = true,
    ): Tensors =>
      new Map(
        of.map(({ name, shape }) => {
          const entry = header[prefix + name];
          const bytes = shape.reduce((a, b) => a * b, 4);
          if (!entry || entry.dtype !== 'F32' || entry.data_offsets[1] - entry.data_offsets[0] !== bytes) {
            throw damaged(`“${prefix + name}” is missing or has another size`);
          }
          if (entry.data_offsets[0] !== cursor) throw damaged(`“${prefix + name}” is out of place`);
          if (!keep && scratch.length < bytes / 4) scratch = new Float32Array(bytes / 4);
          const data = keep ? new Float32Array(bytes / 4) : scratch.subarray(0, bytes / 4);
          take(bytesOf(data), 8 + headerLength + cursor);
          hash.update(bytesOf(data));
          cursor += bytes;
          return [name, data] as const;
        }),
      );
    const parameters = readSection(sections.parameters, network.parameters);
    const buffers = readSection(sections.buffers, network.buffers);
    const optimizer =
      meta.adamStep === undefined
        ? undefined
        : {
            step: meta.adamStep,
            firstMoment: readSection(sections.firstMoment, network.parameters, withMoments),
            secondMoment: readSection(sections.secondMoment, network.parameters, withMoments),
          };
    if (hash.digest('hex') !== header.__metadata__!.sha256) throw damaged('its content does not match its SHA-256');
    return {
      state: { parameters, buffers, optimizer: withMoments ? optimizer : undefined },
      position: meta.position,
      updates: meta.adamStep ?? 0,
    };
  } finally {
    fs.closeSync(descriptor);
  }
}
