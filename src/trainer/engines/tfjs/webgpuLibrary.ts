/**
 * What dist/tfjsWebgpu.js holds: TensorFlow.js with its gradients, which tfjs-core's own file for Node leaves out, and its
 * WebGPU backend without the registration that would ask for a device at once, and kernels of our own. webgpuProvider.ts
 * loads the bundle when it is chosen.
 */
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-backend-webgpu/dist/register_all_kernels';
export * from '@tensorflow/tfjs-core';
export { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu/dist/backend_webgpu';
export { adamByKernels } from './webgpuAdam';
