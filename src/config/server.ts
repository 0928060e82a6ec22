/** The variables of the server and of the engine. */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { amount, list, MEBIBYTE, oneOf, path, refuse, registry, whole } from './forms.ts';

function originOf(text: string): string | undefined {
  const url = URL.parse(text);
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href;
  return isOrigin ? url.origin : undefined;
}

function origins(text: string, ctx: z.RefinementCtx): readonly string[] {
  const read = text === '' ? [] : text === '*' ? [text] : list(text, originOf);
  return read ? Object.freeze(read) : refuse(ctx);
}

/** Keys are the fields of Config; the environment variable of each is in its description. */
export const SERVER_FIELDS = {
  host: z
    .string()
    .regex(/^[a-z0-9_.:%-]{1,255}$/i)
    .register(registry, {
      name: 'HOST',
      form: 'a host name or an IP address',
      default: '127.0.0.1',
      description:
        'Address to listen on. By default only this machine can connect; `0.0.0.0` or `::` opens the service to the network, once JWT_SECRET_KEY is set.',
    }),
  port: whole(
    { min: 0, max: 65_535 },
    { name: 'PORT', default: '8000', description: 'TCP port to listen on; 0 takes any free one.' },
  ),
  dataDir: path({
    name: 'DATA_DIR',
    form: 'a folder',
    default: './data',
    description:
      'Folder for everything that the service stores, temporary files included. Made when it is missing.',
  }),
  maxConvertBytes: amount(
    { min: 0.001, max: 10_240, times: MEBIBYTE },
    {
      name: 'MAX_CONVERT_SIZE_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '200',
      description: 'Largest file that `POST /convert` accepts.',
    },
  ),
  maxPixels: amount(
    { min: 0.001, max: 10_000, times: 1_000_000 },
    {
      name: 'MAX_IMAGE_MEGAPIXELS',
      unit: 'megapixels',
      default: '100',
      description:
        'Largest picture that is decoded, checked before its pixels are. An animation counts with all its frames.',
    },
  ),
  maxFrames: whole(
    { min: 1, max: 100_000 },
    {
      name: 'MAX_FRAMES',
      unit: 'frames',
      default: '1000',
      description: 'Most frames or pages that one image may have decoded.',
    },
  ),
  processingTimeoutMs: amount(
    { min: 0.1, max: 86_400, times: 1_000 },
    {
      name: 'PROCESSING_TIMEOUT',
      unit: 'seconds',
      default: '300',
      description: 'Longest that the work on one image may take.',
    },
  ),
  workerConcurrency: whole(
    { min: 1, max: 256 },
    {
      name: 'WORKER_CONCURRENCY',
      unit: 'images',
      default: {
        shown: 'the number of CPU cores',
        value: () => String(Math.min(256, availableParallelism())),
      },
      description: 'How many images are worked on at the same time, each in a process of its own.',
    },
  ),
  maxChildMemoryBytes: amount(
    { min: 128, max: 1_048_576, times: MEBIBYTE },
    {
      name: 'MAX_CHILD_MEMORY_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '3072',
      description:
        'Most memory that the process working on one image may take; it is ended when it takes more.',
    },
  ),
  convertQueueLimit: whole(
    { min: 0, max: 100_000 },
    {
      name: 'CONVERT_QUEUE_LIMIT',
      unit: 'requests',
      default: '64',
      description: 'How many conversions may wait for a free worker; further ones are answered with 503.',
    },
  ),
  shutdownTimeoutMs: amount(
    { min: 0, max: 3_600, times: 1_000 },
    {
      name: 'SHUTDOWN_TIMEOUT_SECONDS',
      unit: 'seconds',
      default: '30',
      description: 'How long a stopping server lets running work finish.',
    },
  ),
  logLevel: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    name: 'LOG_LEVEL',
    default: 'info',
    description: 'The least severe messages that are logged.',
  }),
  corsOrigins: z.string().transform(origins).register(registry, {
    name: 'CORS_ORIGINS',
    form: 'origins such as https://example.org, separated by commas, or *',
    default: '',
    description: 'Web origins whose pages may call the service from a browser.',
  }),
  environment: oneOf(['development', 'test', 'production'], {
    name: 'NODE_ENV',
    default: 'development',
    description: 'What this installation is for.',
  }),
};
