/** The variables of who may do what: tokens and signed URLs. */
import { z } from 'zod';
import { isSymmetric, minSecretChars, TOKEN_ALGORITHMS, type TokenAlgorithm } from '../contract/tokens.ts';
import type { FieldError } from '../problem.ts';
import { httpUrl, optional, refuse, registry } from './forms.ts';

const MIN_SECRET_CHARS = 32;

const secretText = (text: string, ctx: z.RefinementCtx): string =>
  text.length >= MIN_SECRET_CHARS ? text : refuse(ctx);

export const ACCESS_FIELDS = {
  jwtSecretKey: optional(secretText, {
    name: 'JWT_SECRET_KEY',
    form: `at least ${MIN_SECRET_CHARS} characters`,
    secret: true,
    description:
      'Secret that tokens are signed with (HS256, HS384, HS512). Without it one is made in DATA_DIR and only this machine can connect; with `NODE_ENV=production` nothing is started without it.',
  }),
  jwtAlgorithm: z
    .string()
    .transform((text, ctx): TokenAlgorithm => {
      const known = TOKEN_ALGORITHMS.find((name) => name.toLowerCase() === text.toLowerCase());
      return known ?? refuse(ctx);
    })
    .register(registry, {
      name: 'JWT_ALGORITHM',
      form: `one of ${TOKEN_ALGORITHMS.join(', ')}`,
      default: {
        shown: '`HS256`; `RS256` with JWT_PUBLIC_KEY or JWT_JWKS_URL',
        value: (textOf) => (textOf('JWT_PUBLIC_KEY') || textOf('JWT_JWKS_URL') ? 'RS256' : 'HS256'),
      },
      description: 'The one algorithm that tokens may be signed with, whatever a token says of itself.',
    }),
  jwtPublicKey: optional((text) => text.replaceAll('\\n', '\n'), {
    name: 'JWT_PUBLIC_KEY',
    form: 'a public key in PEM, or @ and the name of a file with one',
    description:
      'Key that tokens of another issuer are verified with. `\\n` is read as a line break; Tintype cannot make such tokens.',
  }),
  jwtJwksUrl: optional((text, ctx) => httpUrl(text)?.href ?? refuse(ctx), {
    name: 'JWT_JWKS_URL',
    form: 'an http or https URL',
    description:
      'JSON Web Key Set that tokens of another issuer are verified with (RFC 7517). Whoever can change its answer can make tokens: https unless the network is yours.',
  }),
  jwtIssuer: optional((text) => text, {
    name: 'JWT_ISSUER',
    form: 'text',
    description: 'The `iss` that a token must have.',
  }),
  jwtAudience: optional((text) => text, {
    name: 'JWT_AUDIENCE',
    form: 'text',
    description: 'The `aud` that a token must name.',
  }),
  urlSigningKey: optional(secretText, {
    name: 'URL_SIGNING_KEY',
    form: `at least ${MIN_SECRET_CHARS} characters`,
    secret: true,
    default: { shown: 'derived from JWT_SECRET_KEY', value: () => '' },
    description:
      'Secret that URLs are signed with. Without it and without JWT_SECRET_KEY one is made in DATA_DIR.',
  }),
};

export type AccessConfig = {
  readonly [K in keyof typeof ACCESS_FIELDS]: z.output<(typeof ACCESS_FIELDS)[K]>;
};

/** What is right by itself and wrong together. */
export function accessConflicts(config: AccessConfig): FieldError[] {
  const { jwtAlgorithm, jwtSecretKey, jwtPublicKey, jwtJwksUrl } = config;
  if (!isSymmetric(jwtAlgorithm)) {
    const [both, neither] = [jwtPublicKey && jwtJwksUrl, !jwtPublicKey && !jwtJwksUrl];
    return [
      ...(both
        ? [{ path: 'JWT_PUBLIC_KEY', message: 'expected nothing where JWT_JWKS_URL is set, got both' }]
        : []),
      ...(neither
        ? [
            {
              path: 'JWT_PUBLIC_KEY',
              message: `expected a public key, or JWT_JWKS_URL in its place, where JWT_ALGORITHM is ${jwtAlgorithm}; got nothing`,
            },
          ]
        : []),
    ];
  }
  const minChars = minSecretChars(jwtAlgorithm);
  const errors: FieldError[] = [];
  if (jwtSecretKey !== undefined && jwtSecretKey.length < minChars) {
    errors.push({
      path: 'JWT_SECRET_KEY',
      message: `expected at least ${minChars} characters where JWT_ALGORITHM is ${jwtAlgorithm}, got ${jwtSecretKey.length}`,
    });
  }
  if (jwtPublicKey !== undefined || jwtJwksUrl !== undefined) {
    const name = jwtPublicKey === undefined ? 'JWT_JWKS_URL' : 'JWT_PUBLIC_KEY';
    errors.push({
      path: 'JWT_ALGORITHM',
      message: `expected an algorithm with public keys, such as RS256, ES256 or EdDSA, where ${name} is set; got ${jwtAlgorithm}`,
    });
  }
  return errors;
}
