/**
 * What `convlab engines` and the editor's view of engines tell of each: whether it can train here and on what, why not and
 * what would change that, and how fast it was when it was last measured. Loads no library.
 */
import { wellKnown } from '../../core/estimates';
import { Message, message } from '../../core/messages/message';
import type { EngineName } from '../../core/contracts/events';
import type { EngineReport, EnginesRequest } from '../../core/contracts/tasks';
import { probeAll, providers, rank } from '../engines/choose';
import { mostThreads } from '../engines/processors';
import { networkSpeed, notesNetworks, usualShapes } from './measure';
import { cacheFolder } from '../../disk/places';
import { lastMeasured } from './speeds';

/** @param version ConvLab's own; speeds that another version measured do not count */
export async function reportEngines(
  { threads: asked }: EnginesRequest,
  version: string,
  of = providers,
  cache = cacheFolder(),
  most = mostThreads(),
): Promise<EngineReport[]> {
  const probed = await probeAll(of);
  const { candidates, reasons } = rank(probed);
  const shapes = notesNetworks.flatMap(usualShapes);
  return probed.map(({ provider: { name: engine }, availability }) => {
    if (!availability.usable) {
      const { reason, action } = availability;
      return { engine, usable: false, preferred: false, reason, action, speeds: [] };
    }
    // An engine that tells no number of threads has none to set.
    const threads =
      availability.device.threads === undefined ? undefined : Math.min(asked ?? availability.device.threads, most);
    const { notes } = availability;
    const device = { ...availability.device, threads };
    const measured = lastMeasured({ engine, device: device.name, threads, convlab: version }, cache);
    const speeds = shapes
      .filter((shape) => wellKnown(shape, measured))
      .flatMap((shape) => networkSpeed(shape, measured, true) ?? []);
    const preferred = candidates[0]?.provider.name === engine;
    const reason = reasons.get(engine) ?? (preferred ? undefined : outrun(engine, device.kind));
    return { engine, usable: true, preferred, device, reason, notes, speeds };
  });
}

/** Why `auto` leaves a usable engine alone; on a GPU, and for onnx, it is only that another comes first. */
const outrun = (engine: EngineName, kind: 'cpu' | 'gpu'): Message | undefined =>
  kind === 'cpu' && engine !== 'onnx' ? message('engineNotChosenCpu', { engine }) : undefined;
