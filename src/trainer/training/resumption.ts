/**
 * What a run that goes on keeps of what computed it before, so that its figures are those of an unbroken run to the last
 * bit, and what is said where it cannot. run.ts asks it before it opens the engine and after.
 */
import type { EngineName, EngineUse } from '../../core/contracts/events';
import { Message, message } from '../../core/messages/message';
import type { EngineOptions, Optimization } from '../engines/engine';

/** The options under which an engine computes as before; what the user asks for goes first. */
export function optionsAsBefore(
  engine: EngineName,
  asked: Pick<EngineOptions, 'threads'>,
  before: EngineUse | undefined,
): EngineOptions {
  if (before?.engine !== engine) return asked;
  const onWeb = 'onnxruntime-web' in before.versions;
  return {
    threads: asked.threads ?? before.threads,
    ...(before.leftOut && { without: before.leftOut as readonly Optimization[] }),
    // The environment's word stands; native code is what is tried first in any case.
    ...(onWeb && !process.env['CONVLAB_ONNX_RUNTIME'] && { runtime: 'web' as const }),
  };
}

/** These say nothing of how a step is computed. */
const indifferent = ['node', 'libtensorflow file'];

/** The libraries that compute, with their versions. */
const librariesOf = ({ versions }: EngineUse): string =>
  Object.entries(versions)
    .filter(([name]) => !indifferent.includes(name))
    .map(([name, version]) => `${name} ${version}`)
    .sort()
    .join(', ');

const computerOf = (use: EngineUse): string => [use.engine, use.device, librariesOf(use)].filter(Boolean).join(', ');
const listed = (names: readonly string[] = []): string => [...names].sort().join(', ') || '–';

/** Why the figures may differ in their last digits from here on: one sentence, or none where nothing has changed. */
export function differences(before: EngineUse | undefined, now: EngineUse): Message[] {
  if (!before) return [];
  const reasons: Message[] = [];
  const differ = (id: 'resumedComputer' | 'resumedThreads' | 'resumedLeftOut', was: string, is: string) => {
    if (was !== is) reasons.push(message(id, { before: was, now: is }));
  };
  differ('resumedComputer', computerOf(before), computerOf(now));
  if (before.engine === now.engine) {
    differ('resumedThreads', String(before.threads ?? '–'), String(now.threads ?? '–'));
    differ('resumedLeftOut', listed(before.leftOut), listed(now.leftOut));
  }
  return reasons.length > 0 ? [message('resumedDiffers', { reasons })] : [];
}
