/** Picks the engine that trains, and says why this one and not the others. */
import { english, Message, message, UserError } from '../../messages';
import { engineNames, EngineRequest } from '../../protocol';
import type { Availability, Engine, EngineOptions, EngineProvider } from './engine';
import { onnxProvider } from './onnx/engine';
import { tensorflowProvider } from './tfjs/provider';

/** Every engine, in the order in which `auto` prefers them. */
export const providers: readonly EngineProvider[] = [tensorflowProvider, onnxProvider];

/** What each engine says of this machine. */
export async function probeAll(
  of: readonly EngineProvider[] = providers,
): Promise<{ provider: EngineProvider; availability: Availability }[]> {
  return Promise.all(of.map(async (provider) => ({ provider, availability: await provider.probe() })));
}

/**
 * Opens the engine asked for, or under `auto` the first that fits: one with a GPU, else onnx on the processor.
 * @returns the engine and one sentence for each engine considered
 * @throws UserError when it, or under `auto` none, can be used; an engine that was asked for is never replaced
 */
export async function openEngine(
  request: EngineRequest,
  options: EngineOptions,
  of: readonly EngineProvider[] = providers,
): Promise<{ engine: Engine; reasons: Message[] }> {
  if (request !== 'auto') {
    const provider = of.find((p) => p.name === request);
    if (!provider) {
      throw new UserError(message('engineUnknown', { name: request, known: ['auto', ...engineNames].join(', ') }));
    }
    const availability = await provider.probe();
    if (!availability.usable) {
      throw new UserError(message('engineUnusable', { engine: request, reason: english(availability.reason) }));
    }
    return { engine: await provider.open(options), reasons: [message('engineChosenAsked', { engine: request })] };
  }
  const reasons: Message[] = [];
  for (const { provider, availability } of await probeAll(of)) {
    if (!availability.usable) {
      reasons.push(message('engineNotChosenReason', { engine: provider.name, reason: english(availability.reason) }));
    } else if (availability.device.kind === 'gpu') {
      reasons.push(message('engineChosenGpu', { engine: provider.name, device: availability.device.name }));
      return { engine: await provider.open(options), reasons };
    } else if (provider.name === 'onnx') {
      reasons.push(message('engineChosenOnnx'));
      return { engine: await provider.open(options), reasons };
    } else {
      reasons.push(message('engineNotChosenCpu', { engine: provider.name }));
    }
  }
  throw new UserError(message('engineNone', { reasons: reasons.map(english).join(' ') }));
}
