/**
 * Adam's elementwise arithmetic as WebGPU kernels, one dispatch for what takes TensorFlow.js two to four: on a GPU the small
 * networks wait for dispatches, and the large ones for memory. Part of webgpuLibrary.ts's bundle; webgpuProvider.ts hands it
 * to adam.ts.
 */
import { engine, KernelFunc, registerKernel, Tensor, TensorInfo } from '@tensorflow/tfjs-core';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu/dist/backend_webgpu';
import { getMainHeaderString, WebGPUProgram } from '@tensorflow/tfjs-backend-webgpu/dist/webgpu_program';
import { computeDispatch, flatDispatchLayout } from '@tensorflow/tfjs-backend-webgpu/dist/webgpu_util';
import type { AdamArithmetic, AdamScalars } from './adam';

/** What a kernel computes of the elements a and b of two tensors of one shape and the scalars x and y. */
const expressions = {
  average: 'a * uniforms.x + b * uniforms.y',
  change: 'a * uniforms.x / (sqrt(b) + uniforms.y)',
} as const;
type Expression = keyof typeof expressions;

const kernelName = 'ConvLabElementwise';

class ElementwiseProgram implements WebGPUProgram {
  readonly variableNames = ['A', 'B'];
  readonly variableComponents: number[];
  readonly outputComponent: number;
  readonly uniforms = 'x : f32, y : f32,';
  readonly size = true;
  readonly workgroupSize: [number, number, number] = [128, 1, 1];
  readonly dispatchLayout: { x: number[] };
  dispatch: [number, number, number];
  shaderKey: string;

  constructor(
    private readonly expression: Expression,
    readonly outputShape: number[],
  ) {
    const elements = outputShape.reduce((product, n) => product * n, 1);
    this.outputComponent = elements % 4 === 0 ? 4 : 1;
    this.variableComponents = [this.outputComponent, this.outputComponent];
    this.shaderKey = `convlab_${expression}_${this.outputComponent}`;
    this.dispatchLayout = flatDispatchLayout(outputShape);
    this.dispatch = computeDispatch(this.dispatchLayout, outputShape, this.workgroupSize, [this.outputComponent, 1, 1]);
  }

  getUserCode(): string {
    return `
      ${getMainHeaderString('index')} {
        if (index < uniforms.size) {
          let a = A[index];
          let b = B[index];
          setOutputAtIndex(index, ${expressions[this.expression]});
        }
      }`;
  }
}

registerKernel({
  kernelName,
  backendName: 'webgpu',
  kernelFunc: (({ inputs, attrs, backend }) => {
    const { a, b } = inputs as unknown as { a: TensorInfo; b: TensorInfo };
    const { expression, x, y } = attrs as unknown as { expression: Expression; x: number; y: number };
    const program = new ElementwiseProgram(expression, a.shape);
    const scalars = [x, y].map((value) => ({ type: 'float32', data: [value] }));
    return (backend as WebGPUBackend).runWebGPUProgram(program, [a, b], 'float32', scalars);
  }) as KernelFunc,
});

const elementwise = (expression: Expression, a: Tensor, b: Tensor, x: number, y: number): Tensor =>
  engine().runKernel(kernelName, { a, b }, { expression, x, y });

/** Adam's arithmetic for one update, on this backend. */
export const adamByKernels = ({ beta1, beta2, stepSize, epsilon }: AdamScalars): AdamArithmetic => ({
  mean: (before, gradient) => elementwise('average', before, gradient, beta1, 1 - beta1),
  square: (before, squares) => elementwise('average', before, squares, beta2, 1 - beta2),
  change: (mean, square) => elementwise('change', mean, square, stepSize, epsilon),
});
