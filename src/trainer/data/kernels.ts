/**
 * The inner loops of image preparation in WebAssembly SIMD: resampling, rotation and colour, each as Pillow computes
 * it, because torchvision's transforms are Pillow's. raster.ts lays out their memory and calls them.
 *
 * Layouts: "pixels" are rows of four floats (red, green, blue, unused); "planes" are one row-major plane of floats per
 * channel, padded to whole vectors. Values are 0 to 255. A `mask` has all bits set where a stage's values become whole
 * numbers, as they do in an image of bytes, and none where they stay as computed.
 */
import { addTo, define, f32, f32x4, i32, instantiate, Local, repeat, set, V128, v128, when } from '../assembler';

const vectorBytes = 16;
/** The largest value of a byte. */
const full = 255;

const clip = (x: V128): V128 => f32x4.min(f32x4.max(x, f32x4.zero), f32x4.of(full));
/** Cuts off the fraction of values that are not negative, where the mask says so. */
const truncate = (x: V128, mask: V128): V128 => v128.select(f32x4.floor(x), x, mask);

/**
 * Weighted sums over rows, then over columns (a separable filter). `starts` hold byte offsets: of the first source row
 * for the rows, into the row buffer for the columns.
 */
const resample = define(
  [
    ...(['i32', 'i32', 'i32'] as const), // source, bytes from row to row, chunks of 16 bytes used of each row
    ...(['i32', 'i32', 'i32', 'i32'] as const), // rows: starts, weights, taps, count
    ...(['i32', 'i32', 'i32', 'i32'] as const), // columns: starts, weights, taps, count
    ...(['i32', 'i32', 'i32'] as const), // row buffer, target pixels, mask
  ],
  (
    scope,
    ...[
      source,
      stride,
      chunks,
      rowStart,
      rowWeights,
      rowTaps,
      rows,
      colStarts,
      colWeights,
      colTaps,
      cols,
      buffer,
      target,
      whole,
    ]
  ) => {
    const [row, chunk, tap, col] = [scope.i32(), scope.i32(), scope.i32(), scope.i32()];
    const [from, at, to, weight, start] = [scope.i32(), scope.i32(), scope.i32(), scope.i32(), scope.i32()];
    const sums = [scope.v128(), scope.v128(), scope.v128(), scope.v128()];
    const [read, half, factor, sum, mask] = [scope.v128(), scope.v128(), scope.v128(), scope.v128(), scope.v128()];
    const accumulate = (into: Local<'v128'>, words: V128) =>
      set(into, f32x4.add(into, f32x4.mul(factor, f32x4.fromI32(words))));
    return [
      set(mask, v128.splatI32(whole)),
      repeat(row, rows, [
        set(from, i32.add(source, i32.load(rowStart))),
        set(to, buffer),
        repeat(chunk, chunks, [
          ...sums.map((s) => set(s, f32x4.zero)),
          set(at, from),
          set(weight, rowWeights),
          repeat(tap, rowTaps, [
            set(read, v128.load(at)),
            set(factor, f32x4.loadSplat(weight)),
            set(half, v128.i16x8.extendLowU8(read)),
            accumulate(sums[0]!, v128.i32x4.extendLowU16(half)),
            accumulate(sums[1]!, v128.i32x4.extendHighU16(half)),
            set(half, v128.i16x8.extendHighU8(read)),
            accumulate(sums[2]!, v128.i32x4.extendLowU16(half)),
            accumulate(sums[3]!, v128.i32x4.extendHighU16(half)),
            set(at, i32.add(at, stride)),
            addTo(weight, 4),
          ]),
          ...sums.map((s, i) => v128.store(to, s, i * vectorBytes)),
          addTo(from, vectorBytes),
          addTo(to, 4 * vectorBytes),
        ]),
        addTo(rowStart, 4),
        set(rowWeights, weight),
        set(start, colStarts),
        set(weight, colWeights),
        repeat(col, cols, [
          set(at, i32.add(buffer, i32.load(start))),
          set(sum, f32x4.zero),
          repeat(tap, colTaps, [
            // Red, green, blue, and the next pixel's red, which nobody reads.
            set(sum, f32x4.add(sum, f32x4.mul(f32x4.loadSplat(weight), v128.load(at)))),
            addTo(at, 12),
            addTo(weight, 4),
          ]),
          v128.store(target, v128.select(f32x4.nearest(sum), sum, mask)),
          addTo(start, 4),
          addTo(target, vectorBytes),
        ]),
      ]),
    ];
  },
);

