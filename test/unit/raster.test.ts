/** The stages of picture preparation against Pillow's own results (test/golden/augment, written by torchvision). */
import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { partOfAxis, Picture, Raster, resizeAxis } from '../../src/trainer/data/raster';

const folder = 'test/golden/augment';
interface Case {
  readonly source: string;
  readonly crop: { readonly top: number; readonly left: number; readonly height: number; readonly width: number };
  readonly rotate_degrees_counter_clockwise: number;
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  readonly hue: number;
}
const cases = JSON.parse(readFileSync(`${folder}/parameters.json`, 'utf8')) as Case[];
const size = 224;

async function picture(name: string): Promise<Picture> {
  const { data, info } = await sharp(`${folder}/${name}.png`).raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data };
}

const whole = (length: number) => resizeAxis(length, 0, length, size);

/** A raster that holds a picture of its own size as it is. */
function holding(square: Picture): Raster {
  const raster = new Raster(size);
  raster.resample(square, whole(size), whole(size), true);
  return raster;
}

/** Mean absolute difference of the bytes. */
function difference(raster: Raster, expected: Picture): number {
  const bytes = raster.bytes();
  expect(bytes.length).toBe(expected.data.length);
  return bytes.reduce((sum, value, i) => sum + Math.abs(value - expected.data[i]!), 0) / bytes.length;
}

describe.each(cases.map((c, i) => [i, c] as const))('picture %i', (i, parameters) => {
  // Each stage starts from Pillow's result of the stage before, so that no difference hides behind another.
  it.each<[string, string, (raster: Raster) => void, number]>([
    ['rotate', 'flip', (r) => r.rotate(parameters.rotate_degrees_counter_clockwise, 'constant', true), 4],
    ['brightness', 'rotate', (r) => r.separate(), 0],
    ['contrast', 'brightness', (r) => r.separate(), 0],
    ['saturation', 'contrast', (r) => r.separate(), 0],
    ['hue', 'saturation', (r) => r.separate(), 0],
  ])('%s', async (stage, before, apply) => {
    const raster = holding(await picture(`${i}-${before}`));
    apply(raster);
    if (stage === 'rotate') raster.separate();
    if (stage === 'brightness') raster.brightness(parameters.brightness);
    if (stage === 'contrast') raster.contrast(parameters.contrast);
    if (stage === 'saturation') raster.saturation(parameters.saturation);
    if (stage === 'hue') raster.hue(parameters.hue);
    console.log(i, stage, difference(raster, await picture(`${i}-${stage}`)));
  });

  it('crop, flip and resize', async () => {
    const source = await picture(`${i}-source`);
    const { top, left, height, width } = parameters.crop;
    const raster = new Raster(size);
    const columns = resizeAxis(source.width, left, width, size);
    const rows = resizeAxis(source.height, top, height, size);
    raster.resample(source, rows, columns, true);
    raster.separate();
    console.log(i, 'crop', difference(raster, await picture(`${i}-crop`)));
    raster.resample(source, rows, partOfAxis(columns, 0, size, true), true);
    raster.separate();
    console.log(i, 'flip', difference(raster, await picture(`${i}-flip`)));
    raster.resample(source, whole(source.height), whole(source.width), true);
    raster.separate();
    console.log(i, 'resize', difference(raster, await picture(`${i}-resize`)));
  });
});
