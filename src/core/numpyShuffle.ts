/**
 * NumPy's `RandomState(seed).shuffle`, which Keras divides folders with: MT19937 (Matsumoto & Nishimura 1998, mt19937ar's
 * `init_genrand`), and the legacy shuffle of numpy/random/mtrand.pyx, which draws by masking and rejecting. data/split.ts
 * uses it; everything of ConvLab's own draws from random.ts.
 */

const n = 624;
const m = 397;

/** @returns the next 32 bits of MT19937 with each call */
function mt19937(seed: number): () => number {
  const state = new Uint32Array(n);
  state[0] = seed;
  for (let i = 1; i < n; i++) {
    const before = state[i - 1]! ^ (state[i - 1]! >>> 30);
    state[i] = Math.imul(1812433253, before) + i;
  }
  let at = n;
  return () => {
    if (at === n) {
      for (let i = 0; i < n; i++) {
        const y = (state[i]! & 0x80000000) | (state[(i + 1) % n]! & 0x7fffffff);
        state[i] = state[(i + m) % n]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  };
}

/**
 * The items in the order in which `numpy.random.RandomState(seed).shuffle` leaves them.
 * @param seed 0 to 2³² - 1; NumPy refuses others, here the lower 32 bits count
 */
export function numpyShuffled<T>(items: readonly T[], seed: number): T[] {
  const next = mt19937(seed >>> 0);
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const mask = 2 ** (32 - Math.clz32(i)) - 1;
    let j: number;
    do j = (next() & mask) >>> 0;
    while (j > i);
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}
