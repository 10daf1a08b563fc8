/**
 * Checkpoints: a model's state and the loop's position in the safetensors format
 * (https://github.com/huggingface/safetensors: an 8-byte length, a JSON header, raw little-endian tensors), with a
 * SHA-256 of the tensors in its metadata, and one of the metadata with it, so that damage is noticed. `last` is replaced only by a complete successor and
 * the one before it is kept as `previous`.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as z from 'zod';
import { message, UserError } from '../../core/messages/message';
import { Network, parameterCount, Tensors } from '../../core/networks/network';
import { diskError, readFully, replace, writeFully } from '../../disk/files';
import { checkpointsFolder } from '../../disk/runs';
import type { ModelState } from '../engines/engine';

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

/** Bytes that a run's checkpoints take already. */
function checkpointBytesThere(folder: string): number {
  const sizes = [last, previous, best].map(
    (name) => fs.statSync(path.join(folder, checkpointsFolder, name), { throwIfNoEntry: false })?.size ?? 0,
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** @throws UserError when the disk has less free space than the checkpoints of this network need */
export function checkDiskSpace(folder: string, network: Network): void {
  const { bavail, bsize } = fs.statfsSync(folder);
  // Of a run that goes on, most of them are there; what is replaced gives its place back only once its successor is whole.
  const needed = Math.max(0, checkpointBytes(network) - checkpointBytesThere(folder));
  if (bavail * bsize >= needed) return;
  const megabytes = (bytes: number, round: (value: number) => number) => `${round(bytes / 1e6)} MB`;
  throw new UserError(
    message('diskTooSmall', {
      needed: megabytes(needed, Math.ceil),
      free: megabytes(bavail * bsize, Math.floor),
      folder,
    }),
    message('diskTooSmallAdvice'),
  );
}

/** Replaces the run's last checkpoint. @throws UserError on a full disk; the one before then still stands */
export function writeLast(runFolder: string, state: ModelState, position: unknown): void {
  const folder = path.join(runFolder, checkpointsFolder);
  const file = path.join(folder, last);
  write(file, state, position, () => {
    if (fs.existsSync(file)) replace(file, path.join(folder, previous));
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
  isPosition: (value: unknown) => boolean,
): { checkpoint?: Checkpoint<Position>; damage: string[] } {
  const damage: string[] = [];
  for (const name of [last, previous]) {
    const file = path.join(runFolder, checkpointsFolder, name);
    if (!fs.existsSync(file)) continue;
    try {
      const checkpoint = read<Position>(file, network, true);
      if (!isPosition(checkpoint.position)) throw damaged(file, 'it says that training stands where it cannot');
      return { checkpoint, damage };
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
  /** Updates made; 0 where the best epoch was asked for, whose checkpoint does not hold it. */
  readonly updates: number;
  /** Of the checkpoint's tensors, in hexadecimal digits. */
  readonly sha256: string;
}

/**
 * The parameters of a finished run after its last epoch, which its test was made with, or after its best one.
 * @throws UserError where they cannot be read
 */
export function readTrained(runFolder: string, network: Network, epoch: 'last' | 'best' = 'last'): Trained {
  return ofRun(runFolder, epoch, (file) => {
    const { state, updates, sha256 } = read(file, network, false);
    return { parameters: state.parameters, buffers: state.buffers, updates, sha256 };
  });
}

/**
 * The SHA-256 that {@link readTrained} will find, without reading the tensors.
 * @param bestEpoch of the finished run; a run that died between writing its best parameters and its position, and went on
 *   to another curve with another engine, can have those of another epoch
 * @throws UserError
 */
export function trainedDigest(runFolder: string, epoch: 'last' | 'best', bestEpoch: number): string {
  return ofRun(runFolder, epoch, (file) => {
    const descriptor = fs.openSync(file, 'r');
    try {
      const { sha256, meta } = readHeader(file, descriptor);
      const of = (meta.position as { epoch?: unknown } | undefined)?.epoch;
      if (epoch === 'best' && of !== bestEpoch)
        throw damaged(file, `it holds epoch ${String(of)} instead of ${bestEpoch}`);
      return sha256;
    } finally {
      fs.closeSync(descriptor);
    }
  });
}

function ofRun<T>(runFolder: string, epoch: 'last' | 'best', use: (file: string) => T): T {
  const run = path.basename(runFolder);
  const file = path.join(runFolder, checkpointsFolder, epoch === 'best' ? best : last);
  try {
    return use(file);
  } catch (error) {
    throw new UserError(message('checkpointMissing', { run, reason: (error as Error).message }), undefined, {
      cause: error,
    });
  }
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
  const convlab = JSON.stringify({ format: 'convlab-2', adamStep: state.optimizer?.step, position });
  const sha256 = hash.digest('hex');
  header['__metadata__'] = { convlab, sha256, metadataSha256: digestOf(header, convlab, sha256) };
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
    replace(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw diskError(path.dirname(file), error);
  }
}

/** Of all that stands in a checkpoint beside the tensors, and through their digest of these too. */
const digestOf = (entries: object, convlab: string, sha256: string): string =>
  createHash('sha256')
    .update([JSON.stringify(entries), convlab, sha256].join('\n'))
    .digest('hex');

type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };

/** What is told of an epoch takes up to 3 kB, and there may be 10 000. */
const mostHeaderBytes = 2 ** 26;
const formats = ['convlab-1', 'convlab-2'];
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.number()),
  data_offsets: z.tuple([z.number().int().min(0), z.number().int().min(0)]),
});
const headerSchema = z
  .object({
    __metadata__: z.object({ convlab: z.string(), sha256: z.string(), metadataSha256: z.string().optional() }),
  })
  .catchall(entrySchema);
const metaSchema = z.object({
  format: z.string(),
  adamStep: z.number().int().min(0).optional(),
  position: z.unknown(),
});

interface Header {
  readonly entries: Readonly<Record<string, Entry>>;
  readonly meta: { readonly format: string; readonly adamStep?: number; readonly position: unknown };
  readonly sha256: string;
  /** Where the tensors begin, in bytes. */
  readonly end: number;
}

const damaged = (file: string, reason: string) =>
  new UserError(message('checkpointDamaged', { file: path.basename(file), reason }));

/** Fills `bytes` from a place in the file. @throws UserError where it ends before */
function take(file: string, descriptor: number, bytes: Uint8Array, position: number): void {
  if (!readFully(descriptor, bytes, position)) throw damaged(file, 'it is shorter than it should be');
}

function readHeader(file: string, descriptor: number): Header {
  const { size } = fs.fstatSync(descriptor);
  const length = Buffer.alloc(8);
  take(file, descriptor, length, 0);
  const headerLength = Number(length.readBigUInt64LE());
  if (headerLength > size - 8) throw damaged(file, 'its header is longer than the file');
  if (headerLength > mostHeaderBytes) throw damaged(file, 'its header is longer than any header');
  const json = Buffer.alloc(headerLength);
  take(file, descriptor, json, 8);
  let header: z.infer<typeof headerSchema>;
  let meta: Header['meta'];
  try {
    const value: unknown = JSON.parse(json.toString());
    headerSchema.parse(value);
    // As it stands in the file, its order included.
    header = value as typeof header;
    meta = metaSchema.parse(JSON.parse(header.__metadata__.convlab));
  } catch {
    throw damaged(file, 'its header cannot be read');
  }
  const { __metadata__: metadata, ...entries } = header;
  const { convlab, sha256, metadataSha256 } = metadata;
  if (!formats.includes(meta.format)) throw damaged(file, `its format “${meta.format}” is unknown`);
  // The first format had none.
  if (meta.format !== formats[0] && metadataSha256 !== digestOf(entries, convlab, sha256)) {
    throw damaged(file, 'its header does not match its SHA-256');
  }
  return { entries: entries as Header['entries'], meta, sha256, end: 8 + headerLength };
}

/** @param withMoments whether the optimiser's moments are wanted; they are checked in any case */
function read<Position>(
  file: string,
  network: Network,
  withMoments: boolean,
): Checkpoint<Position> & { readonly updates: number; readonly sha256: string } {
  const descriptor = fs.openSync(file, 'r');
  try {
    const { entries, meta, sha256, end } = readHeader(file, descriptor);
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
          const entry = entries[prefix + name];
          const bytes = shape.reduce((a, b) => a * b, 4);
          if (!entry || entry.dtype !== 'F32' || entry.data_offsets[1] - entry.data_offsets[0] !== bytes) {
            throw damaged(file, `“${prefix + name}” is missing or has another size`);
          }
          if (entry.data_offsets[0] !== cursor) throw damaged(file, `“${prefix + name}” is out of place`);
          if (!keep && scratch.length < bytes / 4) scratch = new Float32Array(bytes / 4);
          const data = keep ? new Float32Array(bytes / 4) : scratch.subarray(0, bytes / 4);
          take(file, descriptor, bytesOf(data), end + cursor);
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
    if (hash.digest('hex') !== sha256) throw damaged(file, 'its content does not match its SHA-256');
    return {
      state: { parameters, buffers, optimizer: withMoments ? optimizer : undefined },
      position: meta.position as Position,
      updates: meta.adamStep ?? 0,
      sha256,
    };
  } finally {
    fs.closeSync(descriptor);
  }
}
