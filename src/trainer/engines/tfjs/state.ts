/** What training changes, as tensors on the device. model.ts owns one; adam.ts and stepGraph.ts change it. */
import type { Tensor } from './api';

/** Everything that training changes, on the device, in the order of Network.parameters and Network.buffers. */
export interface DeviceState {
  parameters: Tensor[];
  buffers: Tensor[];
  firstMoment: Tensor[];
  secondMoment: Tensor[];
  step: number;
}

/** Where the tensors that a step reads or changes are kept, in the order of {@link StepGraph.enter}. */
export function held(
  { parameters, buffers, firstMoment, secondMoment }: DeviceState,
  trained: readonly number[],
): { readonly tensors: Tensor[]; readonly k: number }[] {
  const all = (tensors: Tensor[]) => tensors.map((_, k) => ({ tensors, k }));
  const ofTrained = (tensors: Tensor[]) => trained.map((k) => ({ tensors, k }));
  return [...all(parameters), ...all(buffers), ...ofTrained(firstMoment), ...ofTrained(secondMoment)];
}
