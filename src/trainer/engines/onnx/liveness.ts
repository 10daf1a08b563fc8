/**
 * How much memory a graph's values take at once while it is computed node by node, as ONNX Runtime does it: a value is
 * freed after the last node that reads it, a view shares its source's memory, and an element-wise result is written over
 * an input of its size that nobody reads again. graph.ts calls it on the order in which the graph is computed.
 */
import type { NodeSpec } from './proto';

/** Operators whose output is their first input in another shape. */
const views = new Set(['Reshape', 'Identity']);
/** Operators that write over an input where they may. */
const inPlace = new Set([
  'Relu',
  'HardSigmoid',
  'Sigmoid',
  'Sqrt',
  'Reciprocal',
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Max',
  'Min',
]);

/**
 * @param nodes in the order in which they are computed
 * @param bytes of every value that a node gives
 * @param elsewhere values that lie in memory of the caller's: the graph's outputs
 * @returns the largest sum of the values that are alive at the same time, without inputs, constants and `elsewhere`
 */
export function peakBytes(
  nodes: readonly NodeSpec[],
  bytes: ReadonlyMap<string, number>,
  elsewhere: ReadonlySet<string>,
): number {
  // A block of memory by the names that stand for it; `uses` counts the reads still to come, of all of them.
  const blockOf = new Map<string, { readonly size: number; uses: number }>();
  const uses = new Map<string, number>();
  for (const name of nodes.flatMap((node) => node.inputs)) uses.set(name, (uses.get(name) ?? 0) + 1);
  let [held, peak] = [0, 0];
  for (const { op, inputs, outputs } of nodes) {
    for (const output of outputs) {
      const reads = uses.get(output) ?? 0;
      if (elsewhere.has(output)) continue;
      const size = bytes.get(output)!;
      const source = views.has(op) ? blockOf.get(inputs[0]!) : undefined;
      const over = inPlace.has(op)
        ? inputs.map((input) => blockOf.get(input)).find((block) => block?.size === size && block.uses === 1)
        : undefined;
      const block = source ?? over;
      if (block) {
        block.uses += reads;
        blockOf.set(output, block);
      } else {
        // Views of what the caller holds take nothing.
        const taken = views.has(op) ? 0 : size;
        blockOf.set(output, { size: taken, uses: reads });
        held += taken;
        peak = Math.max(peak, held);
        if (reads === 0) held -= taken;
      }
    }
    for (const input of inputs) {
      const block = blockOf.get(input);
      if (block && --block.uses === 0) held -= block.size;
    }
  }
  return peak;
}
