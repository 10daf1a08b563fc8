/** Makes native TensorFlow usable or removes what that made; for `convlab setup tensorflow` and the editor's commands. */
import type { SetupRequest } from '../../core/contracts/tasks';
import { Message, message } from '../../core/messages/message';
import { setupFolder } from '../tensorflow/installation';
import { removeTensorflow, setUpTensorflow } from '../tensorflow/setup';
import type { TaskSurroundings } from './task';

/** @returns what there is now, a sentence each @throws UserError, and the signal's reason */
export async function setup(
  { remove, ...request }: SetupRequest,
  { signal, progress }: TaskSurroundings<'setup'>,
): Promise<Message[]> {
  if (!remove) {
    try {
      return await setUpTensorflow({ ...request, signal, progress });
    } catch (error) {
      // Whatever fails once it has been asked to stop failed for that.
      signal.throwIfAborted();
      throw error;
    }
  }
  const folder = setupFolder(request.storage);
  return [message(removeTensorflow(request.storage) ? 'setupRemoved' : 'setupNothingToRemove', { folder })];
}
