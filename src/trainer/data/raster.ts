/**
 * One square image on its way to the network: resampled out of a decoded one, turned, recoloured and normalised, with
 * the arithmetic of Pillow, which torchvision's transforms use. augment.ts says what to do with which figures;
 * kernels.ts holds the loops.
 */
import { pageBytes, WasmMemory } from '../assembler';
import { openKernels } from './kernels';

/** Bytes as decoded: rows of red, green, blue. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A linear map from the samples of one axis to others: output i is the sum over k of weights[i, k] × input[starts[i] + k]. */
export interface Axis {
  readonly starts: Int32Array;
  /** outputs × taps. */
  readonly weights: Float32Array;
  readonly taps: number;
}

/**
 * The weights of Pillow's bilinear resampling, a triangle filter with half-pixel centres.
 * @param length samples of the source
 * @param from,span the part of the source that is resampled; it may begin and end between samples
 * @param antialias whether the filter widens when shrinking; else it reads the two nearest samples
 */
export function resizeAxis(length: number, from: number, span: number, outputs: number, antialias = true): Axis {
  const scale = span / outputs;
  const support = antialias ? Math.max(scale, 1) : 1;
  // Samples outside of the part are not read, but for the one that its border cuts through.
  const first = Math.max(0, Math.floor(from + 1e-6));
  const end = Math.min(length, Math.max(first + 1, Math.ceil(from + span - 1e-6)));
  const taps = Math.min(end - first, Math.floor(2 * support) + 1);
  const starts = new Int32Array(outputs);
  const weights = new Float32Array(outputs * taps);
  for (let i = 0; i < outputs; i++) {
    const centre = from + (i + 0.5) * scale;
    const low = Math.max(first, Math.floor(centre - support + 0.5));
    // So that `taps` samples lie inside; those beyond the filter weigh nothing.
    const start = Math.min(low, end - taps);
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      const weight = Math.max(0, 1 - Math.abs(start + k + 0.5 - centre) / support);
      weights[i * taps + k] = weight;
      sum += weight;
    }
    for (let k = 0; k < taps; k++) weights[i * taps + k]! /= sum;
    starts[i] = start;
  }
  return { starts, weights, taps };
}

/** The axis that maps through `first` and then through `second`. */
export function chainAxes(first: Axis, second: Axis): Axis {
  const outputs = second.starts.length;
  const read = Array.from(second.starts, (start) => first.starts.subarray(start, start + second.taps));
  const taps = Math.max(...read.map((starts) => Math.max(...starts) + first.taps - Math.min(...starts)));
  // So that none reads behind the last sample that the first map reads.
  const end = Math.max(...first.starts) + first.taps;
  const starts = Int32Array.from(read, (from) => Math.max(0, Math.min(Math.min(...from), end - taps)));
  const weights = new Float32Array(outputs * taps);
  for (let i = 0; i < outputs; i++) {
    for (let j = 0; j < second.taps; j++) {
      const between = second.starts[i]! + j;
      const share = second.weights[i * second.taps + j]!;
      const shift = first.starts[between]! - starts[i]!;
      for (let k = 0; k < first.taps; k++) {
        weights[i * taps + shift + k]! += share * first.weights[between * first.taps + k]!;
      }
    }
  }
  return { starts, weights, taps };
}

/** A part of an axis's outputs, in reverse order where the image is mirrored. */
export function partOfAxis(axis: Axis, from: number, outputs: number, mirrored = false): Axis {
  const { taps } = axis;
  const starts = axis.starts.slice(from, from + outputs);
  const weights = axis.weights.slice(from * taps, (from + outputs) * taps);
  if (!mirrored) return { starts, weights, taps };
  const reversed = new Float32Array(weights.length);
  for (let i = 0; i < outputs; i++) {
    reversed.set(weights.subarray(i * taps, (i + 1) * taps), (outputs - 1 - i) * taps);
  }
  return { starts: starts.reverse(), weights: reversed, taps };
}

