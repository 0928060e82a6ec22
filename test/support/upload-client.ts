/** A client as people should write them: it sends again what was not answered, under the same Idempotency-Key. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import type { JobDocument, JobResult } from '../../src/contract/jobs.ts';
import type { ProblemDocument } from '../../src/contract/resources.ts';
import { type Installation, SIDES } from './installation.ts';
import type { MixedFile } from './mixed-files.ts';
import { type Accepted, formOf, tokenOf } from './uploads.ts';

export interface Sent {
  file: MixedFile;
  status: number;
  /** Of an upload that was accepted. */
  accepted?: Accepted;
  /** Why it was not. */
  problem?: ProblemDocument;
  /** How often it was sent. */
  tries: number;
}

export interface SendOptions {
  /** One for each file when absent. */
  key?: string;
  /** Gives a 503 or 507 back instead of sending again. */
  takesNo?: boolean;
}

const PATIENCE_MS = 90_000;
const PAUSE_MS = 100;
const REQUEST_TIMEOUT_MS = 30_000;

export class UploadClient {
  readonly #installation: Pick<Installation, 'address'>;
  readonly #authorization: string;

  private constructor(installation: Pick<Installation, 'address'>, token: string) {
    this.#installation = installation;
    this.#authorization = `Bearer ${token}`;
  }

  static async of(installation: Pick<Installation, 'address'>, subject = 'anna'): Promise<UploadClient> {
    return new UploadClient(installation, await tokenOf(subject));
  }

  /** Until there is an answer that another try would not change. */
  async send(file: MixedFile, { key = randomUUID(), takesNo = false }: SendOptions = {}): Promise<Sent> {
    const deadline = performance.now() + PATIENCE_MS;
    for (let tries = 1; ; tries++) {
      if (performance.now() > deadline) throw new Error(`${file.name}: no answer after ${tries} tries`);
      const response = await this.#post(file, key);
      if (!response) {
        await sleep(PAUSE_MS);
        continue;
      }
      const { status, body } = response;
      if (status === 202) return { file, status, accepted: body as Accepted, tries };
      const problem = body as ProblemDocument;
      const mayPass = status === 409 || status === 503 || status === 507;
      if (!mayPass || (takesNo && status !== 409)) return { file, status, problem, tries };
      await sleep(PAUSE_MS);
    }
  }

  /** As many at a time. */
  async sendAll(files: readonly MixedFile[], atOnce: number, options?: SendOptions): Promise<Sent[]> {
    const sent: Sent[] = [];
    const waiting = files.entries();
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (const [i, file] of waiting) sent[i] = await this.send(file, options);
      }),
    );
    return sent;
  }

  /** @param init DELETE and the like */
  call(path: string, init: RequestInit = {}): Promise<Response> {
    const address = this.#installation.address();
    assert.ok(address, 'no server runs');
    const headers = { ...(init.headers as object), authorization: this.#authorization };
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    return fetch(new URL(path, address), { signal, ...init, headers });
  }

  /** Undefined where the server is gone, or went. */
  async #post(file: MixedFile, key: string): Promise<{ status: number; body: unknown } | undefined> {
    const address = this.#installation.address();
    if (!address) return undefined;
    try {
      const response = await fetch(`${address}/api/v1/images/upload`, {
        method: 'POST',
        body: formOf([
          ['bucket', 'photos'],
          ['file', file.bytes, file.name],
        ]),
        headers: { authorization: this.#authorization, 'idempotency-key': key },
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      return { status: response.status, body: await response.json() };
    } catch (error) {
      if (error instanceof TypeError || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  /** What became of an upload, by what everybody can ask for. Undefined: as it should be. */
  async complaintAbout({ file, accepted }: Sent): Promise<{ lost: boolean; why: string } | undefined> {
    const { job_id, image_id } = accepted!;
    const of = (why: string, lost = false) => ({ lost, why: `${file.name} ${job_id}: ${why}` });
    const asked = await this.call(`/api/v1/images/jobs/${job_id}`);
    if (asked.status === 404) return of('unknown', true);
    const job = (await asked.json()) as JobDocument;
    if (job.status === 'failed' && file.hostile) {
      const answer = await this.call(`/api/v1/images/jobs/${job_id}/result`);
      const { status, code } = (await answer.json()) as ProblemDocument;
      return status === 422 && code !== 'processing_failed' ? undefined : of(`failed with ${status} ${code}`);
    }
    if (job.status !== 'completed') return of(`${job.status} ${JSON.stringify(job.error)}`);
    const answer = await this.call(`/api/v1/images/jobs/${job_id}/result`);
    const { metadata } = (await answer.json()) as JobResult;
    const { width, height } = metadata.original_dimensions;
    const { size = { width, height } } = file;
    if (size.width !== width || size.height !== height) return of(`said to be ${width}×${height}`);
    for (const [name, side] of Object.entries(SIDES)) {
      const told = metadata.variants[name];
      if (!told) return of(`has no ${name}`);
      const bytes = await this.call(`/api/v1/images/${image_id}/direct?size=${name}`);
      if (bytes.status !== 200) return of(`${name} answers ${bytes.status}`);
      const found = await sharp(Buffer.from(await bytes.arrayBuffer())).metadata();
      // Of an animation, one frame.
      const [w, h] = [found.width, found.pageHeight ?? found.height];
      if (w !== told.width || h !== told.height)
        return of(`${name} is ${w}×${h}, said ${told.width}×${told.height}`);
      const scale = Math.min(1, side / Math.max(width, height));
      if (Math.abs(w - width * scale) > 1 || Math.abs(h - height * scale) > 1)
        return of(`${name} of ${width}×${height} is ${w}×${h}`);
    }
    return undefined;
  }
}
