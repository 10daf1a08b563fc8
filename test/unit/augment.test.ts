/** What augmentation draws, against torchvision's distributions. */
import { expect, it } from 'vitest';
import type { ResolvedExperiment } from '../../src/core/experiment';
import { apply, Augmentation, drawAugmentation } from '../../src/trainer/data/augment';
import { Raster } from '../../src/trainer/data/raster';

const settings: NonNullable<ResolvedExperiment['augment']> = {
  randomResizedCrop: { scale: [0.8, 1], ratio: [0.9, 1.1] },
  horizontalFlip: 0.5,
  rotation: 10,
  rotationFill: 'constant',
  colorJitter: { brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.05 },
};
const count = 6000;
const [width, height] = [400, 380];
const drawMany = (own = settings, epoch = 1, w = width, h = height): Augmentation[] =>
  Array.from({ length: count }, (_, index) => drawAugmentation(own, 5, epoch, index, w, h));
const drawnOnce = drawMany();
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Holds values to a uniform distribution: mean and spread within five standard errors, nothing outside. */
function expectUniform(values: readonly number[], low: number, high: number): void {
  const [span, n] = [high - low, values.length];
  expect(Math.min(...values)).toBeGreaterThanOrEqual(low);
  expect(Math.max(...values)).toBeLessThanOrEqual(high);
  const middle = (low + high) / 2;
  expect(Math.abs(mean(values) - middle)).toBeLessThan((5 * span) / Math.sqrt(12 * n));
  // The variance of (x - middle)² for a uniform x is span⁴ / 180.
  const spread = mean(values.map((v) => (v - middle) ** 2));
  expect(Math.abs(spread - span ** 2 / 12)).toBeLessThan((5 * span ** 2) / Math.sqrt(180 * n));
}

it('flips half of the images', () => {
  // Five standard errors of a fair coin.
  expect(Math.abs(mean(drawnOnce.map((a) => Number(a.mirrored))) - 0.5)).toBeLessThan(2.5 / Math.sqrt(count));
});

it('turns by angles uniform in ±10°', () => {
  expectUniform(
    drawnOnce.map((a) => a.degrees),
    -10,
    10,
  );
});

it.each([
  ['brightness', 0.8, 1.2],
  ['contrast', 0.8, 1.2],
  ['saturation', 0.8, 1.2],
  ['hue', -0.05, 0.05],
] as const)('draws %s uniformly', (part, low, high) => {
  const amounts = drawnOnce.map((a) => a.jitter.find((j) => j.part === part)!.amount);
  expectUniform(amounts, low, high);
});

it('applies the jitter’s parts in each of the 24 orders equally often', () => {
  const orders = new Map<string, number>();
  for (const { jitter } of drawnOnce) {
    const order = jitter.map((j) => j.part).join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  expect(orders.size).toBe(24);
  // Chi square with 23 degrees of freedom stays below 50 but for one draw in a thousand.
  const expected = count / 24;
  expect([...orders.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)).toBeLessThan(50);
});

it('crops as RandomResizedCrop: area, ratio and place', () => {
  const crops = drawnOnce.map((a) => a.crop!);
  for (const { left, top, width: w, height: h } of crops) {
    expect(Number.isInteger(left) && Number.isInteger(top) && Number.isInteger(w) && Number.isInteger(h)).toBe(true);
    expect(left >= 0 && top >= 0 && left + w <= width && top + h <= height).toBe(true);
    // Rounding to whole pixels moves area and ratio by less than half a percent.
    expect((w * h) / (width * height)).toBeGreaterThan(0.796);
    expect(w / h).toBeGreaterThan(0.895);
    expect(w / h).toBeLessThan(1.106);
  }
  // Where the crop leaves room, its place is uniform in it.
  const roomy = crops.filter((c) => width - c.width > 20);
  expect(Math.abs(mean(roomy.map((c) => c.left / (width - c.width))) - 0.5)).toBeLessThan(
    5 / Math.sqrt(12 * roomy.length),
  );
});

it('falls back on the middle where ten attempts do not fit, as torchvision does', () => {
  // Three times as wide as high: no part of 80 % has a ratio below 1.1.
  for (const { crop } of drawMany(settings, 1, 900, 300).slice(0, 50)) {
    expect(crop).toEqual({ left: 285, top: 0, width: 330, height: 300 });
  }
  for (const { crop } of drawMany(settings, 1, 200, 600).slice(0, 50)) {
    expect(crop).toEqual({ left: 0, top: 189, width: 200, height: 222 });
  }
});

it('is a function of seed, epoch and index, and each choice of its own stream', () => {
  const at = (seed: number, epoch: number, index: number, own = settings) =>
    drawAugmentation(own, seed, epoch, index, width, height);
  expect(at(5, 1, 17)).toEqual(drawnOnce[17]);
  for (const other of [at(6, 1, 17), at(5, 2, 17), at(5, 1, 18)]) expect(other).not.toEqual(drawnOnce[17]);
  const { rotation: _, ...without } = settings;
  expect(at(5, 1, 17, without)).toEqual({ ...drawnOnce[17], degrees: 0 });
});

it('draws what Keras’s layers draw', () => {
  const keras = drawMany({
    randomCrop: { enlarge: 1.142857 },
    horizontalFlip: 0.5,
    rotation: 18,
    rotationFill: 'reflect',
    channelContrast: 0.2,
  });
  expectUniform(
    keras.map((a) => a.channelContrast!),
    0.8,
    1.2,
  );
  expectUniform(
    keras.map((a) => a.shift!.x),
    0,
    1,
  );
  expectUniform(
    keras.map((a) => a.degrees),
    -18,
    18,
  );
  expect(keras[0]!.crop).toBeUndefined();
  expect(keras[0]!.jitter).toEqual([]);
});

it('in evaluation takes the middle of the enlarged image, where the appendix does', () => {
  // 256 to 224, in small: 8 to 7 would leave no room on one side, 40 to 35 leaves 2 and 3.
  const raster = () => new Raster(35);
  const image = { width: 50, height: 41, data: new Uint8Array(50 * 41 * 3).map((_, i) => (i * 7919) % 251) };
  const framing = { antialias: false, enlarge: 8 / 7 };
  const made = (augmentation: Augmentation | undefined, centred: boolean) => {
    const own = raster();
    apply(own, image, augmentation, { ...framing, centred }, 'constant');
    const out = new Float32Array(3 * 35 * 35);
    own.write(out, [0, 0, 0], [1, 1, 1]);
    return out;
  };
  // Of six places, the third: 2 of 5 pixels from the top and the left.
  const shift = { x: 2.5 / 6, y: 2.5 / 6 };
  const middle = { shift, mirrored: false, degrees: 0, jitter: [] };
  expect(made(undefined, true)).toEqual(made(middle, true));
  expect(made(undefined, true)).not.toEqual(made(undefined, false));
  // Experiments recorded without it go on as they were.
  expect(made(middle, false)).toEqual(made(middle, true));
});
