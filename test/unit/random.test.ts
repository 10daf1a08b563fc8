/** The counter-based random numbers: reproducible, well spread, and independent from stream to stream. */
import { describe, expect, it } from 'vitest';
import {
  fillDropoutMask,
  fillNormal,
  fillUniform,
  permutation,
  Purpose,
  streamKey,
  uniform,
  word,
} from '../../src/core/random';

const n = 100_000;
const draw = (...path: [number, ...number[]]) => {
  const key = streamKey(...path);
  return Float64Array.from({ length: n }, (_, i) => uniform(key, i));
};
const mean = (values: Float32Array | Float64Array): number => {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
};
const correlation = (a: Float64Array, b: Float64Array) => mean(a.map((v, i) => (v - 0.5) * (b[i]! - 0.5))) * 12;
/** Correlation of n independent pairs has standard error 1/sqrt(n); five of them. */
const noise = 5 / Math.sqrt(n);

describe('streams', () => {
  it('repeat, whatever was drawn before and in whatever order', () => {
    const key = streamKey(1, Purpose.order, 3);
    const forward = [0, 1, 2, 99].map((i) => word(key, i));
    word(streamKey(2, 5), 7);
    expect([99, 2, 1, 0].map((i) => word(streamKey(1, Purpose.order, 3), i)).reverse()).toEqual(forward);
  });

  it('stay what they are: another version must not change a run that is resumed', () => {
    // From a transcription of the definition into Python's unbounded integers.
    expect([0, 1, 2].map((i) => word(streamKey(1, 2, 3), i))).toEqual([1917618700, 2091082212, 688935307]);
    expect([0, 1_000_000].map((i) => word(streamKey(2 ** 40 + 5, 4), i))).toEqual([3419296332, 2706060023]);
  });

  it('have the moments of a uniform distribution', () => {
    const u = draw(1, Purpose.augment, 1);
    expect(u.every((v) => v >= 0 && v < 1)).toBe(true);
    // Five standard errors of the mean, sqrt(1/12n), and of the second moment, sqrt((1/5 - 1/9)/n).
    expect(Math.abs(mean(u) - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / (12 * n)));
    expect(Math.abs(mean(u.map((v) => v * v)) - 1 / 3)).toBeLessThan(5 * Math.sqrt(4 / (45 * n)));
  });

  it('fill every cell evenly and do not follow their own past', () => {
    const u = draw(3, 1);
    const cells = new Float64Array(256);
    for (const v of u) cells[Math.floor(v * 256)]!++;
    // Chi-square with 255 degrees of freedom: mean 255, standard deviation sqrt(510); five of them.
    const chi = cells.reduce((sum, count) => sum + (count - n / 256) ** 2 / (n / 256), 0);
    expect(Math.abs(chi - 255)).toBeLessThan(5 * Math.sqrt(510));
    for (const lag of [1, 2, 7, 64]) expect(Math.abs(correlation(u.slice(0, -lag), u.slice(lag)))).toBeLessThan(noise);
  });

  it.each<[string, [number, ...number[]], [number, ...number[]]]>([
    ['seed', [1, 3, 1], [2, 3, 1]],
    ['high word of the seed', [1, 3, 1], [2 ** 32 + 1, 3, 1]],
    ['purpose', [1, 3, 1], [1, 4, 1]],
    ['epoch', [1, 3, 1], [1, 3, 2]],
    ['order of the path', [1, 3, 4], [1, 4, 3]],
    ['length of the path', [1, 3], [1, 3, 0]],
  ])('differ with the %s', (_, a, b) => {
    const [u, v] = [draw(...a), draw(...b)];
    expect(u.filter((value, i) => value === v[i]).length).toBeLessThan(10);
    expect(Math.abs(correlation(u, v))).toBeLessThan(noise);
    for (const lag of [1, 2]) expect(Math.abs(correlation(u.slice(lag), v.slice(0, -lag)))).toBeLessThan(noise);
  });

  it('do not collide over many seeds, epochs and steps', () => {
    const keys = new Set<string>();
    for (let seed = 0; seed < 20; seed++)
      for (let epoch = 0; epoch < 20; epoch++)
        for (let step = 0; step < 50; step++) {
          const { k0, k1 } = streamKey(seed, Purpose.dropout, epoch, step);
          keys.add(`${k0},${k1}`);
        }
    expect(keys.size).toBe(20_000);
  });
});

