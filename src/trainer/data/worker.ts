/** A worker thread of the data pipeline (dist/images.js): prepares images of the batches that loader.ts asks for. */
import { parentPort, workerData } from 'node:worker_threads';
import { FromWorker, ImageLost, ToWorker, workOn } from './loader';
import { Plan, Preparation } from './prepare';

const preparation = new Preparation(workerData as Plan);
// Jobs are taken one after another, in the order in which they come.
let before: Promise<void> = Promise.resolve();

parentPort!.on('message', (job: ToWorker) => {
  before = before.then(async () => {
    let answer: FromWorker = { id: job.id };
    try {
      await workOn(preparation, job);
    } catch (error) {
      const { entry, message: reason } = error as ImageLost;
      answer =
        error instanceof ImageLost ? { id: job.id, lost: { entry, reason } } : { id: job.id, defect: String(error) };
    }
    parentPort!.postMessage(answer);
  });
});