/**
 * Bilinear rotation about the centre: output (x, y) shows the source at (cos x + sin y, -sin x + cos y), measured from
 * the centre between pixels. Outside of the source: black, or the source mirrored at its borders.
 */
const rotate = define(
  ['i32', 'i32', 'i32', 'f32', 'f32', 'i32', 'i32'],
  (scope, source, target, size, cos, sin, reflect, whole) => {
    const [row, col, x0, x1, y0, y1] = [scope.i32(), scope.i32(), scope.i32(), scope.i32(), scope.i32(), scope.i32()];
    const [x, y, u, v, side, centre] = [scope.f32(), scope.f32(), scope.f32(), scope.f32(), scope.f32(), scope.f32()];
    const [rowCos, rowSin, inner] = [scope.f32(), scope.f32(), scope.f32()];
    const [dx, top, bottom, mask] = [scope.v128(), scope.v128(), scope.v128(), scope.v128()];
    const [upper, lower, rowBytes] = [scope.i32(), scope.i32(), scope.i32()];
    const zero = f32.of(0);
    const half = f32.of(0.5);
    const mirrored = (at: Local<'f32'>) =>
      set(at, f32.select(f32.sub(f32.add(side, side), f32.abs(at)), f32.abs(at), f32.greaterThan(f32.abs(at), side)));
    const outside = (at: Local<'f32'>) => [f32.lessThan(at, zero), f32.atLeast(at, side)] as const;
    const last = i32.sub(size, i32.of(1));
    /** Splits a coordinate into the pixels on its two sides, inside the image, and leaves the share of the second. */
    const neighbours = (at: Local<'f32'>, low: Local<'i32'>, high: Local<'i32'>) => [
      set(at, f32.sub(at, f32.of(0.5))),
      set(low, i32.fromF32(f32.floor(at))),
      set(at, f32.sub(at, f32.floor(at))),
      set(high, i32.add(low, i32.of(1))),
      set(high, i32.select(last, high, i32.lessThan(last, high))),
      set(low, i32.select(i32.of(0), low, i32.lessThan(low, i32.of(0)))),
    ];
    const pixel = (px: Local<'i32'>, py: Local<'i32'>) =>
      v128.load(i32.add(source, i32.mul(i32.add(i32.mul(py, size), px), i32.of(vectorBytes))));
    const between = (a: V128, b: V128, share: V128) => f32x4.add(a, f32x4.mul(f32x4.sub(b, a), share));
    /** Stores the mean of four pixels, u and v being the shares of the right and the lower ones. */
    const mean = (pixels: readonly [V128, V128, V128, V128]) => [
      set(dx, f32x4.splat(u)),
      set(top, between(pixels[0], pixels[1], dx)),
      set(bottom, between(pixels[2], pixels[3], dx)),
      set(top, between(top, bottom, f32x4.splat(v))),
      v128.store(target, truncate(top, mask)),
    ];
    /** Nearly all pixels: those that have all four neighbours, and need no care. */
    const amidst = [
      set(u, f32.sub(u, half)),
      set(v, f32.sub(v, half)),
      set(x0, i32.fromF32(u)),
      set(y0, i32.fromF32(v)),
      set(u, f32.sub(u, f32.fromI32(x0))),
      set(v, f32.sub(v, f32.fromI32(y0))),
      set(upper, i32.add(source, i32.add(i32.mul(y0, rowBytes), i32.mul(x0, i32.of(vectorBytes))))),
      set(lower, i32.add(upper, rowBytes)),
      ...mean([v128.load(upper), v128.load(upper, vectorBytes), v128.load(lower), v128.load(lower, vectorBytes)]),
    ];
    const atTheBorder = [
      when(reflect, [mirrored(u), mirrored(v)]),
      when(
        // A sum of comparisons: not 0 where any holds.
        [...outside(u), ...outside(v)].reduce((a, b) => i32.add(a, b)),
        // Mirrored coordinates can lie on the far border itself, which belongs to the last pixel.
        [
          when(
            reflect,
            [set(u, f32.min(u, f32.sub(side, half))), set(v, f32.min(v, f32.sub(side, half)))],
            [v128.store(target, f32x4.zero), set(u, f32.of(-1))],
          ),
        ],
      ),
      when(f32.atLeast(u, zero), [
        ...neighbours(u, x0, x1),
        ...neighbours(v, y0, y1),
        ...mean([pixel(x0, y0), pixel(x1, y0), pixel(x0, y1), pixel(x1, y1)]),
      ]),
    ];
    return [
      set(mask, v128.splatI32(whole)),
      set(side, f32.fromI32(size)),
      set(inner, f32.sub(side, half)),
      set(rowBytes, i32.mul(size, i32.of(vectorBytes))),
      set(centre, f32.mul(side, half)),
      set(y, f32.sub(half, centre)),
      repeat(row, size, [
        set(x, f32.sub(half, centre)),
        set(rowSin, f32.mul(y, sin)),
        set(rowCos, f32.mul(y, cos)),
        repeat(col, size, [
          set(u, f32.add(f32.add(f32.mul(x, cos), rowSin), centre)),
          set(v, f32.add(f32.sub(rowCos, f32.mul(x, sin)), centre)),
          // A product of comparisons: 1 where both hold.
          when(i32.mul(f32.atLeast(f32.min(u, v), half), f32.lessThan(f32.max(u, v), inner)), amidst, atTheBorder),
          addTo(target, vectorBytes),
          set(x, f32.add(x, f32.of(1))),
        ]),
        set(y, f32.add(y, f32.of(1))),
      ]),
    ];
  },
);