describe('fills', () => {
  it('uniform: within [-bound, bound), centred', () => {
    const out = new Float32Array(n);
    fillUniform(out, streamKey(5, 1), 0.25);
    expect(out.every((v) => v >= -0.25 && v <= 0.25)).toBe(true);
    expect(Math.abs(mean(out))).toBeLessThan((5 * 0.25) / Math.sqrt(3 * n));
    expect(Math.min(...out.slice(0, 10_000))).toBeLessThan(-0.249);
    expect(Math.max(...out.slice(0, 10_000))).toBeGreaterThan(0.249);
  });

  it('normal: mean, spread, tails, and an odd length', () => {
    const out = new Float32Array(n + 1);
    fillNormal(out, streamKey(5, 2), 2);
    const z = out.map((v) => v / 2);
    // Five standard errors of the moments 1, 2 and 4 of a standard normal: sqrt(1/n), sqrt(2/n), sqrt(96/n).
    expect(Math.abs(mean(z))).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(mean(z.map((v) => v ** 2)) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(mean(z.map((v) => v ** 4)) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
    expect(out[n]).not.toBe(0);
    // Each pair comes from one radius and angle; its halves must not be related.
    const [even, odd] = [z.filter((_, i) => i % 2 === 0), z.filter((_, i) => i % 2 === 1)];
    expect(Math.abs(mean(odd.map((v, i) => v * even[i]!)))).toBeLessThan(5 / Math.sqrt(n / 2));
  });
});

describe('permutation', () => {
  it.each([0, 1, 2, 1000])('of %i holds every number once', (size) => {
    const order = permutation(streamKey(1, Purpose.order, 1), size);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
  });

  it('repeats for the same key and differs for the next epoch', () => {
    const epoch = (e: number) => permutation(streamKey(1, Purpose.order, e), 1000);
    expect(epoch(1)).toEqual(epoch(1));
    // Two random orders of 1000 share one place on average (Poisson); 12 or more has a chance below 1e-9.
    expect(epoch(1).filter((v, i) => v === epoch(2)[i]).length).toBeLessThan(12);
  });

  it('gives each of the six orders of three equally often', () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 6000; seed++) {
      const order = permutation(streamKey(seed, Purpose.order, 1), 3).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    // Binomial with p = 1/6: standard deviation sqrt(6000 · 5/36) ≈ 29; five of them.
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
  });
});

describe('dropout masks', () => {
  const mask = (at: { epoch: number; step: number }, layer: number, p: number, seed = 1) => {
    const out = new Float32Array(n);
    fillDropoutMask(out, seed, at, layer, p);
    return out;
  };

  it('drop a share p and scale the rest by 1 / (1 - p)', () => {
    for (const p of [0.1, 0.5, 0.8]) {
      const out = mask({ epoch: 1, step: 0 }, 0, p);
      expect(out.every((v) => v === 0 || v === Math.fround(1 / (1 - p)))).toBe(true);
      const dropped = out.filter((v) => v === 0).length / n;
      expect(Math.abs(dropped - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / n));
    }
    expect(mask({ epoch: 1, step: 0 }, 0, 0).every((v) => v === 1)).toBe(true);
  });

  it('depend on seed, epoch, step and layer', () => {
    const one = mask({ epoch: 1, step: 1 }, 0, 0.5);
    expect(mask({ epoch: 1, step: 1 }, 0, 0.5)).toEqual(one);
    const others = [
      mask({ epoch: 2, step: 1 }, 0, 0.5),
      mask({ epoch: 1, step: 2 }, 0, 0.5),
      mask({ epoch: 1, step: 1 }, 1, 0.5),
      mask({ epoch: 1, step: 1 }, 0, 0.5, 2),
    ];
    // Independent masks agree in half of their places.
    for (const other of others) {
      const agreeing = other.filter((v, i) => v === one[i]).length / n;
      expect(Math.abs(agreeing - 0.5)).toBeLessThan(5 * Math.sqrt(0.25 / n));
    }
  });
});
