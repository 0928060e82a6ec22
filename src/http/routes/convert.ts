/** POST /convert: receive → probe → render → stream out; with `async`: receive → probe → store. */
import { open } from 'node:fs/promises';
import { OPERATIONS } from '../../contract/operations.ts';
import { EXTENSIONS, MIME_TYPES } from '../../contract/plan.ts';
import { planFor } from '../../contract/plan-for-source.ts';
import type { Limits } from '../../engine/limits.ts';
import { probe } from '../../engine/probe.ts';
import { Problem } from '../../problem.ts';
import type { Services } from '../../services/context.ts';
import { acceptConversion } from '../../services/convert-later.ts';
import { expectNoAssets } from '../../services/plan-assets.ts';
import { StagedOriginal } from '../../services/staged-original.ts';
import { imagesOnly } from '../../services/upload-terms.ts';
import type { Answer, Call, Handler } from '../bind.ts';
import { contentDisposition, downloadName } from '../disposition.ts';
import { receiveFile, receiveInto } from '../multipart.ts';
import { Timing } from '../timing.ts';

type Convert = (typeof OPERATIONS)['convert'];

export interface ConvertOptions {
  services: Services;
  limits: Limits;
  /** Conversions that may wait for a child. */
  queueLimit: number;
}

const IMAGES_ONLY = imagesOnly(() => undefined);

const READ_CHUNK_BYTES = 256 * 1024;

export function convertRoute({ services, limits, queueLimit }: ConvertOptions): Handler<Convert> {
  const { pool } = services;
  const { bare } = OPERATIONS.convert.body;

  /** Stores the picture and leaves the work to a worker. */
  async function accept({ plan, request, exchange: { signal } }: Call<Convert>): Promise<Answer<Convert>> {
    await using staged = new AsyncDisposableStack();
    let original: StagedOriginal | undefined;
    const { filename } = await receiveInto(request, { maxBytes: limits.maxBytes, signal, bare }, async () => {
      const { maxBytes } = limits;
      original = staged.use(await StagedOriginal.open(services, { maxBytes, inspect: IMAGES_ONLY }));
      return original.intake;
    });
    const conversion = { original: original!, filename, plan };
    const { jobId } = await acceptConversion(conversion, { ...services, limits }, signal);
    return { status: 202, json: { task_id: jobId, status_url: `/status/${jobId}` } };
  }

  return async (call) => {
    expectNoAssets(call.plan);
    if (call.query.async) return accept(call);
    const { plan, request, exchange } = call;
    const { signal } = exchange;
    const { size, busy, waiting } = pool.stats();
    if (busy === size && waiting >= queueLimit) {
      // The pool would say so too, but only after the whole file has come.
      throw new Problem('overloaded', { detail: 'Too many images are waiting already.' });
    }
    const timing = new Timing();
    const { dir } = await exchange.hold(await pool.scratch());
    const source = await timing.of('receive', () =>
      receiveFile(request, { dir, maxBytes: limits.maxBytes, signal, bare, inspect: IMAGES_ONLY }),
    );
    // Headers are cheap to read: what cannot be converted should not wait for a child.
    const { format: sourceFormat } = await timing.of('probe', () => probe(source.path, limits, signal));
    const { renditions } = await timing.of('render', () =>
      pool.render(
        { sourcePath: source.path, plans: [planFor(sourceFormat, plan)], limits, outDir: dir },
        { signal },
      ),
    );
    const rendition = renditions[0]!;
    const file = await open(rendition.path);
    const { format } = rendition.plan.output;
    return {
      status: 200,
      headers: {
        'content-length': rendition.bytes,
        'content-disposition': contentDisposition(downloadName(source.filename, EXTENSIONS[format])),
        'cache-control': 'no-store',
        'x-image-width': rendition.width,
        'x-image-height': rendition.height,
        'server-timing': timing.header(),
      },
      type: MIME_TYPES[format],
      body: file.createReadStream({ highWaterMark: READ_CHUNK_BYTES }),
    };
  };
}
