import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildNetwork } from '../../src/core/networks/catalog';
import { readNewest, readTrained, writeBest, writeLast } from '../../src/trainer/training/checkpoint';
import { isPositionOf } from '../../src/trainer/training/position';

const network = buildNetwork('lenet5', [1, 32, 32], 10);
const tensors = (value: number) =>
  new Map(
    network.parameters.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value)]),
  );
const state = (value: number, step: number) => ({
  parameters: tensors(value),
  buffers: new Map<string, Float32Array>(),
  optimizer: { step, firstMoment: tensors(value / 2), secondMoment: tensors(value / 4) },
});
const sums = (steps: number) => ({
  ...{ examples: steps * 64, loss: 1.5, correct: steps, steps, seconds: 1, logitStd: 0.25 },
  ...{ gradientSquares: [1, 2], updateRatios: [0.5], deadShares: [], windowLoss: 0.75, windowSteps: 1 },
});
const position = (epoch: number, step: number) => ({
  ...{ epoch, step, seconds: 12.5, sums: sums(step) },
  ...(epoch > 1 && { best: { epoch: 1, validationAccuracy: 0.5 } }),
});
type Position = ReturnType<typeof position>;

let run: string;
let last: string;
beforeEach(() => {
  run = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-checkpoint-'));
  fs.mkdirSync(path.join(run, 'checkpoints'));
  last = path.join(run, 'checkpoints', 'last.safetensors');
  writeLast(run, state(1, 100), position(1, 100));
  writeLast(run, state(2, 300), position(2, 100));
});
afterEach(() => fs.rmSync(run, { recursive: true, force: true }));

const newest = () => readNewest<Position>(run, network, (value) => isPositionOf(value, 3, 200));

type Meta = { format: string; adamStep?: number; position?: unknown };
type Metadata = { convlab: string; sha256: string; metadataSha256?: string };
type HeaderJson = Record<string, unknown> & { __metadata__: Metadata };

/** Rewrites the header of the newest checkpoint. */
function alterHeader(change: (header: HeaderJson) => void): void {
  const bytes = fs.readFileSync(last);
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as HeaderJson;
  change(header);
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  fs.writeFileSync(last, Buffer.concat([prefix, json, bytes.subarray(8 + length)]));
}

/** @param sign writes the digest of the altered metadata too, as one who means it would */
function alterMeta(change: (meta: Meta) => void, sign = false): void {
  alterHeader(({ __metadata__: metadata, ...entries }) => {
    const meta = JSON.parse(metadata.convlab) as Meta;
    change(meta);
    metadata.convlab = JSON.stringify(meta);
    const parts = [JSON.stringify(entries), metadata.convlab, metadata.sha256];
    const digest = createHash('sha256').update(parts.join('\n')).digest('hex');
    if (sign) metadata.metadataSha256 = digest;
  });
}

/** As earlier versions wrote it. */
function makeFirstFormat(change: (meta: Meta) => void = () => undefined): void {
  alterMeta((meta) => {
    meta.format = 'convlab-1';
    change(meta);
  });
  alterHeader(({ __metadata__: metadata }) => delete metadata.metadataSha256);
}

describe('a checkpoint', () => {
  it('is read back with where the loop stands', () => {
    const { checkpoint, damage } = newest();
    expect(damage).toEqual([]);
    expect(checkpoint!.position).toEqual(position(2, 100));
    expect(checkpoint!.state.optimizer!.step).toBe(300);
    expect([...checkpoint!.state.parameters.values()].every((data) => data.every((v) => v === 2))).toBe(true);
  });

  it('of the first format is read', () => {
    makeFirstFormat();
    expect(newest()).toMatchObject({ damage: [], checkpoint: { position: { epoch: 2, step: 100 } } });
  });

  const alterations: [string, (meta: Meta) => void][] = [
    ['an epoch behind the last one', (meta) => Object.assign(meta.position as object, { epoch: 99 })],
    ['another epoch of the run', (meta) => Object.assign(meta.position as object, { epoch: 3 })],
    ['more steps than an epoch has', (meta) => Object.assign(meta.position as object, { step: 201, sums: sums(201) })],
    ['a step that its sums do not cover', (meta) => Object.assign(meta.position as object, { step: 7 })],
    ['no sums', (meta) => delete (meta.position as { sums?: unknown }).sums],
    ['sums that are no numbers', (meta) => Object.assign((meta.position as Position).sums, { loss: '1' })],
    ['other sums', (meta) => Object.assign((meta.position as Position).sums, { loss: 0.1 })],
    ['another number of updates', (meta) => (meta.adamStep = 299)],
    ['no whole number of updates', (meta) => (meta.adamStep = 0.5)],
    ['a best epoch that is still to come', (meta) => Object.assign((meta.position as Position).best!, { epoch: 2 })],
    ['no position', (meta) => delete meta.position],
    ['a format of the future', (meta) => (meta.format = 'convlab-3')],
  ];
  it.each(alterations)('with %s is passed over for the one before, and that is told', (_, change) => {
    alterMeta(change);
    const { checkpoint, damage } = newest();
    expect(checkpoint!.position).toEqual(position(1, 100));
    expect(damage).toEqual([expect.stringContaining('last.safetensors is damaged')]);
  });

  // What is neither out of bounds nor malformed needs the digest that the first format lacks.
  const plausible = ['another epoch of the run', 'other sums', 'another number of updates', 'a format of the future'];
  it.each(alterations.filter(([name]) => !plausible.includes(name)))(
    'of the first format with %s is passed over, too',
    (_, change) => {
      makeFirstFormat(change);
      expect(newest().damage).toHaveLength(1);
    },
  );

  it('with a format of the future is refused though its digest is right', () => {
    alterMeta((meta) => (meta.format = 'convlab-3'), true);
    expect(newest().damage).toEqual([expect.stringContaining('its format “convlab-3” is unknown')]);
  });

  it.each<[string, (header: HeaderJson) => void]>([
    ['no metadata', (header) => delete (header as Record<string, unknown>)['__metadata__']],
    ['no digest of its metadata', ({ __metadata__: metadata }) => delete metadata.metadataSha256],
    ['an entry that is none', (header) => (header['conv1.weight'] = 5)],
    ['offsets that are none', (header) => Object.assign(header['conv1.weight']!, { data_offsets: [0] })],
  ])('with %s is passed over', (_, change) => {
    alterHeader(change);
    expect(newest()).toMatchObject({ damage: [expect.any(String)], checkpoint: { position: { epoch: 1 } } });
  });

  it('that is damaged in any byte is noticed', () => {
    const whole = fs.readFileSync(last);
    const header = 8 + Number(whole.readBigUInt64LE());
    // All through the header and into the tensors.
    for (let at = 0; at < header + 40; at += 3) {
      const bytes = Buffer.from(whole);
      bytes[at] = bytes[at]! ^ 0x11;
      fs.writeFileSync(last, bytes);
      expect(newest().damage, `byte ${at}`).toHaveLength(1);
    }
  });

  it('without anything to fall back on is missing, not trusted', () => {
    fs.rmSync(path.join(run, 'checkpoints', 'previous.safetensors'));
    alterMeta((meta) => Object.assign(meta.position as object, { epoch: 99 }));
    expect(newest()).toEqual({ damage: [expect.any(String)] });
  });

  it('of the best epoch names it', () => {
    writeBest(run, state(3, 1), { epoch: 2 });
    expect(readTrained(run, network, 'best').parameters.get('fc3.bias')![0]).toBe(3);
  });
});
