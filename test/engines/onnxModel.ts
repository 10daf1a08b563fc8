/**
 * Reads the ONNX models that src/trainer/engines/onnx/proto.ts writes, so that tests can see and alter the graphs on
 * their way to ONNX Runtime. Knows the fields that proto.ts writes and no others.
 */
import {
  Attribute,
  ConstantSpec,
  ElementType,
  elementTypes,
  ModelSpec,
  NodeSpec,
  TensorSpec,
} from '../../src/trainer/engines/onnx/proto';

/** A field of a protobuf message: its number, and an integer, four bytes, or the bytes of a string or message. */
interface Field {
  readonly field: number;
  readonly integer?: number;
  readonly bytes?: Uint8Array;
}

function fieldsOf(bytes: Uint8Array): Field[] {
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
  };
  const take = (length: number) => bytes.subarray(at, (at += length));
  const fields: Field[] = [];
  while (at < bytes.length) {
    const key = varint();
    const field = key >>> 3;
    const wire = key & 7;
    if (wire === 0) fields.push({ field, integer: varint() });
    else if (wire === 2) fields.push({ field, bytes: take(varint()) });
    else if (wire === 5) fields.push({ field, bytes: take(4) });
    else throw new Error(`wire type ${wire} of field ${field}`);
  }
  return fields;
}

const utf8 = new TextDecoder();

/** The fields of a message by number, each as often as it occurs. */
class Fields {
  private readonly fields: Field[];

  constructor(bytes: Uint8Array) {
    this.fields = fieldsOf(bytes);
  }

  private all(field: number): Field[] {
    return this.fields.filter((f) => f.field === field);
  }

  messages = (field: number): Fields[] => this.all(field).map((f) => new Fields(f.bytes!));
  texts = (field: number): string[] => this.all(field).map((f) => utf8.decode(f.bytes));
  integers = (field: number): number[] => this.all(field).map((f) => f.integer!);
  bytes = (field: number): Uint8Array[] => this.all(field).map((f) => f.bytes!);
}

const typeNames: ReadonlyMap<number, ElementType> = new Map(
  Object.entries(elementTypes).map(([name, number]) => [number, name as ElementType] as const),
);

function attributeOf(message: Fields): [string, Attribute] {
  const name = message.texts(1)[0]!;
  const kind = message.integers(20)[0]!;
  if (kind === 1) {
    const four = message.bytes(2)[0]!;
    return [name, { float: new DataView(four.buffer, four.byteOffset).getFloat32(0, true) }];
  }
  if (kind === 2) return [name, message.integers(3)[0]!];
  if (kind === 3) return [name, message.texts(4)[0]!];
  return [name, message.integers(8)];
}

const nodeOf = (message: Fields): NodeSpec => ({
  inputs: message.texts(1),
  outputs: message.texts(2),
  name: message.texts(3)[0]!,
  op: message.texts(4)[0]!,
  attributes: Object.fromEntries(message.messages(5).map(attributeOf)),
  domain: message.texts(7)[0]!,
});

const constantOf = (message: Fields): ConstantSpec => ({
  shape: message.integers(1),
  type: typeNames.get(message.integers(2)[0]!)!,
  name: message.texts(8)[0]!,
  bytes: message.bytes(9)[0]!,
});

function valueOf(message: Fields): TensorSpec {
  const tensor = message.messages(2)[0]!.messages(1)[0]!;
  return {
    name: message.texts(1)[0]!,
    type: typeNames.get(tensor.integers(1)[0]!)!,
    shape: tensor
      .messages(2)[0]!
      .messages(1)
      .map((dimension) => dimension.integers(1)[0]!),
  };
}

export function decodeModel(bytes: Uint8Array): ModelSpec {
  const model = new Fields(bytes);
  const graph = model.messages(7)[0]!;
  return {
    name: graph.texts(2)[0]!,
    nodes: graph.messages(1).map(nodeOf),
    constants: graph.messages(5).map(constantOf),
    inputs: graph.messages(11).map(valueOf),
    outputs: graph.messages(12).map(valueOf),
    opsets: Object.fromEntries(model.messages(8).map((opset) => [opset.texts(1)[0]!, opset.integers(2)[0]!])),
  };
}
