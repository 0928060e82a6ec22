/** The variables of URLs that render on the fly. */
import { z } from 'zod';
import { amount, MEBIBYTE, registry } from './forms.ts';

export const TRANSFORM_FIELDS = {
  transformCacheBytes: amount(
    { min: 0, max: 1_048_576_000, times: MEBIBYTE },
    {
      name: 'TRANSFORM_CACHE_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '1024',
      description:
        'Room for what URLs have rendered; what was not used for longest goes first. 0 keeps nothing.',
    },
  ),
  transformMemoryBytes: amount(
    { min: 0, max: 1_048_576, times: MEBIBYTE },
    {
      name: 'TRANSFORM_MEMORY_MB',
      unit: 'MB of 1,048,576 bytes',
      default: '64',
      description: 'How much of that the server holds in memory as well, to answer quicker.',
    },
  ),
  unsignedUrls: z
    .string()
    .toLowerCase()
    .pipe(z.enum(['true', 'false']))
    .transform((word) => word === 'true')
    .register(registry, {
      name: 'UNSIGNED_URLS',
      form: 'true or false',
      default: 'false',
      description:
        'Whether `?unsigned` renders public images by any plan without a signature. Anybody can then keep the service busy: for development, and behind something that limits it.',
    }),
};
