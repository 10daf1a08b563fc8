/**
 * Writes ONNX models in protobuf's wire format: the few messages and fields that a training step needs, with the field
 * numbers of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). graph.ts and inference.ts
 * call it.
 */
import { bytes, Chunks, float, integer, joined, message, text } from '../protobuf';

/** Element types, with ONNX's numbers (TensorProto.DataType). */
export const elementTypes = { float32: 1, int32: 6, int64: 7, bool: 9 } as const;
export type ElementType = keyof typeof elementTypes;
export const elementBytes: Readonly<Record<ElementType, number>> = { float32: 4, int32: 4, int64: 8, bool: 1 };

export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface NodeSpec {
  /** What ONNX Runtime calls the node in errors and profiles. */
  readonly name: string;
  readonly op: string;
  readonly domain: string;
  /** Names of values; an empty name leaves an optional input out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Numbers and lists are ints; a float is wrapped, because protobuf keeps the two apart. */
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface TensorSpec {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** An input or output of a whole model, whose dimensions may be named instead of fixed. */
export interface PortSpec {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | string)[];
}

export interface ConstantSpec extends TensorSpec {
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array;
}

export interface ModelSpec {
  readonly name: string;
  readonly nodes: readonly NodeSpec[];
  readonly constants: readonly ConstantSpec[];
  readonly inputs: readonly PortSpec[];
  readonly outputs: readonly PortSpec[];
  /** Version of each operator domain; '' is ONNX's own. */
  readonly opsets: Readonly<Record<string, number>>;
  /** Version of the file format; default 10. */
  readonly irVersion?: number;
  /** What the model says of itself. */
  readonly metadata?: Readonly<Record<string, string>>;
}

function attribute(name: string, value: Attribute): Chunks {
  const kind = { float: 1, int: 2, string: 3, ints: 7 };
  const head = text(1, name);
  if (typeof value === 'number') return [...head, ...integer(3, value), ...integer(20, kind.int)];
  if (typeof value === 'string') return [...head, ...text(4, value), ...integer(20, kind.string)];
  if ('float' in value) return [...head, ...float(2, value.float), ...integer(20, kind.float)];
  return [...head, ...value.flatMap((v) => integer(8, v)), ...integer(20, kind.ints)];
}

function node(spec: NodeSpec): Chunks {
  return [
    ...spec.inputs.flatMap((name) => text(1, name)),
    ...spec.outputs.flatMap((name) => text(2, name)),
    ...text(3, spec.name),
    ...text(4, spec.op),
    ...Object.entries(spec.attributes).flatMap(([name, value]) => message(5, attribute(name, value))),
    ...text(7, spec.domain),
  ];
}

function constant(spec: ConstantSpec): Chunks {
  return [
    ...spec.shape.flatMap((n) => integer(1, n)),
    ...integer(2, elementTypes[spec.type]),
    ...text(8, spec.name),
    ...bytes(9, spec.bytes),
  ];
}

function valueInfo(spec: PortSpec): Chunks {
  const shape = spec.shape.flatMap((n) => message(1, typeof n === 'string' ? text(2, n) : integer(1, n)));
  const tensor = [...integer(1, elementTypes[spec.type]), ...message(2, shape)];
  return [...text(1, spec.name), ...message(2, message(1, tensor))];
}

/** The bytes of a ModelProto. */
export function encodeModel(model: ModelSpec): Uint8Array {
  const graph = [
    ...model.nodes.flatMap((spec) => message(1, node(spec))),
    ...text(2, model.name),
    ...model.constants.flatMap((spec) => message(5, constant(spec))),
    ...model.inputs.flatMap((spec) => message(11, valueInfo(spec))),
    ...model.outputs.flatMap((spec) => message(12, valueInfo(spec))),
  ];
  const chunks = [
    ...integer(1, model.irVersion ?? 10),
    ...text(2, 'ConvLab'),
    ...message(7, graph),
    ...Object.entries(model.opsets).flatMap(([domain, version]) =>
      message(8, [...text(1, domain), ...integer(2, version)]),
    ),
    ...Object.entries(model.metadata ?? {}).flatMap(([key, value]) =>
      message(14, [...text(1, key), ...text(2, value)]),
    ),
  ];
  return joined(chunks);
}
