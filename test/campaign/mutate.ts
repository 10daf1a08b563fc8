/** Altered files: bytes without regard to what they mean, and values of a JSON text in their places. */

const bytesOfNote = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x20, 0x2e, 0x28];
const numbersOfNote = [0, 1, -1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, -0x80000000, 0x01000000, 0x10000];

/** @param random numbers below 1 @param others whole files that pieces may come from */
export function mutateBytes(whole: Buffer, random: () => number, others: readonly Buffer[] = [whole]): Buffer {
  let bytes = Buffer.from(whole);
  const below = (n: number) => Math.floor(random() * n);
  // Where formats keep their sizes and offsets: at the start, and at the end of a zip.
  const place = () => {
    const where = random();
    const { length } = bytes;
    if (where < 0.4) return below(Math.min(length, 512));
    if (where < 0.6) return Math.max(0, length - 1 - below(Math.min(length, 1024)));
    return below(length);
  };
  for (let changes = 1 + below(4); changes > 0 && bytes.length > 8; changes--) {
    const at = place();
    switch (below(8)) {
      case 0:
        bytes[at]! ^= 1 << below(8);
        break;
      case 1:
        bytes[at] = bytesOfNote[below(bytesOfNote.length)]!;
        break;
      case 2:
        bytes[at] = below(256);
        break;
      case 3: {
        const to = Math.min(at, bytes.length - 4);
        const value = numbersOfNote[below(numbersOfNote.length)]!;
        if (random() < 0.5) bytes.writeInt32LE(value, to);
        else bytes.writeInt32BE(value, to);
        break;
      }
      case 4:
        bytes = bytes.subarray(0, at);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(16))]);
        break;
      case 6: {
        const piece = bytes.subarray(at, at + 1 + below(64));
        const times = 1 + below(random() < 0.1 ? 500 : 4);
        bytes = Buffer.concat([bytes.subarray(0, at), ...Array<Buffer>(times).fill(piece), bytes.subarray(at)]);
        break;
      }
      default: {
        const other = others[below(others.length)]!;
        const from = below(other.length);
        const piece = other.subarray(from, from + 1 + below(64));
        bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + piece.length)]);
      }
    }
  }
  return bytes;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const valuesOfNote: readonly Json[] = [
  ...[
    null,
    true,
    false,
    0,
    -1,
    0.5,
    1e308,
    -1e-300,
    99,
    2 ** 31,
    2 ** 53,
    '',
    '0',
    'x',
    '../../..',
    '\u0000\u001b[31m',
  ],
  ...['__proto__', '[a](command:x)', 'é'.repeat(300), [], {}, [[]], [null], { length: -1 }, ['x', 1, {}]],
];

/** Every way to a value below. */
export function pathsOf(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  const own = path.length ? [path] : [];
  if (typeof value !== 'object' || value === null) return own;
  return own.concat(
    ...Object.keys(value).map((key) =>
      pathsOf((value as Record<string, unknown>)[key], [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  );
}

/** A copy in which the value at the path is another of note, is gone, or stands twice. */
export function mutateField(whole: unknown, path: readonly (string | number)[], random: () => number): unknown {
  const copy = structuredClone(whole) as Json;
  let at = copy as Record<string | number, Json>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, Json>;
  const key = path.at(-1)!;
  const how = random();
  if (how < 0.2) delete at[key];
  else if (how < 0.3) at[`${key}2`] = at[key]!;
  else at[key] = valuesOfNote[Math.floor(random() * valuesOfNote.length)]!;
  return copy;
}
