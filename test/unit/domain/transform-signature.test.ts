import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readTransformPlan, splitImageName } from '../../../src/contract/transform-url.ts';
import {
  signTransformUrl,
  transformSigningKey,
  verifyTransform,
} from '../../../src/domain/transform-signature.ts';
import { tempDir } from '../../support/temp.ts';
import { requireTool } from '../../support/tools.ts';

const SECRET = 'a secret of at least thirty-two characters';
const KEY = transformSigningKey(SECRET);
const ID = '0192f0c1-5b7a-7c3e-9d51-2f6f0c1a7b10';
const NOW = new Date('2026-11-21T11:00:00Z');
const LATER = new Date('2026-11-21T12:00:00Z');

interface Url {
  signature: string;
  plan: string;
  image: string;
  expires?: string;
}

/** As the server takes it apart. */
function partsOf(url: string): Url {
  const { pathname, searchParams } = new URL(url, 'http://x');
  const [, t, signature = '', plan = '', image = ''] = pathname.split('/').map(decodeURIComponent);
  assert.equal(t, 't');
  const expires = searchParams.get('expires');
  return { signature, plan, image, ...(expires !== null && { expires }) };
}

function verdict({ signature, plan, image, expires }: Url, now = NOW) {
  const read = isReadable(plan) ? readTransformPlan(plan) : undefined;
  const address = { ...splitImageName(image), segment: plan, signature, expires };
  return verifyTransform(KEY, { ...address, plan: read }, now);
}

function isReadable(plan: string): boolean {
  try {
    readTransformPlan(plan);
    return true;
  } catch {
    return false;
  }
}

const signed = (plan: string, ext?: string, expiresAt?: Date): Url =>
  partsOf(
    signTransformUrl(
      { imageId: ID, plan, ...(ext && { ext }), ...(expiresAt && { expiresAt }) },
      { secret: SECRET },
    ),
  );

describe('a signed URL', () => {
  const url = signed('w_600,h_400,fit_cover,q_80', 'webp', LATER);

  test('holds until the second that it names', () => {
    assert.equal(verdict(url), 'valid');
    assert.equal(verdict(url, new Date(LATER.getTime() - 1)), 'valid');
    assert.equal(verdict(url, LATER), 'expired');
    assert.equal(verdict(signed('w_600', 'webp'), new Date('2999-01-01')), 'valid');
  });

  test('holds in any spelling of its plan', () => {
    for (const plan of [
      'h_400,w_600,q_80,fit_cover',
      'width_600,height_400,fit_fill,quality_80,meta_strip',
    ]) {
      assert.equal(verdict({ ...url, plan }), 'valid', plan);
    }
    const negotiated = signed('dpr_auto,q_80,w_auto');
    assert.equal(verdict({ ...negotiated, plan: 'quality_80,width_auto_1200,dpr_auto' }), 'valid');
  });

  test('does not hold with any part altered', () => {
    const altered: Partial<Url>[] = [
      { plan: 'w_601,h_400,fit_cover,q_80' },
      { plan: 'w_600,h_400,fit_cover,q_81' },
      { plan: 'w_600,h_400,fit_cover' },
      { plan: 'w_600,h_400,fit_cover,q_80,flip' },
      { plan: 'w_600,h_400,fit_cover,q_80,meta_keep' },
      { plan: 'w_600,h_400,fit_cover,q_80,v_1' },
      { plan: 'w_600,h_400,fit_cover,q_80,dpr_2' },
      { plan: 'w_auto_600,h_400,fit_cover,q_80' },
      { plan: 'preset_web.medium' },
      { plan: '-' },
      { plan: 'w_600,h_400,fit_cover,q_80x' },
      { plan: '' },
      { image: `${ID.replace('b10', 'b11')}.webp` },
      { image: `${ID}.png` },
      { image: `${ID}.WEBP` },
      { image: ID },
      { image: `${ID}.` },
      { image: `${ID}.nonsense` },
      { expires: String(Number(url.expires) + 1) },
      { expires: `0${url.expires}` },
      { expires: '' },
      { signature: '' },
      { signature: `${url.signature}=` },
      { signature: url.signature.toLowerCase() },
      { signature: signed('w_600', 'webp').signature },
    ];
    for (const change of altered)
      assert.equal(verdict({ ...url, ...change }), 'invalid', JSON.stringify(change));
    const { expires: _, ...endless } = url;
    assert.equal(verdict(endless), 'invalid');
    const endlessSigned = signed('w_600', 'webp');
    assert.equal(verdict({ ...endlessSigned, expires: '1895247152' }), 'invalid');
    assert.equal(verdict({ ...endlessSigned, expires: '' }), 'invalid');
    const withoutExt = signed('w_600,f_webp');
    assert.equal(verdict({ ...withoutExt, image: `${ID}.` }), 'invalid');
    assert.equal(verdict({ ...withoutExt, image: `${ID}.webp` }), 'invalid');
  });

  test('does not hold with any one character of its signature altered', () => {
    for (let at = 0; at < url.signature.length; at++) {
      const signature = `${url.signature.slice(0, at)}${url.signature[at] === 'A' ? 'B' : 'A'}${url.signature.slice(at + 1)}`;
      assert.equal(verdict({ ...url, signature }), 'invalid');
    }
  });

  test('holds for nothing else, whatever was signed', () => {
    const plan = fc.constantFrom(
      'w_600',
      'w_60',
      'w_600,q_80',
      'w_600,f_webp',
      '-',
      'w_600,v_1',
      'w_auto',
      'w_600,e_9',
    );
    const ext = fc.constantFrom('', 'webp', 'png');
    fc.assert(
      fc.property(plan, ext, plan, ext, (a, extA, b, extB) => {
        fc.pre(!(a.includes('f_webp') && extA === 'png'));
        const other = { ...signed(a, extA), plan: b, image: extB ? `${ID}.${extB}` : ID };
        // To PNG quality means nothing, and f_webp is what .webp says.
        const meaning = (p: string, e: string) =>
          `${e === 'png' ? p.replace(',q_80', '') : p} ${e}`.replace(',f_webp webp', ' webp');
        const conflicts = b.includes('f_webp') && extB === 'png';
        const same = !conflicts && meaning(a, extA) === meaning(b, extB);
        assert.equal(verdict(other), same ? 'valid' : 'invalid', `${a} ${extA} / ${b} ${extB}`);
      }),
    );
  });

  test('is refused where its plan cannot be read', () => {
    for (const [plan, ext] of [
      ['w_banana', 'webp'],
      ['f_png', 'webp'],
      ['w_6', 'heic'],
    ] as const) {
      assert.throws(() => signed(plan, ext), { code: 'invalid_plan' });
    }
  });
});

