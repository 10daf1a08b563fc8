/** The stages of image preparation against Pillow's own results (test/golden/augment, written by torchvision). */
import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { chainAxes, partOfAxis, Image, Raster, resizeAxis } from '../../src/trainer/data/raster';

const folder = 'test/golden/augment';
interface Case {
  readonly crop: { readonly top: number; readonly left: number; readonly height: number; readonly width: number };
  readonly rotate_degrees_counter_clockwise: number;
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  readonly hue: number;
}
const cases = JSON.parse(readFileSync(`${folder}/parameters.json`, 'utf8')) as Case[];
const size = 224;

async function image(name: string): Promise<Image> {
  const { data, info } = await sharp(`${folder}/${name}.png`).raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data };
}

const whole = (length: number) => resizeAxis(length, 0, length, size);

/** A raster that holds an image of its own size as it is. */
function holding(square: Image): Raster {
  const raster = new Raster(size);
  raster.resample(square, whole(size), whole(size), true);
  return raster;
}

/** Mean absolute difference of bytes. */
function difference(bytes: Uint8Array, expected: Uint8Array): number {
  expect(bytes.length).toBe(expected.length);
  return bytes.reduce((sum, value, i) => sum + Math.abs(value - expected[i]!), 0) / bytes.length;
}

// What must hold is 2 of 255 (rotation 4). The arithmetic is Pillow's own, so far less is allowed here: only ties that
// float32 and float64 round differently, and, when resampling, Pillow's rounding between its two passes.
const exact = 0.01;
const oneRounding = 0.25;

describe.each(cases.map((parameters, i) => ({ i, parameters })))('image $i', ({ i, parameters }) => {
  const { crop, rotate_degrees_counter_clockwise: degrees, brightness, contrast, saturation, hue } = parameters;

  // Each stage starts from Pillow's result of the stage before, so that no difference hides behind another.
  it.each<[string, string, (raster: Raster) => void]>([
    ['rotate', 'flip', (raster) => raster.rotate(degrees, 'constant', true)],
    ['brightness', 'rotate', (raster) => raster.brightness(brightness)],
    ['contrast', 'brightness', (raster) => raster.contrast(contrast)],
    ['saturation', 'contrast', (raster) => raster.saturation(saturation)],
    ['hue', 'saturation', (raster) => raster.hue(hue)],
  ])('%s is Pillow’s', async (stage, before, apply) => {
    const [from, to] = [await image(`${i}-${before}`), await image(`${i}-${stage}`)];
    const raster = holding(from);
    if (stage !== 'rotate') raster.separate();
    apply(raster);
    if (stage === 'rotate') raster.separate();
    expect(difference(raster.bytes(), to.data)).toBeLessThan(exact);
    // The stage does something at all.
    expect(difference(from.data, to.data)).toBeGreaterThan(1);
  });

  it('crop, flip and the resize for evaluation are Pillow’s', async () => {
    const source = await image(`${i}-source`);
    const columns = resizeAxis(source.width, crop.left, crop.width, size);
    const rows = resizeAxis(source.height, crop.top, crop.height, size);
    const raster = new Raster(size);
    const made = async (
      stage: string,
      ...axes: Parameters<Raster['resample']> extends [unknown, ...infer R] ? R : never
    ) => {
      raster.resample(source, ...axes);
      raster.separate();
      return difference(raster.bytes(), (await image(`${i}-${stage}`)).data);
    };
    expect(await made('crop', rows, columns, true)).toBeLessThan(oneRounding);
    expect(await made('flip', rows, partOfAxis(columns, 0, size, true), true)).toBeLessThan(oneRounding);
    expect(await made('resize', whole(source.height), whole(source.width), true)).toBeLessThan(oneRounding);
  });

  it('all stages in a row stay close to Pillow’s', async () => {
    const source = await image(`${i}-source`);
    const columns = resizeAxis(source.width, crop.left, crop.width, size);
    const raster = new Raster(size);
    raster.resample(
      source,
      resizeAxis(source.height, crop.top, crop.height, size),
      partOfAxis(columns, 0, size, true),
      true,
    );
    raster.rotate(degrees, 'constant', true);
    raster.separate();
    raster.brightness(brightness);
    raster.contrast(contrast);
    raster.saturation(saturation);
    raster.hue(hue);
    // A unit of difference after the first stage can grow through the factors of the later ones and HSV's coarse hues.
    expect(difference(raster.bytes(), (await image(`${i}-hue`)).data)).toBeLessThan(1);
  });
});

/** An image of 8 × 6 pixels with a value of its own in each place. */
const small: Image = { width: 8, height: 6, data: Uint8Array.from({ length: 144 }, (_, i) => (i * 37) % 256) };

/** The planes of a raster as the network would see them, in 0 to 255. */
function values(raster: Raster): Float32Array {
  const out = new Float32Array(3 * raster.size ** 2);
  raster.write(out, [0, 0, 0], [1 / 255, 1 / 255, 1 / 255]);
  return out;
}

