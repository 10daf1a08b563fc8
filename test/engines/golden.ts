/**
 * The frameworks' figures (test/golden/*.json, computed in float64: PyTorch's for the five networks, Keras's for those of
 * the notes' appendix, which bench/keras_golden.py writes) and the closed formula that rebuilds the parameters and inputs
 * they were computed from. Used by the conformance suite and by the unit tests of src/networks.
 */
import { readFileSync } from 'node:fs';
import { buildNetwork, NetworkName } from '../../src/core/networks/catalog';
import { elements, Network, Tensors } from '../../src/core/networks/network';
import { Batch, LossName } from '../../src/trainer/engines/engine';

export interface Golden {
  readonly model: NetworkName;
  /** [batch, channels, height, width] */
  readonly input_shape: readonly [number, number, number, number];
  readonly targets: readonly number[];
  readonly loss_function: LossName;
  readonly learning_rate: number;
  /** Where Adam's settings are not PyTorch's. */
  readonly adam?: { readonly eps: number; readonly epsilonHat: boolean };
  readonly parameter_count: number;
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly buffers: readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** Running mean 0 and variance 1. */
  readonly eval_logits: readonly (readonly number[])[];
  /** Statistics of the batch; dropout off, as in all figures here. */
  readonly train_logits: readonly (readonly number[])[];
  readonly train_loss: number;
  readonly gradient_l2_norms: Readonly<Record<string, number>>;
  /** Loss before each of five updates on the same batch. */
  readonly adam_losses_5_steps: readonly number[];
}

export function readGolden(name: NetworkName): Golden {
  return JSON.parse(readFileSync(new URL(`../golden/${name}.json`, import.meta.url), 'utf8')) as Golden;
}

/** The i-th number of stream k, in [-1, 1): 32-bit arithmetic that any language can repeat bit for bit. */
export function formula(i: number, k: number): number {
  let z = Math.imul(i, 0x9e3779b1) + Math.imul(k, 0x85ebca77) + 0x165667b1;
  z ^= z >>> 15;
  z = Math.imul(z, 0x2c1b3c6d);
  z ^= z >>> 12;
  z = Math.imul(z, 0x297a2d39);
  z ^= z >>> 15;
  return (z >>> 0) / 0x80000000 - 1;
}

/** The network that the figures belong to, its dropout layers set to p = 0. */
export function goldenNetwork(golden: Golden): Network {
  const [, channels, height, width] = golden.input_shape;
  return withoutDropout(buildNetwork(golden.model, [channels, height, width], golden.train_logits[0]!.length));
}

/** The same network with masks of ones. */
export function withoutDropout(network: Network): Network {
  return {
    ...network,
    nodes: network.nodes.map((node) => (node.op.kind === 'dropout' ? { ...node, op: { ...node.op, p: 0 } } : node)),
  };
}

/** He-scaled weights, batch norm's weights around 1, small biases: parameter k comes from stream k. */
export function goldenParameters(network: Network): Tensors {
  return new Map(
    network.parameters.map((parameter, k) => {
      const values = new Float32Array(elements(parameter.shape));
      const { role, shape } = parameter;
      if (shape.length >= 2) {
        const scale = Math.sqrt(6 / elements(shape.slice(1)));
        for (let i = 0; i < values.length; i++) values[i] = formula(i, k) * scale;
      } else if (role === 'weight') {
        for (let i = 0; i < values.length; i++) values[i] = 1 + 0.1 * formula(i, k);
      } else {
        for (let i = 0; i < values.length; i++) values[i] = 0.1 * formula(i, k);
      }
      return [parameter.name, values] as const;
    }),
  );
}

export function goldenBatch(golden: Golden): Batch {
  const images = new Float32Array(elements(golden.input_shape));
  for (let i = 0; i < images.length; i++) images[i] = formula(i, 1000);
  return { images, labels: Int32Array.from(golden.targets), size: golden.input_shape[0] };
}
