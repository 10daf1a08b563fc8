/**
 * Speeds measured on this machine, kept in the user's cache folder: one file for each engine, device, number of threads
 * and set of versions, so that an update finds none and measures anew. `measure.ts`, `estimate.ts`
 * and `engines.ts` use it.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as z from 'zod';
import { sameShape, Speed } from '../../core/estimates';
import { networkNames } from '../../core/networks/catalog';
import type { Machine } from '../../core/contracts/tasks';
import { makeFolder, writeAtomically } from '../../disk/files';
import { readJson } from '../../disk/json';
import { cacheFolder } from '../../disk/places';

const positive = z.number().positive();
const whole = z.int().positive();
const speedSchema = z.object({
  shape: z.object({
    network: z.enum(networkNames),
    channels: whole,
    size: whole,
    outputs: whole,
    batchSize: whole,
    microBatch: whole.optional(),
    freeze: z.literal('features').optional(),
  }),
  stepSeconds: positive,
  evaluateSeconds: positive,
  evaluatedExamples: whole,
  startSeconds: z.number().min(0),
  time: z.string(),
});
const machineSchema = z.object({
  engine: z.string(),
  device: z.string(),
  threads: whole.optional(),
  versions: z.record(z.string(), z.string()),
});
const fileSchema = z.object({
  format: z.literal(1),
  machine: z.unknown(),
  speeds: z.array(speedSchema),
  checkpointSecondsPerByte: z.number().min(0).optional(),
});

/**
 * What this version of ConvLab last measured on an engine whose library is not loaded, so that the library's own version is
 * unknown: the newest of the measurements that agree in everything else.
 */
export function lastMeasured(
  { engine, device, threads, convlab }: Omit<Machine, 'versions'> & { readonly convlab: string },
  folder = cacheFolder(),
): readonly Speed[] {
  const directory = path.join(folder, 'speeds');
  let newest: { time: string; speeds: readonly Speed[] } = { time: '', speeds: [] };
  let names: string[] = [];
  try {
    names = fs.readdirSync(directory).filter((name) => name.startsWith(`${engine}-`) && name.endsWith('.json'));
  } catch {
    // Nothing has been measured here.
  }
  for (const name of names) {
    const file = readFile(path.join(directory, name));
    const machine = file && machineSchema.safeParse(file.machine).data;
    if (!machine || machine.engine !== engine || machine.device !== device || machine.threads !== threads) continue;
    if (machine.versions['convlab'] !== convlab) continue;
    const time = file.speeds.reduce((latest, speed) => (speed.time > latest ? speed.time : latest), '');
    if (time > newest.time) newest = { time, speeds: file.speeds };
  }
  return newest.speeds;
}

/** A file of the cache; undefined where there is none or it is damaged, so that what it would have told is measured again. */
function readFile(file: string): z.infer<typeof fileSchema> | undefined {
  try {
    return fileSchema.safeParse(readJson(file)).data;
  } catch {
    return undefined;
  }
}

/** What has been measured on one machine. A file that is damaged counts as none. */
export class Speeds {
  readonly folder: string;
  private readonly file: string;
  /** With its keys in one order, so that its text identifies it. */
  private readonly machine: Machine;
  private known: Speed[] = [];
  private perByte?: number;

  constructor({ engine, device, threads, versions }: Machine, folder = cacheFolder()) {
    const sorted = Object.fromEntries(Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1)));
    this.machine = { engine, device, ...(threads !== undefined && { threads }), versions: sorted };
    const name = createHash('sha256').update(JSON.stringify(this.machine)).digest('hex').slice(0, 16);
    this.folder = path.join(folder, 'speeds');
    this.file = path.join(this.folder, `${engine}-${name}.json`);
    this.read();
  }

  get all(): readonly Speed[] {
    return this.known;
  }

  /** Seconds per byte of writing a checkpoint, where that has been measured. */
  get checkpointSecondsPerByte(): number | undefined {
    return this.perByte;
  }

  /** Keeps a speed in place of an older one of the same shape. */
  add(speed: Speed): void {
    // Another process may have measured in the meantime.
    this.read();
    this.known = [...this.known.filter((s) => !sameShape(s.shape, speed.shape)), speed];
    this.write();
  }

  addCheckpoint(secondsPerByte: number): void {
    this.read();
    this.perByte = secondsPerByte;
    this.write();
  }

  private read(): void {
    const stored = readFile(this.file);
    if (!stored || JSON.stringify(stored.machine) !== JSON.stringify(this.machine)) return;
    const others = stored.speeds.filter((s) => !this.known.some((own) => sameShape(s.shape, own.shape)));
    this.known = [...others, ...this.known];
    this.perByte ??= stored.checkpointSecondsPerByte;
  }

  private write(): void {
    const { machine, known: speeds, perByte: checkpointSecondsPerByte } = this;
    try {
      makeFolder(this.folder);
      writeAtomically(
        this.file,
        JSON.stringify({ format: 1, machine, speeds, checkpointSecondsPerByte }, undefined, 1),
      );
    } catch {
      // Without a writable cache folder every estimate measures for itself.
    }
  }
}
