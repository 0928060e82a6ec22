/** POST /convert: receive → probe → render → stream out. */
import { open } from 'node:fs/promises';
import { OPERATIONS } from '../../contract/operations.ts';
import { EXTENSIONS, MIME_TYPES } from '../../contract/plan.ts';
import type { Limits } from '../../engine/limits.ts';
import type { Pool } from '../../engine/pool/pool.ts';
import { HEAD_BYTES, probe, sniff, unsupported } from '../../engine/probe.ts';
import { Problem } from '../../problem.ts';
import type { HeadInspection } from '../../services/intake.ts';
import type { Handler } from '../bind.ts';
import { contentDisposition, downloadName } from '../disposition.ts';
import { receiveFile } from '../multipart.ts';
import { Timing } from '../timing.ts';

type Convert = (typeof OPERATIONS)['convert'];

export interface ConvertOptions {
  pool: Pool;
  limits: Limits;
  /** Conversions that may wait for a child. */
  queueLimit: number;
}

const IMAGES_ONLY: HeadInspection = {
  bytes: HEAD_BYTES,
  look: (head) => {
    if (!sniff(head)) throw unsupported(head);
  },
};

const READ_CHUNK_BYTES = 256 * 1024;

export function convertRoute({ pool, limits, queueLimit }: ConvertOptions): Handler<Convert> {
  const { bare } = OPERATIONS.convert.body;
  return async ({ plan, request, exchange }) => {
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
    await timing.of('probe', () => probe(source.path, limits, signal));
    const { renditions } = await timing.of('render', () =>
      pool.render({ sourcePath: source.path, plans: [plan], limits, outDir: dir }, { signal }),
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