const lanes = (...floats: number[]): number[] => floats.flatMap((f) => [0, 1, 2, 3].map((byte) => f * 4 + byte));

/** Pixels to planes, four pixels at a time. */
const planesOf = define(['i32', 'i32', 'i32', 'i32'], (scope, pixels, planes, planeBytes, vectors) => {
  const left = scope.i32();
  const p = [scope.v128(), scope.v128(), scope.v128(), scope.v128()];
  const low = scope.v128();
  const high = scope.v128();
  const blue = scope.i32();
  return [
    set(blue, i32.add(planes, i32.add(planeBytes, planeBytes))),
    repeat(left, vectors, [
      ...p.map((pixel, i) => set(pixel, v128.load(pixels, i * vectorBytes))),
      // r0 r1 g0 g1 and r2 r3 g2 g3
      set(low, v128.shuffle(p[0]!, p[1]!, lanes(0, 4, 1, 5))),
      set(high, v128.shuffle(p[2]!, p[3]!, lanes(0, 4, 1, 5))),
      v128.store(planes, v128.shuffle(low, high, lanes(0, 1, 4, 5))),
      v128.store(i32.add(planes, planeBytes), v128.shuffle(low, high, lanes(2, 3, 6, 7))),
      set(low, v128.shuffle(p[0]!, p[1]!, lanes(2, 6, 2, 6))),
      set(high, v128.shuffle(p[2]!, p[3]!, lanes(2, 6, 2, 6))),
      v128.store(blue, v128.shuffle(low, high, lanes(0, 1, 4, 5))),
      addTo(pixels, 4 * vectorBytes),
      addTo(planes, vectorBytes),
      addTo(blue, vectorBytes),
    ]),
  ];
});

