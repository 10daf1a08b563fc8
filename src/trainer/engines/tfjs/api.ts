/** TensorFlow.js as this engine is given it, by type alone: which package it comes from, provider.ts decides. */
import type * as tfjs from '@tensorflow/tfjs-core';

/** The TensorFlow.js API: tfjs-core, or a package that exports it. */
export type Tf = typeof tfjs;
export type Tensor = tfjs.Tensor;
/** Images: size × height × width × channels; or a convolution's weight. */
export type Tensor4D = tfjs.Tensor4D;
