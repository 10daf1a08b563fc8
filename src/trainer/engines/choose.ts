/** Picks the engine that trains, and says why this one and not the others. */
import { Message, message, UserError } from '../../core/messages/message';
import { EngineName, engineNames } from '../../core/contracts/events';
import { EngineRequest } from '../../core/contracts/tasks';
import type { Availability, Engine, EngineOptions, EngineProvider } from './engine';
import { onnxProvider } from './onnx/provider';
import { mostThreads } from './processors';
import { openProved, ProvedEngine } from './selfCheck';
import { tensorflowProvider } from './tfjs/provider';
import { webgpuProvider } from './tfjs/webgpuProvider';

/** Every engine, in the order in which `auto` prefers them. */
export const providers: readonly EngineProvider[] = [tensorflowProvider, webgpuProvider, onnxProvider];

/** What each engine says of this machine. */
export async function probeAll(of: readonly EngineProvider[] = providers): Promise<Probed[]> {
  return Promise.all(of.map(async (provider) => ({ provider, availability: await provider.probe() })));
}

/** An engine and what it said when it was probed. */
export interface Probed {
  readonly provider: EngineProvider;
  readonly availability: Availability;
}

/**
 * What `auto` makes of the engines: those that it would try, the best first (one with a GPU, else onnx on the processor, else
 * any other), and a sentence on each that it would not.
 */
export function rank(probed: readonly Probed[]): {
  readonly candidates: readonly { readonly provider: EngineProvider; readonly device: Engine['device'] }[];
  readonly reasons: ReadonlyMap<EngineName, Message>;
} {
  const reasons = new Map<EngineName, Message>();
  const candidates: { provider: EngineProvider; device: Engine['device'] }[] = [];
  for (const { provider, availability } of probed) {
    const { name: engine } = provider;
    if (!availability.usable) {
      reasons.set(engine, message('engineNotChosenReason', { engine, reason: availability.reason }));
    } else if (engine === 'webgpu' && availability.device.kind === 'cpu') {
      // A thousand times slower than onnx, it is for tests alone.
      reasons.set(engine, message('engineEmulates', { engine, device: availability.device.name }));
    } else candidates.push({ provider, device: availability.device });
  }
  const place = ({ provider, device }: (typeof candidates)[number]) =>
    device.kind === 'gpu' ? 0 : provider.name === 'onnx' ? 1 : 2;
  return { candidates: candidates.sort((a, b) => place(a) - place(b)), reasons };
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
 * Opens the engine asked for, or under `auto` the first that fits (see {@link rank}) and computes rightly.
 * @throws UserError when it, or under `auto` none, can be used; an engine that was asked for is never replaced
 */
export async function openEngine(
  request: EngineRequest,
  options: EngineOptions,
  choice: EngineChoice = {},
): Promise<ChosenEngine> {
  const of = choice.providers ?? providers;
  const most = mostThreads();
  const { threads: asked } = options;
  const capped = asked !== undefined && asked > most;
  const open = async (provider: EngineProvider): Promise<ProvedEngine> => {
    const within = capped ? { ...options, threads: most } : options;
    const opened = await openProved(provider, within, choice.checkEngine, () =>
      choice.progress?.(message('checkingEngine', { engine: provider.name })),
    );
    if (!capped || opened.engine.device.threads === undefined) return opened;
    return { ...opened, warnings: [...opened.warnings, message('threadsCapped', { asked, most })] };
  };
  if (request !== 'auto') {
    const provider = of.find((p) => p.name === request);
    if (!provider) {
      throw new UserError(message('engineUnknown', { name: request, known: ['auto', ...engineNames].join(', ') }));
    }
    const availability = await provider.probe();
    if (!availability.usable) {
      const { reason, action } = availability;
      throw new UserError(message('engineUnusable', { engine: request, reason }), action);
    }
    const opened = await open(provider);
    return { ...opened, reasons: [message('engineChosenAsked', { engine: request }), ...remarks(opened)] };
  }
  const { candidates, reasons: passedOver } = rank(await probeAll(of));
  const reasons = [...passedOver.values()];
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
      return { ...opened, reasons: [...reasons, ...remarks(opened)] };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      reasons.push(message('engineNotChosenReason', { engine, reason: error.userMessage }));
    }
  }
  throw new UserError(message('engineNone', { reasons }));
}

const remarks = ({ engine, warnings }: ProvedEngine): Message[] => [...(engine.notes ?? []), ...warnings];
