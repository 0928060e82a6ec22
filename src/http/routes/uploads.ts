/** Ways for images to come in: as a form, and directly to a URL that was given out before. */
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { UPLOAD_OPERATIONS } from '../../contract/operations/uploads.ts';
import { MAX_BATCH_FILES, uploadFieldsSchema } from '../../contract/uploads.ts';
import type { Principal } from '../../domain/access.ts';
import type { RateState } from '../../ports/catalog.ts';
import { Problem } from '../../problem.ts';
import type { Services } from '../../services/context.ts';
import { admitDirectUpload, expectUpload, fulfilUpload } from '../../services/direct-upload.ts';
import type { Intake } from '../../services/intake.ts';
import { StagedOriginal } from '../../services/staged-original.ts';
import { timed } from '../../services/stages.ts';
import { Turns } from '../../services/turns.ts';
import {
  acceptUpload,
  expectUploadRoom,
  isAboutFile,
  type UploadedFile,
  type UploadItem,
} from '../../services/upload.ts';
import { imagesOnly, uploadTerms } from '../../services/upload-terms.ts';
import type { Handler, Handlers } from '../bind.ts';
import { receiveBody } from '../body.ts';
import { displayName } from '../disposition.ts';
import type { Exchange } from '../exchange.ts';
import { idempotencyKeyOf } from '../idempotency-key.ts';
import { type FileSink, receiveForm } from '../multipart.ts';
import { problemDocument } from '../problems.ts';
import { baseUrl } from '../public-url.ts';
import { parseFields } from '../query.ts';

type Table = typeof UPLOAD_OPERATIONS;
type Fields = z.output<typeof uploadFieldsSchema>;

const MESSAGE = 'The image was accepted; its renditions are being made.';
const FILE_PARTS = { file: 1, files: MAX_BATCH_FILES };
const FIELD_NAMES = new Set(Object.keys(uploadFieldsSchema.shape));
/** Each field by itself, to be looked at as it comes. */
const FIELDS = new Map(
  Object.keys(uploadFieldsSchema.shape).map((name) => [
    name,
    uploadFieldsSchema.pick({ [name]: true } as { bucket: true }),
  ]),
);

export interface UploadOptions {
  services: Services;
  publicUrl: string | undefined;
}

export const uploadRoutes = ({ services, publicUrl }: UploadOptions): Handlers<Table> => ({
  upload_images: uploadRoute(services),
  generate_presigned_url: presignRoute(services, publicUrl),
  upload_direct: directUploadRoute(services),
});

function uploadRoute(services: Services): Handler<Table['upload_images']> {
  const turns = new Turns();
  return async ({ principal, request, exchange }) => {
    const { signal } = exchange;
    const idempotencyKey = idempotencyKeyOf(request);
    const rate = () =>
      services.catalog.rateState(principal.subject, services.rateLimit, services.clock.now());
    const before = tellRate(exchange, await rate());
    // Where the window is full, a request that was accepted before still gets its answer again.
    if (idempotencyKey === undefined) expectUploadRoom(before, services.clock.now());
    await using incoming = new IncomingUpload(principal, services);
    const { fields, files } = await timed(services, 'upload', 'receive', () =>
      incoming.receive(request, signal),
    );
    const { bucket, preset, project, metadata: context = {} } = fields;
    const upload = { principal, bucket, preset, project, context, files, idempotencyKey };
    try {
      const answer = await acceptUpload(upload, services, { signal, turns });
      tellRate(exchange, answer.rate);
      return { status: 202, json: present(answer, request) };
    } catch (error) {
      if (error instanceof Problem && error.code === 'rate_limited') tellRate(exchange, await rate());
      throw error;
    }
  };
}

/** What a form brings, while it comes. Disposing of it leaves nothing in staging. */
class IncomingUpload implements AsyncDisposable {
  readonly #principal: Principal;
  readonly #services: Services;
  readonly #staged = new AsyncDisposableStack();
  /** Checked one by one; complete only at the end. */
  readonly #known: Partial<Fields> = {};

  constructor(principal: Principal, services: Services) {
    this.#principal = principal;
    this.#services = services;
  }

