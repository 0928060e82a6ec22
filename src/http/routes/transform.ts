/** GET /t/…: images by URL. */
import type { FastifyRequest } from 'fastify';
import type { TRANSFORM_OPERATIONS } from '../../contract/operations/transforms.ts';
import { MIME_TYPES, type OutputFormat } from '../../contract/plan.ts';
import {
  formatOf,
  readTransformPlan,
  splitImageName,
  type TransformPlan,
} from '../../contract/transform-url.ts';
import type { SigningKey } from '../../domain/signature.ts';
import { transformSigningKey, verifyTransform } from '../../domain/transform-signature.ts';
import { Problem } from '../../problem.ts';
import type { Services } from '../../services/context.ts';
import { Recent } from '../../services/recent.ts';
import type { Client, Found, Transforms } from '../../services/transform.ts';
import { chooseFormat } from '../accept.ts';
import type { Call, Handler, Handlers } from '../bind.ts';
import { answerWithBytes, notModified } from '../stored-bytes.ts';

type Operations = typeof TRANSFORM_OPERATIONS;
type ReadTransform = Operations['read_transform'];

export interface TransformRouteOptions {
  transforms: Transforms;
  services: Pick<Services, 'clock' | 'urlSigningKey'>;
  /** UNSIGNED_URLS. */
  allowUnsigned: boolean;
}

/** URLs and plans that were read of late: a kilobyte or so each. */
const MAX_KNOWN = 5_000;

const YEAR_SECONDS = 31_536_000;
/** Without a version in it, a URL means another picture as soon as the image has another version. */
const SHORT_SECONDS = 3_600;

/** A URL that may be answered. */
interface Admitted {
  plan: TransformPlan;
  format: OutputFormat | undefined;
  imageId: string;
  isSigned: boolean;
  expiresAtMs: number;
}

export function transformRoutes({
  transforms,
  services,
  allowUnsigned,
}: TransformRouteOptions): Handlers<Operations> {
  const door = new Door(services, allowUnsigned);

  return {
    read_transform: (async (call) => {
      const { request, exchange } = call;
      const url = door.admit(call);
      const found = await transforms.find(url, clientOf(request));
      const stored = {
        key: found.identity,
        type: MIME_TYPES[found.plan.output.format],
        headers: { 'cache-control': cacheControl(found, url, services.clock.now()), ...varying(found) },
        contentHeaders: {},
      };
      const unchanged = notModified(request, stored);
      if (unchanged) return unchanged;
      const opened = await exchange.hold(await transforms.open(found, exchange.signal));
      return answerWithBytes(
        request,
        { ...stored, bytes: opened.bytes },
        { get: (_key, range) => opened.read(range) },
      );
    }) as Handler<ReadTransform>,

    purge_image: async ({ params, principal }) => {
      const purged = await transforms.purge(params.image_id, principal);
      return {
        status: 200,
        headers: { 'cache-control': 'no-store' },
        json: { image_id: params.image_id, purged },
      };
    },
  };
}

/** Lets in who has a signature, and where it is allowed who has none. */
class Door {
  readonly #key: SigningKey;
  readonly #clock: Services['clock'];
  readonly #allowUnsigned: boolean;
  readonly #plans = new Recent<TransformPlan>(MAX_KNOWN);
  readonly #admitted = new Recent<Admitted>(MAX_KNOWN);

  constructor({ clock, urlSigningKey }: TransformRouteOptions['services'], allowUnsigned: boolean) {
    this.#key = transformSigningKey(urlSigningKey);
    this.#clock = clock;
    this.#allowUnsigned = allowUnsigned;
  }

  /** @throws Problem `invalid_plan`, `forbidden` */
  admit({ params, query, request }: Call<ReadTransform>): Admitted {
    const now = this.#clock.now();
    const url = request.raw.url ?? '';
    const known = this.#admitted.get(url);
    if (known && now.getTime() < known.expiresAtMs) return known;
    const { signature, plan: segment } = params;
    const read = this.#planOf(segment);
    const image = splitImageName(params.image);
    const { expires, unsigned } = query;
    const plan = read instanceof Problem ? undefined : read;
    const verdict = verifyTransform(this.#key, { ...image, segment, plan, signature, expires }, now);
    if (verdict !== 'valid' && unsigned === undefined) {
      throw forbidden(
        verdict === 'expired' ? 'The URL has expired.' : "The URL's signature does not fit it.",
      );
    }
    if (verdict !== 'valid' && !this.#allowUnsigned) {
      throw forbidden('Unsigned URLs are switched off here: the URL has to be signed.');
    }
    // Told only to those who may ask: to others it is a plan that was altered.
    if (read instanceof Problem) throw read;
    this.#plans.set(segment, read);
    const isSigned = verdict === 'valid';
    const admitted = {
      plan: read,
      format: formatOf(read, image.ext),
      imageId: image.imageId,
      isSigned,
      expiresAtMs: isSigned && expires ? Number(expires) * 1000 : Number.POSITIVE_INFINITY,
    };
    this.#admitted.set(url, admitted);
    return admitted;
  }

  /** What is chosen by a plan is remembered with it: see `TransformPlans`. What is wrong with it where it cannot be read. */
  #planOf(segment: string): TransformPlan | Problem {
    const known = this.#plans.get(segment);
    if (known) return known;
    try {
      return readTransformPlan(segment);
    } catch (error) {
      const problem = Problem.from(error);
      if (problem.code !== 'invalid_plan') throw error;
      return problem;
    }
  }
}

const forbidden = (detail: string) => new Problem('forbidden', { detail });

const NUMBER = /^\d{1,5}(\.\d{1,4})?$/;

/** Client hints by their names of today (RFC 8942, HTML's responsive image hints) and of before. */
function clientOf({ headers }: FastifyRequest): Client {
  const hint = (...names: string[]): number | undefined => {
    const text = names.map((name) => headers[name]).find((value) => typeof value === 'string');
    return typeof text === 'string' && NUMBER.test(text.trim()) ? Number(text) : undefined;
  };
  return {
    prefer: (formats) => chooseFormat(headers.accept, formats),
    widthPx: hint('sec-ch-width', 'width'),
    ratio: hint('sec-ch-dpr', 'dpr'),
  };
}

/** Nobody keeps it for longer than the URL holds. */
function cacheControl({ isFinal, source }: Found, { expiresAtMs }: Admitted, now: Date): string {
  const leftSeconds = Math.floor((expiresAtMs - now.getTime()) / 1000);
  const maxAge = Math.max(0, Math.min(isFinal ? YEAR_SECONDS : SHORT_SECONDS, leftSeconds));
  return `${source.visibility}, max-age=${maxAge}${isFinal ? ', immutable' : ''}`;
}

function varying({ by }: Found): Record<string, string> {
  const hints = [...(by.ratio ? ['Sec-CH-DPR'] : []), ...(by.width ? ['Sec-CH-Width'] : [])];
  const old = [...(by.ratio ? ['DPR'] : []), ...(by.width ? ['Width'] : [])];
  const vary = [...(by.accept ? ['Accept'] : []), ...hints, ...old];
  return {
    ...(vary.length > 0 && { vary: vary.join(', ') }),
    ...(hints.length > 0 && { 'accept-ch': hints.join(', ') }),
  };
}
