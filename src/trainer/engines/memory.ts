/**
 * How many examples an engine passes through the network at once, by the memory that a pass would take and the memory
 * that the machine has. The engines' models call it when they are made, unless the experiment sets `microBatch`.
 */
import { freemem, totalmem } from 'node:os';
import { Message, message } from '../../core/messages/message';
import type { Network } from '../../core/networks/network';

/** In bytes. */
export interface MachineMemory {
  /** Of the machine, or of the container that limits this process. */
  readonly total: number;
  /** What could be taken now without driving others out. */
  readonly available: number;
}

export function machineMemory(): MachineMemory {
  const limit = process.constrainedMemory?.() ?? 0;
  const total = totalmem();
  return {
    // Where nothing limits the process some systems say 0, others more than there is.
    total: limit > 0 ? Math.min(limit, total) : total,
    available: Math.min(process.availableMemory?.() ?? freemem(), total),
  };
}

export interface PassSize {
  readonly microBatch: number;
  /** What the user should know of the choice. */
  readonly warnings: readonly Message[];
}

/**
 * A step that could be divided without changing its result takes no more than this, nor half the machine's memory: the
 * editor, the browser and the system want theirs. Below it smaller passes would only cost time.
 */
const comfortableBytes = 7 * 2 ** 30;
/** Of what is available, a step takes no more than this. */
const availableShare = 0.9;
/** A pass over fewer examples saves little beside what the parameters take, and is slow. */
const smallestPass = 4;

/**
 * Halves the batch until a pass fits. A network with batch norm is only divided where it would not fit at all, because
 * its statistics are then those of each pass; one without computes the same whatever the size.
 * @param bytesOf what a step takes with passes of a size, in bytes
 */
export function passSize(
  network: Network,
  batchSize: number,
  bytesOf: (size: number) => number,
  { total, available }: MachineMemory,
): PassSize {
  const reckoned = new Map<number, number>();
  // Reckoning takes an engine the writing of a graph.
  const bytes = (size: number): number => {
    const known = reckoned.get(size) ?? bytesOf(size);
    reckoned.set(size, known);
    return known;
  };
  const most = availableShare * available;
  const limit = hasBatchNorm(network) ? most : Math.min(comfortableBytes, total / 2, most);
  let size = batchSize;
  while (size > smallestPass && bytes(size) > limit) size = Math.max(smallestPass, Math.ceil(size / 2));
  return { microBatch: size, warnings: passWarnings(network, batchSize, size, bytes, available) };
}

/** What the user should know of a batch that an engine divides for want of memory. Arguments as for {@link passSize}. */
export function passWarnings(
  network: Network,
  batchSize: number,
  microBatch: number,
  bytesOf: (size: number) => number,
  available: number,
): Message[] {
  const warnings: Message[] = [];
  const needed = bytesOf(microBatch);
  if (needed > availableShare * available) {
    warnings.push(message('memoryShort', { needed: mebibytes(needed), available: mebibytes(available) }));
  }
  if (hasBatchNorm(network) && microBatch < batchSize) {
    const whole = mebibytes(bytesOf(batchSize));
    warnings.push(message('batchNormDivided', { microBatch, whole, available: mebibytes(available), batchSize }));
  }
  return warnings;
}

const hasBatchNorm = ({ nodes }: Network): boolean => nodes.some(({ op }) => op.kind === 'batchNorm' && !op.frozen);

const mebibytes = (bytes: number): string => String(Math.ceil(bytes / 2 ** 20));