  /** @throws Problem as soon as something is wrong; of several files, only what is about no single one */
  async receive(
    request: FastifyRequest,
    signal: AbortSignal,
  ): Promise<{ fields: Fields; files: UploadedFile[] }> {
    const arriving: { filename: string; sink: ArrivingFile }[] = [];
    const texts = await receiveForm(request, {
      signal,
      files: FILE_PARTS,
      maxBytes: this.#services.limits.maxBytes,
      fields: FIELD_NAMES,
      onField: (name, value) => this.#onField(name, value),
      open: async (filename, part) => {
        const sink = new ArrivingFile(await this.#stage(), part === 'file');
        arriving.push({ filename: displayName(filename), sink });
        return sink;
      },
    });
    const fields = parseFields(uploadFieldsSchema, Object.fromEntries(texts), 'form') as Fields;
    const files = arriving.map(({ filename, sink }) => ({ filename, original: sink.original }));
    return { fields, files };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#staged.disposeAsync();
  }

  #onField(name: string, value: string): void {
    Object.assign(this.#known, parseFields(FIELDS.get(name)!, { [name]: value }, 'form'));
    const { bucket, preset } = this.#known;
    if (bucket !== undefined) uploadTerms(this.#principal, bucket, preset, this.#services.policies);
  }

  async #stage(): Promise<StagedOriginal> {
    const { policies, limits } = this.#services;
    const policy = () => {
      const { bucket } = this.#known;
      return bucket === undefined ? undefined : policies.policyFor(bucket);
    };
    const maxBytes = policy()?.maxBytes ?? limits.maxBytes;
    return this.#staged.use(
      await StagedOriginal.open(this.#services, { maxBytes, inspect: imagesOnly(policy) }),
    );
  }
}

/** A file that is refused ends the request where it is the only one; of several, the rest of it is passed over. */
class ArrivingFile implements FileSink {
  readonly #staged: StagedOriginal;
  readonly #intake: Intake;
  readonly #alone: boolean;
  #problem: Problem | undefined;

  constructor(staged: StagedOriginal, alone: boolean) {
    this.#staged = staged;
    this.#intake = staged.intake;
    this.#alone = alone;
  }

  get original(): StagedOriginal | Problem {
    return this.#problem ?? this.#staged;
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#problem) return;
    try {
      await this.#intake.write(chunk);
    } catch (error) {
      this.#refuse(error);
    }
  }

  finish(): void {
    if (this.#problem) return;
    try {
      this.#intake.finish();
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error: unknown): void {
    if (this.#alone || !(error instanceof Problem) || !isAboutFile(error)) throw error;
    this.#problem = error;
  }
}

function presignRoute(
  services: Services,
  publicUrl: string | undefined,
): Handler<Table['generate_presigned_url']> {
  return async ({ principal, body, request, exchange }) => {
    const base = baseUrl(request, publicUrl);
    const { filename, content_type, size, metadata: context = {}, ...rest } = body;
    const rate = () =>
      services.catalog.rateState(principal.subject, services.rateLimit, services.clock.now());
    try {
      const upload = {
        ...rest,
        principal,
        context,
        filename: displayName(filename),
        contentType: content_type,
        bytes: size,
      };
      const { imageId, jobId, signed, expiresAt, rate: state } = await expectUpload(upload, services);
      tellRate(exchange, state);
      return {
        status: 200,
        headers: { 'cache-control': 'no-store' },
        json: {
          upload_url: `${base}/api/v1/uploads/direct/${imageId}?${new URLSearchParams({ ...signed })}`,
          method: 'PUT',
          headers: { 'Content-Type': content_type },
          image_id: imageId,
          job_id: jobId,
          expires_at: expiresAt.toISOString(),
        },
      };
    } catch (error) {
      if (error instanceof Problem && error.code === 'rate_limited') tellRate(exchange, await rate());
      throw error;
    }
  };
}

function directUploadRoute(services: Services): Handler<Table['upload_direct']> {
  return async ({ params, query, request, exchange }) => {
    const { signal } = exchange;
    const { headers } = request;
    const imageId = params.image_id.toLowerCase();
    const length = headers['content-length'];
    const contentLength = length === undefined ? undefined : Number(length);
    const asked = { imageId, query, contentType: headers['content-type'], contentLength };
    const terms = await admitDirectUpload(asked, services);
    await using staged = await StagedOriginal.open(services, {
      maxBytes: terms.maxBytes,
      inspect: imagesOnly(() => terms.policy),
    });
    await receiveBody(request.raw, staged.intake, { signal });
    staged.intake.finish();
    const accepted = await fulfilUpload(imageId, staged, terms, services, signal);
    return { status: 200, json: presentAccepted(accepted) };
  };
}

/** Says it with whatever the answer becomes. */
function tellRate(exchange: Exchange, state: RateState): RateState {
  exchange.headers['x-ratelimit-limit'] = state.limit;
  exchange.headers['x-ratelimit-remaining'] = state.remaining;
  exchange.headers['x-ratelimit-reset'] = Math.ceil(state.resetAt.getTime() / 1000);
  return state;
}

interface Identified {
  jobId: string;
  imageId: string;
}

const identify = ({ jobId, imageId }: Identified) => ({
  job_id: jobId,
  image_id: imageId,
  status_url: `/api/v1/images/jobs/${jobId}`,
});

const presentAccepted = (accepted: Identified) => ({ ...identify(accepted), message: MESSAGE });

function present({ batchId, items }: { batchId: string; items: UploadItem[] }, request: FastifyRequest) {
  const [first] = items;
  if (items.length === 1 && first && 'jobId' in first) return presentAccepted(first);
  const { id, raw } = request;
  return {
    batch_id: batchId,
    items: items.map((item) =>
      'problem' in item
        ? {
            filename: item.filename,
            problem: problemDocument(Problem.deserialize(item.problem), raw.url ?? '/', id),
          }
        : { filename: item.filename, ...identify(item) },
    ),
  };
}