describe('the recipe for other languages', () => {
  const page = readFileSync(new URL('../../../docs/how-to/urls.md', import.meta.url), 'utf8');
  const codeIn = (language: string): string => {
    const [, code] = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(page) ?? [];
    assert.ok(code, `the page has no ${language}`);
    return code;
  };
  const CASES: [plan: string, ext: string, expires: string][] = [
    ['w_600,h_400,fit_cover,q_80', 'webp', ''],
    ['w_600', '', '1895247152'],
    // As nobody would spell it, with a character that a path cannot hold.
    ['height_400,w_600,bg_#fff,fit_pad', 'jpg', '1895247152'],
  ];
  const expectUrls = (text: string) => {
    const urls = JSON.parse(text) as string[];
    for (const url of urls) assert.equal(verdict(partsOf(url)), 'valid', url);
    // What is in its canonical spelling is the very URL that we write.
    const [[plan, ext]] = CASES as [(typeof CASES)[number]];
    assert.equal(urls[0], signTransformUrl({ imageId: ID, plan, ext }, { secret: SECRET }));
    assert.equal(urls.length, CASES.length);
  };
  const args = JSON.stringify(CASES);

  test('gives valid URLs in Node.js', (t) => {
    const file = join(tempDir(t), 'sign.mjs');
    const print = `console.log(JSON.stringify(${args}.map(([p, e, x]) => signedUrl(${JSON.stringify(SECRET)}, p, '${ID}', e, x))));`;
    writeFileSync(file, `${codeIn('js')}\n${print}`);
    expectUrls(execFileSync(process.execPath, [file], { encoding: 'utf8' }));
  });

  test('gives valid URLs in Python', (t) => {
    const python = requireTool(t, 'python3');
    if (!python) return;
    const program = `${codeIn('python')}\nimport json\nprint(json.dumps([signed_url(${JSON.stringify(SECRET)}, p, '${ID}', e, x) for p, e, x in json.loads('${args}')]))`;
    const { status, stdout, stderr } = spawnSync(python, ['-'], { input: program, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    expectUrls(stdout);
  });

  test('gives valid URLs in PHP', (t) => {
    const php = requireTool(t, 'php');
    if (!php) return;
    const program = `<?php\n${codeIn('php')}\n$cases = json_decode('${args}');\n$sign = fn($c) => signed_url(${JSON.stringify(SECRET)}, $c[0], '${ID}', $c[1], $c[2]);\necho json_encode(array_map($sign, $cases));`;
    const { status, stdout, stderr } = spawnSync(php, [], { input: program, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    expectUrls(stdout);
  });
});
