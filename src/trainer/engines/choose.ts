/** Picks the engine that trains, and says why this one and not the others. */
import { english, Message, message, UserError } from '../../messages';
import { engineNames, EngineRequest } from '../../protocol';
import type { Availability, Engine, EngineOptions, EngineProvider } from './engine';
import { onnxProvider } from './onnx/engine';
import { openProved, ProvedEngine } from './selfCheck';
import { tensorflowProvider } from './tfjs/provider';
import { webgpuProvider } from './tfjs/webgpu';

/** Every engine, in the order in which `auto` prefers them. */
export const providers: readonly EngineProvider[] = [tensorflowProvider, webgpuProvider, onnxProvider];

/** What each engine says of this machine. */
export async function probeAll(
  of: readonly EngineProvider[] = providers,
): Promise<{ provider: EngineProvider; availability: Availability }[]> {
  return Promise.all(of.map(async (provider) => ({ provider, availability: await provider.probe() })));
}

/** An engine that trains, with a sentence on each engine considered, and on what goes wrong without stopping it. */
export interface ChosenEngine extends ProvedEngine {
  readonly reasons: readonly Message[];
}

/** What there is to choose from, and who hears what is being done. */
export interface EngineChoice {
  /** Other than all engines only in tests. */
  readonly providers?: readonly EngineProvider[];
  /** Other than the self-check only in tests. */
  readonly checkEngine?: (engine: Engine) => Promise<Message | undefined>;
  progress?(message: Message): void;
}

/**
 * Opens the engine asked for, or under `auto` the first that fits and computes rightly: one with a GPU, else onnx on the
 * processor, else any other.
 * @throws UserError when it, or under `auto` none, can be used; an engine that was asked for is never replaced
 */
export async function openEngine(
  request: EngineRequest,
  options: EngineOptions,
  choice: EngineChoice = {},
): Promise<ChosenEngine> {
  const of = choice.providers ?? providers;
  const open = (provider: EngineProvider): Promise<ProvedEngine> =>
    openProved(provider, options, choice.checkEngine, () =>
      choice.progress?.(message('checkingEngine', { engine: provider.name })),
    );
  if (request !== 'auto') {
    const provider = of.find((p) => p.name === request);
    if (!provider) {
      throw new UserError(message('engineUnknown', { name: request, known: ['auto', ...engineNames].join(', ') }));
    }
    const availability = await provider.probe();
    if (!availability.usable) {
      const reason = english(availability.reason);
      throw new UserError(message('engineUnusable', { engine: request, reason }), availability.action);
    }
    const opened = await open(provider);
    return { ...opened, reasons: [message('engineChosenAsked', { engine: request }), ...opened.warnings] };
  }
  const reasons: Message[] = [];
  const candidates: { provider: EngineProvider; device: Engine['device'] }[] = [];
  for (const { provider, availability } of await probeAll(of)) {
    if (availability.usable && provider.name === 'webgpu' && availability.device.kind === 'cpu') {
      // A thousand times slower than onnx, it is for tests alone.
      reasons.push(message('engineEmulates', { engine: provider.name, device: availability.device.name }));
    } else if (availability.usable) candidates.push({ provider, device: availability.device });
    else
      reasons.push(message('engineNotChosenReason', { engine: provider.name, reason: english(availability.reason) }));
  }
  const rank = ({ provider, device }: (typeof candidates)[number]) =>
    device.kind === 'gpu' ? 0 : provider.name === 'onnx' ? 1 : 2;
  candidates.sort((a, b) => rank(a) - rank(b));
  for (const [index, { provider, device }] of candidates.entries()) {
    const { name: engine } = provider;
    try {
      const opened = await open(provider);
      if (device.kind === 'gpu') reasons.push(message('engineChosenGpu', { engine, device: device.name }));
      else reasons.push(engine === 'onnx' ? message('engineChosenOnnx') : message('engineChosenLast', { engine }));
      for (const { provider: other, device: its } of candidates.slice(index + 1)) {
        if (its.kind === 'cpu' && other.name !== 'onnx') {
          reasons.push(message('engineNotChosenCpu', { engine: other.name }));
        }
      }
      return { ...opened, reasons: [...reasons, ...opened.warnings] };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      reasons.push(message('engineNotChosenReason', { engine, reason: english(error.userMessage) }));
    }
  }
  throw new UserError(message('engineNone', { reasons: reasons.map(english).join(' ') }));
}