const vectorBytes = 16;
/** Of a source image that is at hand at a time, but for the rows of one output, which always are. */
const bandBytes = 2 ** 21;
const aligned = (bytes: number): number => Math.ceil(bytes / vectorBytes) * vectorBytes;
const wholeMask = (whole: boolean): number => (whole ? -1 : 0);

/** Works on one image at a time, and holds a few megabytes. */
export class Raster {
  private readonly kernels = openKernels();
  private readonly memory: WasmMemory = this.kernels.memory;
  private readonly pixelCount: number;
  private readonly vectors: number;
  private readonly planeBytes: number;
  /** Addresses: two buffers of pixels (one current, one spare), the planes with a grey one, the result. */
  private pixels: number;
  private spare: number;
  private readonly planes: number;
  private readonly greyPlane: number;
  private readonly result: number;
  /** Where the room for a source image and its tables begins. */
  private readonly free: number;

  /** @param size width and height of the images to make */
  constructor(readonly size: number) {
    this.pixelCount = size * size;
    this.vectors = Math.ceil(this.pixelCount / 4);
    this.planeBytes = this.vectors * vectorBytes;
    const pixelBytes = this.vectors * 4 * vectorBytes;
    this.pixels = vectorBytes;
    this.spare = this.pixels + pixelBytes;
    this.planes = this.spare + pixelBytes;
    this.greyPlane = this.planes + 3 * this.planeBytes;
    this.result = this.greyPlane + this.planeBytes;
    this.free = this.result + 3 * this.planeBytes + vectorBytes;
    this.reserve(0);
  }

  /**
   * Fills the raster from a decoded image, some of whose rows are copied at a time, so that no image needs much room.
   * @param rows with starts that do not descend
   * @param whole whether values are rounded, as in an image of bytes
   */
  resample(image: Image, rows: Axis, columns: Axis, whole: boolean): void {
    const { data, width } = image;
    const stride = width * 3;
    const firstColumn = Math.min(columns.starts[0]!, columns.starts[this.size - 1]!);
    const lastColumn = Math.max(columns.starts[0]!, columns.starts[this.size - 1]!) + columns.taps;
    const chunks = Math.ceil(((lastColumn - firstColumn) * 3) / vectorBytes);
    const buffer = this.free;
    // The last pixel is read with the float behind it.
    const rowTable = buffer + chunks * 4 * vectorBytes + vectorBytes;
    const columnTable = rowTable + aligned(this.size * 4 * (1 + rows.taps));
    const band = columnTable + aligned(this.size * 4 * (1 + columns.taps));
    const firstRow = (output: number) => rows.starts[output]!;
    const endRow = (output: number) => rows.starts[output]! + rows.taps;
    this.reserve(band);
    this.putAxis(rowTable, rows, 0, stride);
    this.putAxis(columnTable, columns, firstColumn, 12);
    for (let from = 0, to = 1; from < this.size; from = to++) {
      while (to < this.size && (endRow(to) - firstRow(from)) * stride <= bandBytes) to++;
      const source = data.subarray(firstRow(from) * stride, endRow(to - 1) * stride);
      this.reserve(band + source.length + vectorBytes);
      new Uint8Array(this.memory.buffer, band, source.length).set(source);
      this.kernels.functions.resample(
        // The table counts from the image's first row.
        ...[band + firstColumn * 3 - firstRow(from) * stride, stride, chunks],
        ...[rowTable + from * 4, rowTable + (this.size + from * rows.taps) * 4, rows.taps, to - from],
        ...[columnTable, columnTable + this.size * 4, columns.taps, this.size],
        ...[buffer, this.pixels + from * this.size * vectorBytes, wholeMask(whole)],
      );
    }
  }

