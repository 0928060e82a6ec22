/** What requests and answers about processing are made of. */
import { z } from 'zod';
import { versionParam } from './images.ts';
import { planSchema } from './plan.ts';
import { problemSchema } from './resources.ts';

export const MAX_PROCESS_BATCH = 100;

export const processQuery = z.strictObject({
  version: versionParam.optional().meta({ description: 'What is processed; the current one when absent.' }),
});

export const batchProcessSchema = z.strictObject({
  image_ids: z
    .array(z.guid({ error: 'expected the id of an image' }).toLowerCase())
    .min(1)
    .max(MAX_PROCESS_BATCH)
    .meta({ description: 'One job for each; an id that stands there twice has one as well.' }),
  plan: planSchema,
});

const accepted = {
  job_id: z.guid(),
  image_id: z.guid(),
  version: z
    .int()
    .min(1)
    .meta({ description: 'What it will be; no other one of the image will be called so.' }),
  status_url: z.string().meta({ description: 'Where the job is followed; relative to this service.' }),
};

export const processAcceptedSchema = z
  .strictObject(accepted)
  .meta({ id: 'ProcessAccepted', description: 'A new version is being made.' });

export const processBatchAcceptedSchema = z
  .strictObject({
    batch_id: z.guid(),
    status_url: z.string().meta({ description: 'Where the batch is followed; relative to this service.' }),
    items: z
      .array(
        z.union([z.strictObject(accepted), z.strictObject({ image_id: z.guid(), problem: problemSchema })]),
      )
      .min(1)
      .max(MAX_PROCESS_BATCH)
      .meta({
        description: 'In the order of the request, each image once: its job, or what is wrong with it.',
      }),
  })
  .meta({ id: 'ProcessBatchAccepted' });