it('without antialiasing reads the two nearest samples of each axis, as Keras does', () => {
  const outputs = 3;
  const raster = new Raster(outputs);
  raster.resample(small, resizeAxis(6, 0, 6, outputs, false), resizeAxis(8, 0, 8, outputs, false), false);
  raster.separate();
  const at = (x: number, y: number, c: number) => {
    const clamp = (v: number, most: number) => Math.max(0, Math.min(most, v));
    return small.data[(clamp(y, 5) * 8 + clamp(x, 7)) * 3 + c]!;
  };
  const out = values(raster);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < outputs; y++) {
      for (let x = 0; x < outputs; x++) {
        const [u, v] = [((x + 0.5) * 8) / 3 - 0.5, ((y + 0.5) * 6) / 3 - 0.5];
        const [x0, y0] = [Math.floor(u), Math.floor(v)];
        const row = (yy: number) => at(x0, yy, c) * (1 - (u - x0)) + at(x0 + 1, yy, c) * (u - x0);
        const expected = row(y0) * (1 - (v - y0)) + row(y0 + 1) * (v - y0);
        expect(out[(c * outputs + y) * outputs + x]).toBeCloseTo(expected, 3);
      }
    }
  }
});

it('chains two resizes into the one that they amount to', () => {
  const first = resizeAxis(11, 0, 11, 5, false);
  const second = resizeAxis(5, 0, 5, 9, false);
  const input = Float64Array.from({ length: 11 }, (_, i) => Math.sin(i * 2.3) * 100);
  const through = ({ starts, weights, taps }: typeof first, from: Float64Array) =>
    Float64Array.from(starts, (start, i) =>
      Array.from({ length: taps }, (_, k) => weights[i * taps + k]! * from[start + k]!).reduce((a, b) => a + b, 0),
    );
  const expected = through(second, through(first, input));
  through(chainAxes(first, second), input).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));
});

it('a rotation with reflect shows the image mirrored at its borders', () => {
  const side = 6;
  const square: Image = { width: side, height: side, data: small.data.subarray(0, side * side * 3) };
  const raster = new Raster(side);
  const axis = resizeAxis(side, 0, side, side);
  raster.resample(square, axis, axis, false);
  raster.rotate(18, 'reflect', false);
  raster.separate();
  const out = values(raster);
  const angle = (18 * Math.PI) / 180;
  const mirrored = (i: number) => (i < 0 ? -1 - i : i >= side ? 2 * side - 1 - i : i);
  const at = (x: number, y: number, c: number) => square.data[(mirrored(y) * side + mirrored(x)) * 3 + c]!;
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const [dx, dy] = [x + 0.5 - side / 2, y + 0.5 - side / 2];
        const u = Math.cos(angle) * dx - Math.sin(angle) * dy + side / 2 - 0.5;
        const v = Math.sin(angle) * dx + Math.cos(angle) * dy + side / 2 - 0.5;
        const [x0, y0] = [Math.floor(u), Math.floor(v)];
        const row = (yy: number) => at(x0, yy, c) * (1 - (u - x0)) + at(x0 + 1, yy, c) * (u - x0);
        expect(out[(c * side + y) * side + x]).toBeCloseTo(row(y0) * (1 - (v - y0)) + row(y0 + 1) * (v - y0), 2);
      }
    }
  }
});

it('contrast by channel keeps each channel’s mean and scales what differs from it', () => {
  const side = 5;
  const square: Image = { width: side, height: side, data: Uint8Array.from({ length: 75 }, (_, i) => 90 + (i % 41)) };
  const raster = new Raster(side);
  const axis = resizeAxis(side, 0, side, side);
  raster.resample(square, axis, axis, false);
  raster.separate();
  raster.channelContrast(1.2);
  const out = values(raster);
  for (let c = 0; c < 3; c++) {
    const before = Array.from({ length: 25 }, (_, i) => square.data[i * 3 + c]!);
    const mean = before.reduce((a, b) => a + b, 0) / 25;
    before.forEach((value, i) => expect(out[c * 25 + i]).toBeCloseTo(mean + 1.2 * (value - mean), 3));
  }
});

it('writes one channel as Pillow’s grey, normalised', () => {
  const side = 3;
  const square: Image = {
    width: side,
    height: side,
    data: Uint8Array.from({ length: 27 }, (_, i) => (i * 53) % 256),
  };
  const raster = new Raster(side);
  const axis = resizeAxis(side, 0, side, side);
  raster.resample(square, axis, axis, true);
  raster.separate();
  const out = new Float32Array(side * side);
  raster.write(out, [0.5], [0.25]);
  out.forEach((value, i) => {
    const [r, g, b] = square.data.subarray(i * 3, i * 3 + 3);
    const grey = (r! * 19595 + g! * 38470 + b! * 7471 + 0x8000) >> 16;
    expect(value).toBeCloseTo((grey / 255 - 0.5) / 0.25, 5);
  });
});
