/**
 * What tokens are verified with and URLs are signed with: from the configuration, or from a secret that is made once
 * and kept in DATA_DIR, so that a first try needs no setting up and yet nobody else can make tokens.
 */
import { createPublicKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { type Config, invalidConfiguration } from './config.ts';
import { isSymmetric, type TokenAlgorithm, type TokenKey } from './contract/tokens.ts';

/** The secret's file in DATA_DIR. Its text may be moved to JWT_SECRET_KEY as it is. */
export const SECRET_FILE = 'secret.key';
/** Enough for HS512; 86 characters of base64url. */
const SECRET_BYTES = 64;
const SECRET_TEXT = /^[\w-]{86}$/;
const OWNER_ONLY = 0o600;
const URL_KEY_BYTES = 32;
const MIN_RSA_BITS = 2048;

export interface Secrets {
  jwtKey: TokenKey;
  urlSigningKey: Uint8Array;
  /** Tokens are signed with the secret in DATA_DIR, since none is configured. */
  generated: boolean;
  /** The secret in DATA_DIR was made by this call. */
  created: boolean;
}

/**
 * @throws Problem `invalid_configuration` where no secret is configured although the installation is for production, or
 *   where a key or the file of the secret cannot be used
 */
export function resolveSecrets(config: Config): Secrets {
  const { jwtAlgorithm, jwtSecretKey, urlSigningKey } = config;
  const needsTokenSecret = isSymmetric(jwtAlgorithm) && jwtSecretKey === undefined;
  if (needsTokenSecret) requireNoProduction(config);
  const verification = isSymmetric(jwtAlgorithm) ? undefined : verificationKey(config);
  const needsStored = needsTokenSecret || (urlSigningKey === undefined && jwtSecretKey === undefined);
  const stored = needsStored ? storedSecret(config.dataDir) : undefined;
  const secret = Buffer.from(jwtSecretKey ?? stored?.text ?? '');
  return {
    jwtKey: verification ?? { secret },
    urlSigningKey: urlSigningKey === undefined ? derivedUrlKey(secret) : Buffer.from(urlSigningKey),
    generated: needsTokenSecret,
    created: stored?.created ?? false,
  };
}

/** An installation for production has to say what its tokens are signed with. */
function requireNoProduction({ environment }: Config): void {
  if (environment !== 'production') return;
  throw invalidConfiguration([
    {
      path: 'JWT_SECRET_KEY',
      message:
        'expected at least 32 characters, got nothing; with NODE_ENV=production no secret is made in its place',
    },
  ]);
}

/** Where to listen: as long as no secret is configured only this machine may connect, whatever HOST says. */
export function listeningHost({ host }: Config, { generated }: Pick<Secrets, 'generated'>): string {
  return generated && !isLoopback(host) ? '127.0.0.1' : host;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family === 0 ? host.toLowerCase() === 'localhost' : LOOPBACK.check(host, `ipv${family as 4 | 6}`);
}

const derivedUrlKey = (secret: Uint8Array): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, '', 'tintype url signing', URL_KEY_BYTES));

/** The secret of a data folder, made where there is none. Of several processes that make one at once, one wins. */
function storedSecret(dataDir: string): { text: string; created: boolean } {
  const file = join(dataDir, SECRET_FILE);
  try {
    const found = readSecret(file);
    if (found !== undefined) return { text: found, created: false };
    mkdirSync(dataDir, { recursive: true });
    const created = publishSecret(file);
    return { text: readSecret(file)!, created };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === undefined || !('syscall' in (cause as object))) throw cause;
    throw fileProblem(`expected a folder that ${SECRET_FILE} can be kept in; ${code}`, cause);
  }
}

function readSecret(file: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const open = (fstatSync(fd).mode & 0o077) !== 0;
    if (open && process.platform !== 'win32') {
      throw fileProblem(
        `expected ${SECRET_FILE} to be readable by its owner only; run chmod 600 on it, or remove it if others may have read it: then another is made, and the tokens signed with this one end`,
      );
    }
    const text = readFileSync(fd, 'utf8').trim();
    if (!SECRET_TEXT.test(text)) {
      throw fileProblem(
        `expected ${SECRET_FILE} to hold the secret that was written there, but it is damaged; remove it to have another made`,
      );
    }
    return text;
  } finally {
    closeSync(fd);
  }
}

/** Linked into place when it is whole and durable. @returns whether it is ours that is in place */
function publishSecret(file: string): boolean {
  const part = `${file}.${process.pid}.${randomBytes(6).toString('hex')}`;
  try {
    const fd = openSync(part, 'wx', OWNER_ONLY);
    try {
      // The umask may have taken more than the owner can do without.
      fchmodSync(fd, OWNER_ONLY);
      writeSync(fd, `${randomBytes(SECRET_BYTES).toString('base64url')}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    linkSync(part, file);
    syncFolder(dirname(file));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(part, { force: true });
  }
}

/** Only then is the name there after a power cut. Windows opens no folders. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const fileProblem = (message: string, cause?: unknown) =>
  invalidConfiguration([{ path: 'DATA_DIR', message }], cause);

function verificationKey({ jwtAlgorithm, jwtPublicKey, jwtJwksUrl }: Config): TokenKey {
  if (jwtJwksUrl !== undefined) return { jwksUrl: jwtJwksUrl };
  return { publicKey: readPublicKey(jwtPublicKey ?? '', jwtAlgorithm) };
}

function readPublicKey(text: string, algorithm: TokenAlgorithm): KeyObject {
  const wrong = (message: string, cause?: unknown) =>
    invalidConfiguration([{ path: 'JWT_PUBLIC_KEY', message }], cause);
  let pem = text;
  if (text.startsWith('@')) {
    try {
      pem = readFileSync(text.slice(1), 'utf8');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw wrong(`expected a file that can be read, got ${text} (${code})`, cause);
    }
  }
  if (/PRIVATE KEY/.test(pem)) {
    throw wrong(
      'expected a public key, got a private one; take it out of the configuration, it signs tokens',
    );
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw wrong('expected a public key in PEM, or @ and the name of a file with one', cause);
  }
  const [expected, found] = [keyKindOf(algorithm), kindOf(key)];
  if (expected !== found) {
    throw wrong(`expected ${expected} key where JWT_ALGORITHM is ${algorithm}, got ${found} key`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < MIN_RSA_BITS) {
    throw wrong(`expected an RSA key of at least ${MIN_RSA_BITS} bits, got ${bits}`);
  }
  return key;
}

const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'a P-256',
  secp384r1: 'a P-384',
  secp521r1: 'a P-521',
};

/** RFC 7518, section 3.4, and RFC 8037. */
function keyKindOf(algorithm: TokenAlgorithm): string {
  const kinds: Partial<Record<TokenAlgorithm, string>> = {
    ES256: 'a P-256',
    ES384: 'a P-384',
    ES512: 'a P-521',
    EdDSA: 'an Ed25519',
  };
  return kinds[algorithm] ?? 'an RSA';
}

function kindOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  if (asymmetricKeyType === 'rsa') return 'an RSA';
  if (asymmetricKeyType === 'ed25519') return 'an Ed25519';
  const curve = asymmetricKeyDetails?.namedCurve;
  return (curve !== undefined && CURVES[curve]) || `a ${curve ?? asymmetricKeyType}`;
}
