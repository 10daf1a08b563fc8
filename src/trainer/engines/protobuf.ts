/**
 * Protobuf's wire format (https://protobuf.dev/programming-guides/encoding): fields by number, as pieces to be joined.
 * onnx/proto.ts writes ONNX's messages with it, tfjs/graphDef.ts TensorFlow's.
 */

/** The pieces of one or more fields, in order; a long value is not copied until {@link joined}. */
export type Chunks = Uint8Array[];

const utf8 = new TextEncoder();

function varint(value: number | bigint): Uint8Array {
  // Negative integers are sign-extended to 64 bits, as protobuf's int64 is.
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

export const integer = (field: number, value: number): Chunks => [varint(field << 3), varint(value)];

export function bytes(field: number, value: Uint8Array): Chunks {
  return [varint((field << 3) | 2), varint(value.length), value];
}

export const text = (field: number, value: string): Chunks => bytes(field, utf8.encode(value));

export function message(field: number, parts: Chunks): Chunks {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return [varint((field << 3) | 2), varint(length), ...parts];
}

export function float(field: number, value: number): Chunks {
  const four = new Uint8Array(4);
  new DataView(four.buffer).setFloat32(0, value, true);
  return [varint((field << 3) | 5), four];
}

export function joined(chunks: Chunks): Uint8Array {
  const out = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