/** Planes to rows of red, green, blue bytes, rounded and clipped; four bytes behind the last pixel are written, too. */
const bytesOf = define(['i32', 'i32', 'i32', 'i32'], (scope, planes, planeBytes, vectors, target) => {
  const [left, green, blue] = [scope.i32(), scope.i32(), scope.i32()];
  // Added to a byte's value, 2²³ leaves that value in the lowest byte of the sum.
  const value = (pointer: Local<'i32'>) => f32x4.add(clip(v128.load(pointer)), f32x4.of(2 ** 23));
  const pair = (i: number) => [i * 4, 16 + i * 4];
  const triple = (i: number) => [i * 2, i * 2 + 1, 16 + i * 4];
  const rest = [0, 0, 0, 0];
  return [
    set(green, i32.add(planes, planeBytes)),
    set(blue, i32.add(green, planeBytes)),
    repeat(left, vectors, [
      v128.store(
        target,
        v128.shuffle(
          v128.shuffle(value(planes), value(green), [...[0, 1, 2, 3].flatMap(pair), ...rest, ...rest]),
          value(blue),
          [...[0, 1, 2, 3].flatMap(triple), ...rest],
        ),
      ),
      ...[planes, green, blue].map((pointer) => addTo(pointer, vectorBytes)),
      addTo(target, 12),
    ]),
  ];
});

/** Pillow's Image.blend with a constant: x := base + factor (x - base), clipped. */
const blend = define(['i32', 'i32', 'f32', 'f32', 'i32'], (scope, values, vectors, base, factor, whole) => {
  const [left, mask, b] = [scope.i32(), scope.v128(), scope.v128()];
  return [
    set(mask, v128.splatI32(whole)),
    set(b, f32x4.splat(base)),
    repeat(left, vectors, [
      v128.store(
        values,
        truncate(clip(f32x4.add(b, f32x4.mul(f32x4.splat(factor), f32x4.sub(v128.load(values), b)))), mask),
      ),
      addTo(values, vectorBytes),
    ]),
  ];
});

const total = (sum: V128) => [0, 1, 2, 3].map((lane) => f32x4.lane(sum, lane)).reduce((a, b) => f32.add(a, b));

const sumOf = define(
  ['i32', 'i32'],
  (scope, values, vectors) => {
    const [left, sum] = [scope.i32(), scope.v128()];
    return [
      set(sum, f32x4.zero),
      repeat(left, vectors, [set(sum, f32x4.add(sum, v128.load(values))), addTo(values, vectorBytes)]),
      total(sum),
    ];
  },
  'f32',
);

/** Pillow's conversion to "L": (19595 R + 38470 G + 7471 B + 32768) / 65536, cut off; exact in float32. */
const greyOf = (red: V128, green: V128, blue: V128): V128 => {
  const [r, g, b] = [19595, 38470, 7471].map(f32x4.of) as [V128, V128, V128];
  const sum = f32x4.add(f32x4.add(f32x4.mul(red, r), f32x4.mul(green, g)), f32x4.mul(blue, b));
  return f32x4.floor(f32x4.mul(f32x4.add(sum, f32x4.of(32768)), f32x4.of(1 / 65536)));
};

/** Writes the grey plane of an image. */
const grey = define(['i32', 'i32', 'i32', 'i32'], (scope, planes, planeBytes, vectors, target) => {
  const [left, blue] = [scope.i32(), scope.i32()];
  return [
    set(blue, i32.add(planes, i32.add(planeBytes, planeBytes))),
    repeat(left, vectors, [
      v128.store(target, greyOf(v128.load(planes), v128.load(i32.add(planes, planeBytes)), v128.load(blue))),
      ...[planes, blue, target].map((pointer) => addTo(pointer, vectorBytes)),
    ]),
  ];
});

/** Blends each pixel with its grey, cutting off fractions. */
const saturate = define(['i32', 'i32', 'i32', 'f32'], (scope, planes, planeBytes, vectors, factor) => {
  const [left, green, blue, f, base] = [scope.i32(), scope.i32(), scope.i32(), scope.v128(), scope.v128()];
  const pointers = [planes, green, blue];
  return [
    set(f, f32x4.splat(factor)),
    set(green, i32.add(planes, planeBytes)),
    set(blue, i32.add(green, planeBytes)),
    repeat(left, vectors, [
      set(base, greyOf(v128.load(planes), v128.load(green), v128.load(blue))),
      ...pointers.map((pointer) =>
        v128.store(pointer, f32x4.floor(clip(f32x4.add(base, f32x4.mul(f, f32x4.sub(v128.load(pointer), base)))))),
      ),
      ...pointers.map((pointer) => addTo(pointer, vectorBytes)),
    ]),
  ];
});