  /**
   * Turns the image about its centre, bilinearly.
   * @param degrees counter-clockwise
   * @param fill black corners, or the image mirrored at its borders
   */
  rotate(degrees: number, fill: 'constant' | 'reflect', whole: boolean): void {
    const angle = (degrees * Math.PI) / 180;
    const operands = [this.pixels, this.spare, this.size, Math.cos(angle), -Math.sin(angle)];
    this.kernels.functions.rotate(...operands, fill === 'reflect' ? 1 : 0, wholeMask(whole));
    [this.pixels, this.spare] = [this.spare, this.pixels];
  }

  /** Ends the geometry: everything below works on colour planes. */
  separate(): void {
    this.kernels.functions.planesOf(this.pixels, this.planes, this.planeBytes, this.vectors);
  }

  brightness(factor: number): void {
    this.kernels.functions.blend(this.planes, 3 * this.vectors, 0, factor, wholeMask(true));
  }

  /** About the image's mean grey. */
  contrast(factor: number): void {
    this.kernels.functions.grey(this.planes, this.planeBytes, this.vectors, this.greyPlane);
    const mean = Math.floor(this.mean(this.greyPlane) + 0.5);
    this.kernels.functions.blend(this.planes, 3 * this.vectors, mean, factor, wholeMask(true));
  }

  saturation(factor: number): void {
    this.kernels.functions.saturate(this.planes, this.planeBytes, this.vectors, factor);
  }

  /** @param turn share of the colour circle, -0.5 to 0.5 */
  hue(turn: number): void {
    // torchvision adds it as a byte, cut off towards zero.
    const shift = (Math.trunc(turn * 255) + 256) % 256;
    this.kernels.functions.turnHue(this.planes, this.planeBytes, this.vectors, shift);
  }

  /** Each channel about its own mean, without rounding (Keras's RandomContrast). */
  channelContrast(factor: number): void {
    for (let c = 0; c < 3; c++) {
      const plane = this.planes + c * this.planeBytes;
      this.kernels.functions.blend(plane, this.vectors, this.mean(plane), factor, wholeMask(false));
    }
  }

  /**
   * The image as the network sees it.
   * @param out channels × size × size values, (value / 255 − mean) / std; one channel is the image in grey
   */
  write(out: Float32Array, mean: readonly number[], std: readonly number[]): void {
    const channels = out.length / this.pixelCount;
    const { functions } = this.kernels;
    if (channels === 1) functions.grey(this.planes, this.planeBytes, this.vectors, this.greyPlane);
    for (let c = 0; c < channels; c++) {
      const plane = channels === 1 ? this.greyPlane : this.planes + c * this.planeBytes;
      // A plane's last vector may reach into the next plane, which is written after it.
      const target = this.result + c * this.pixelCount * 4;
      functions.normalize(plane, target, this.vectors, 1 / (255 * std[c]!), -mean[c]! / std[c]!);
    }
    out.set(new Float32Array(this.memory.buffer, this.result, out.length));
  }

  /** The image as it stands, as rows of red, green, blue bytes. */
  bytes(): Uint8Array {
    this.kernels.functions.bytesOf(this.planes, this.planeBytes, this.vectors, this.result);
    return new Uint8Array(this.memory.buffer).slice(this.result, this.result + this.pixelCount * 3);
  }

  /** The mean of a plane. */
  private mean(plane: number): number {
    const whole = this.pixelCount >> 2;
    let sum = this.kernels.functions.sumOf(plane, whole);
    // What lies behind the last pixel in its vector is no part of the image.
    for (const value of new Float32Array(this.memory.buffer, plane + whole * vectorBytes, this.pixelCount % 4)) {
      sum += value;
    }
    return sum / this.pixelCount;
  }

  private putAxis(address: number, { starts, weights }: Axis, origin: number, step: number): void {
    const offsets = new Int32Array(this.memory.buffer, address, starts.length);
    for (let i = 0; i < starts.length; i++) offsets[i] = (starts[i]! - origin) * step;
    new Float32Array(this.memory.buffer, address + starts.length * 4, weights.length).set(weights);
  }

  private reserve(bytes: number): void {
    const missing = Math.max(bytes, this.free) - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / pageBytes));
  }
}
