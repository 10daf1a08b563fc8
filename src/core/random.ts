/**
 * Counter-based random numbers: every value is a function of a key and an index, never of how often a generator was
 * called. Initial weights, splits, example order, augmentation and dropout all draw from here, which is what lets a
 * resumed run continue exactly the curve it would have had.
 */

/** What a random number is for. Each purpose is a separate family of streams under one seed. */
export const Purpose = { init: 1, split: 2, order: 3, augment: 4, dropout: 5 } as const;

/** Two 32-bit words that name one stream. Made by {@link streamKey}. */
export interface StreamKey {
  readonly k0: number;
  readonly k1: number;
}

/**
 * A bijective 32-bit mixing function with low bias ("lowbias32" family found by the Hash Prospector,
 * https://github.com/skeeto/hash-prospector, constants 0x21f0aaad and 0xd35a2d97).
 */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0xd35a2d97);
  return x ^ (x >>> 15);
}

/**
 * Names a stream by a seed and a path of integers, such as (seed, Purpose.order, epoch).
 * The same path always gives the same stream; paths that differ in any place, or in length, give unrelated ones.
 */
export function streamKey(seed: number, ...path: number[]): StreamKey {
  let k0 = mix(seed ^ 0x9e3779b9);
  let k1 = mix((seed / 0x100000000) ^ 0x85ebca6b ^ path.length);
  for (const part of path) {
    k0 = mix((k0 + 0x9e3779b9) ^ part);
    k1 = mix((k1 ^ k0) + Math.imul(part, 0x85ebca77));
  }
  return { k0, k1 };
}

/** The i-th 32-bit word of a stream, as an unsigned integer. */
export function word(key: StreamKey, i: number): number {
  return (mix(mix(i ^ key.k0) + key.k1) ^ key.k0) >>> 0;
}

/** The i-th number of a stream, uniform in [0, 1), with 32 random bits. */
export function uniform(key: StreamKey, i: number): number {
  return word(key, i) / 0x100000000;
}

/** Fills `out` with numbers uniform in [-bound, bound). */
export function fillUniform(out: Float32Array, key: StreamKey, bound: number): void {
  const scale = bound / 0x80000000;
  for (let i = 0; i < out.length; i++) out[i] = word(key, i) * scale - bound;
}

/** Fills `out` with normal numbers of mean 0 and standard deviation `std`, by the Box–Muller transform. */
export function fillNormal(out: Float32Array, key: StreamKey, std: number): void {
  for (let i = 0; i < out.length; i += 2) {
    // 1 - u lies in (0, 1], so the logarithm is finite.
    const radius = std * Math.sqrt(-2 * Math.log(1 - uniform(key, i)));
    const angle = 2 * Math.PI * uniform(key, i + 1);
    out[i] = radius * Math.cos(angle);
    if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
  }
}

/** A random order of 0 … n-1 (Fisher–Yates), the same for the same key and n. */
export function permutation(key: StreamKey, n: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    // floor(u * (i + 1)) is biased by less than n / 2^32, far below anything a training run could show.
    const j = Math.floor(uniform(key, i) * (i + 1));
    const swap = order[i]!;
    order[i] = order[j]!;
    order[j] = swap;
  }
  return order;
}

/**
 * The inverted-dropout mask of one layer at one step: 0 with probability p, else 1 / (1 - p), as PyTorch's Dropout.
 * It depends on (seed, epoch, step, layer) alone, so every engine drops the same units.
 *
 * @param layer ordinal of the dropout layer in its network
 * @param out one value per example and feature, filled in place
 */
export function fillDropoutMask(
  out: Float32Array,
  seed: number,
  at: { readonly epoch: number; readonly step: number },
  layer: number,
  p: number,
): void {
  const key = streamKey(seed, Purpose.dropout, at.epoch, at.step, layer);
  const threshold = p * 0x100000000;
  const keep = 1 / (1 - p);
  for (let i = 0; i < out.length; i++) out[i] = word(key, i) < threshold ? 0 : keep;
}