/** Turns the hue by `shift` of 256 steps, through Pillow's HSV in bytes. */
const turnHue = define(['i32', 'i32', 'i32', 'f32'], (scope, planes, planeBytes, vectors, shift) => {
  const [left, green, blue] = [scope.i32(), scope.i32(), scope.i32()];
  const [r, g, b, most, chroma] = [scope.v128(), scope.v128(), scope.v128(), scope.v128(), scope.v128()];
  const [hue, saturation, coloured, place] = [scope.v128(), scope.v128(), scope.v128(), scope.v128()];
  const pointers = [planes, green, blue];
  const constant = f32x4.of;
  const one = constant(1);
  /** How far a channel lies below the largest, as a share of the chroma. */
  const below = (channel: V128) => f32x4.div(f32x4.sub(most, channel), chroma);
  /** 0 in the two sixths of the circle where the channel is the largest, 1 where it is the smallest. */
  const lack = f32x4.min(f32x4.max(f32x4.min(place, f32x4.sub(constant(4), place)), f32x4.zero), one);
  return [
    set(green, i32.add(planes, planeBytes)),
    set(blue, i32.add(green, planeBytes)),
    repeat(left, vectors, [
      ...[r, g, b].map((local, i) => set(local, v128.load(pointers[i]!))),
      set(most, f32x4.max(f32x4.max(r, g), b)),
      set(chroma, f32x4.sub(most, f32x4.min(f32x4.min(r, g), b))),
      // Grey pixels have neither hue nor saturation; dividing by 1 keeps them finite.
      set(coloured, f32x4.atLeast(chroma, one)),
      set(saturation, f32x4.div(chroma, f32x4.max(most, one))),
      set(saturation, f32x4.div(f32x4.floor(f32x4.mul(saturation, constant(full))), constant(full))),
      set(chroma, f32x4.max(chroma, one)),
      set(
        hue,
        v128.select(
          f32x4.sub(below(b), below(g)),
          v128.select(
            f32x4.add(constant(2), f32x4.sub(below(r), below(b))),
            f32x4.add(constant(4), f32x4.sub(below(g), below(r))),
            f32x4.equal(g, most),
          ),
          f32x4.equal(r, most),
        ),
      ),
      set(hue, v128.and(hue, coloured)),
      // fmod(hue / 6 + 1, 1), in 255ths, cut off; then the turn, modulo 256.
      set(hue, f32x4.add(f32x4.div(hue, constant(6)), one)),
      set(hue, f32x4.floor(f32x4.mul(f32x4.sub(hue, f32x4.floor(hue)), constant(full)))),
      set(hue, f32x4.add(hue, f32x4.splat(shift))),
      set(hue, f32x4.sub(hue, v128.and(constant(256), f32x4.atLeast(hue, constant(256))))),
      set(hue, f32x4.mul(hue, constant(6 / full))),
      ...[5, 3, 1].flatMap((turn, i) => [
        set(place, f32x4.add(hue, constant(turn))),
        set(place, f32x4.sub(place, v128.and(constant(6), f32x4.atLeast(place, constant(6))))),
        v128.store(pointers[i]!, f32x4.nearest(f32x4.sub(most, f32x4.mul(f32x4.mul(most, saturation), lack)))),
      ]),
      ...pointers.map((pointer) => addTo(pointer, vectorBytes)),
    ]),
  ];
});

/** target := scale × values + offset; the last vector may reach past the end of the target. */
const normalize = define(['i32', 'i32', 'i32', 'f32', 'f32'], (scope, values, target, vectors, scale, offset) => {
  const left = scope.i32();
  return [
    repeat(left, vectors, [
      v128.store(target, f32x4.add(f32x4.mul(v128.load(values), f32x4.splat(scale)), f32x4.splat(offset))),
      addTo(values, vectorBytes),
      addTo(target, vectorBytes),
    ]),
  ];
});

type Kernel = (...operands: number[]) => number;
const definitions = { resample, rotate, planesOf, bytesOf, blend, sumOf, grey, saturate, turnHue, normalize };

/** A memory of its own with the kernels at work on it; addresses and lengths as each kernel says. */
export const openKernels = () => instantiate<Record<keyof typeof definitions, Kernel>>(definitions);
