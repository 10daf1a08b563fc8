/**
 * What tfjs-node's backend has beside TensorFlow.js's own interface: TensorFlow's C API, through an N-API binding
 * (nodejs_kernel_backend.ts and tfjs_binding.ts of @tensorflow/tfjs-node 4.22). kernels.ts and graph.ts build on it.
 */
import type { Tensor, Tf } from './api';

export type Values = Float32Array | Int32Array | Uint8Array;

/** A tensor as the binding describes it; `dtype` is TensorFlow's number. */
export interface Metadata {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

export interface BindingAttribute {
  readonly name: string;
  /** One of the binding's TF_ATTR constants. */
  readonly type: number;
  readonly value: unknown;
}

type AttributeTypes =
  'TF_ATTR_STRING' | 'TF_ATTR_INT' | 'TF_ATTR_FLOAT' | 'TF_ATTR_BOOL' | 'TF_ATTR_TYPE' | 'TF_ATTR_SHAPE';

/** Tensors, and sessions of loaded graphs, are known to it by number. */
export interface Binding extends Readonly<Record<AttributeTypes | 'TF_FLOAT', number>> {
  /** The library's version. */
  readonly TF_Version?: string;
  /** The tensor may share the array's memory. */
  createTensor(shape: readonly number[], dtype: number, values: unknown): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Values;
  executeOp(
    op: string,
    attributes: readonly BindingAttribute[],
    inputs: readonly number[],
    outputs: number,
  ): Metadata[];
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(session: number): void;
  /** @param inputNames names of tensors ("node:index"), separated by commas, as `outputNames` */
  runSavedModel(session: number, inputs: readonly number[], inputNames: string, outputNames: string): Metadata[];
}

export interface NodeBackend {
  binding: Binding;
  /** Whether TensorFlow found a CUDA device. */
  readonly isUsingGpuDevice?: boolean;
  executeMultipleOutputs(
    name: string,
    attributes: readonly BindingAttribute[],
    inputs: readonly Tensor[],
    outputs: number,
  ): Tensor[];
  /** Numbers of tensors; values that wait in JavaScript become tensors of TensorFlow's first. */
  getInputTensorIds(tensors: readonly Tensor[]): number[];
  createOutputTensor(metadata: Metadata): Tensor;
}

/** @param tf tfjs-node, with its own backend set */
export const nodeBackend = (tf: Tf): NodeBackend => tf.backend() as unknown as NodeBackend;
