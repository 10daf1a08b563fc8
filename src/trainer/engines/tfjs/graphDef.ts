/**
 * Writes a TensorFlow graph as a SavedModel: the few messages and fields that a training step needs, with the field numbers
 * of TensorFlow's graph.proto, node_def.proto, attr_value.proto, tensor.proto and saved_model.proto
 * (https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core). graph.ts calls it.
 */
import { bytes, Chunks, float, integer, joined, message, text } from '../protobuf';

/** Element types, with TensorFlow's numbers (types.proto). */
export const dataTypes = { float: 1, int32: 3 } as const;

export interface ConstantValue {
  readonly type: number;
  readonly shape: readonly number[];
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array;
}

/** An attribute of a node, by the kind of its value: protobuf keeps them apart. */
export type Attribute =
  | { readonly type: number }
  | { readonly int: number | readonly number[] }
  | { readonly float: number | readonly number[] }
  | { readonly bool: boolean | readonly boolean[] }
  | { readonly text: string }
  | { readonly shape: readonly number[] }
  | { readonly tensor: ConstantValue };

export interface NodeSpec {
  readonly name: string;
  readonly op: string;
  /** "node:index" of each tensor, then "^node" of each node that must have run before. */
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** The one set of tags that {@link encodeSavedModel} writes. */
export const savedModelTag = 'train';

/**
 * Version of the format, which decides what TensorFlow takes for deprecated: one that every version since 2.9, which npm
 * brings, reads.
 */
const producer = 1000;

const shapeOf = (shape: readonly number[]): Chunks => shape.flatMap((n) => message(2, integer(1, n)));

function tensor({ type, shape, bytes: content }: ConstantValue): Chunks {
  return [...integer(1, type), ...message(2, shapeOf(shape)), ...bytes(4, content)];
}

function attribute(value: Attribute): Chunks {
  // A list is a message of its own, whose fields have the numbers of the single values.
  const each = <T>(values: T | readonly T[], field: (value: T) => Chunks): Chunks =>
    Array.isArray(values) ? message(1, (values as readonly T[]).flatMap(field)) : field(values as T);
  if ('type' in value) return integer(6, value.type);
  if ('int' in value) return each(value.int, (v) => integer(3, v));
  if ('float' in value) return each(value.float, (v) => float(4, v));
  if ('bool' in value) return each(value.bool, (v) => integer(5, Number(v)));
  if ('text' in value) return text(2, value.text);
  if ('shape' in value) return message(7, shapeOf(value.shape));
  return message(8, tensor(value.tensor));
}

function node(spec: NodeSpec): Chunks {
  return [
    ...text(1, spec.name),
    ...text(2, spec.op),
    ...spec.inputs.flatMap((name) => text(3, name)),
    ...Object.entries(spec.attributes).flatMap(([name, value]) =>
      message(5, [...text(1, name), ...message(2, attribute(value))]),
    ),
  ];
}

/** The bytes of a SavedModel with one graph, tagged {@link savedModelTag}, without variables' values. */
export function encodeSavedModel(nodes: readonly NodeSpec[]): Uint8Array {
  const graph = [...nodes.flatMap((spec) => message(1, node(spec))), ...message(4, integer(1, producer))];
  const metaGraph = [...message(1, text(4, savedModelTag)), ...message(2, graph)];
  return joined([...integer(1, 1), ...message(2, metaGraph)]);
}
