import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import sharp from 'sharp';
import { OPERATIONS, type OperationId } from '../../src/contract/operations.ts';
import { PROBLEMS } from '../../src/problem.ts';
import { exercise, exercisedIn } from '../support/operations.ts';
import { assertProblem, assertPublished } from '../support/published.ts';
import {
  convert,
  endWithSuite,
  eventually,
  rawConnection,
  startService,
  type TestService,
} from '../support/service.ts';

describe('the HTTP server', () => {
  const ending = endWithSuite();
  let service: TestService;
  before(async () => {
    service = await startService(ending, { CORS_ORIGINS: 'https://app.example' });
  });

  const call = (path: string, init: RequestInit = {}) =>
    fetch(`${service.address}${path}`, { redirect: 'manual', ...init });
  /** Calls an operation and checks that the answer is one of those that it publishes. */
  const ask = async (id: OperationId, path: string) => {
    const response = await call(path);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    const body = isJson ? JSON.parse(text) : text;
    assertPublished(id, response, body);
    return { response, body };
  };

  it('says that it lives', async () => {
    const { body } = await ask('health', exercise('health').path);
    assert.equal(body.status, 'ok');
    assert.match(body.version, /^\d+\.\d+\.\d+/);
  });

  it('says that it is ready, and what it looked at', async () => {
    const { response, body } = await ask('ready', exercise('ready').path);
    assert.equal(response.status, 200);
    assert.equal(body.status, 'ready');
    const needed = ['pool', 'metadata', 'work_folder', 'catalog', 'storage', 'queue'];
    assert.deepEqual(Object.keys(body.checks), needed);
  });

  it('says what is down', async (t) => {
    const { PATH } = process.env;
    process.env.PATH = '/nonexistent';
    t.after(() => {
      process.env.PATH = PATH;
    });
    const broken = await startService(t);
    await broken.removeWorkFolder();
    const response = await fetch(`${broken.address}${exercise('ready').path}`);
    const body = (await response.json()) as { status: string; checks: Record<string, { status: string }> };
    assertPublished('ready', response, body);
    assert.deepEqual([response.status, body.status], [503, 'unavailable']);
    const statuses = Object.entries(body.checks).map(([name, { status }]) => [name, status]);
    assert.deepEqual(statuses, [
      ['pool', 'up'],
      ['metadata', 'down'],
      ['work_folder', 'down'],
      ['catalog', 'up'],
      ['storage', 'up'],
      ['queue', 'up'],
    ]);
    assert.doesNotMatch(JSON.stringify(body), /nonexistent|tmp/);
  });

  it('gives metrics with their units', async () => {
    await call('/health');
    const { body } = await ask('metrics', exercise('metrics').path);
    assert.match(
      body,
      /^tintype_http_request_duration_seconds_count\{method="GET",route="\/health",status="200"\} \d+$/m,
    );
    assert.match(body, /^tintype_pool_children\{state="idle"\} 2$/m);
    assert.match(body, /^process_cpu_seconds_total /m);
  });

  it('leads from / to its documentation, which needs nothing from elsewhere', async () => {
    const { response } = await ask('home', exercise('home').path);
    assert.equal(response.headers.get('location'), '/docs');
    const { response: page, body } = await ask('docs', exercise('docs').path);
    assert.doesNotMatch(page.headers.get('content-security-policy')!, /https?:|upgrade-insecure/);
    const links = Array.from(body.matchAll(/(?:src|href)="([^"]+)"/g), ([, link]) => link as string);
    assert.ok(links.length >= 5);
    for (const link of links) {
      assert.match(link, /^\/docs\/static\//);
      const asset = await call(link);
      assert.equal(asset.status, 200, link);
      await asset.arrayBuffer();
    }
    assert.match(body, /<title>Tintype<\/title>/);
    assert.doesNotMatch(body, /favicon-\d/, 'an icon of the page generator');
    const initializer = await (await call('/docs/static/swagger-initializer.js')).text();
    assert.doesNotMatch(initializer, /data:|logo/, 'a logo of the page generator');
    const { paths } = (await (await call('/docs/json')).json()) as { paths: object };
    assert.ok('/convert' in paths);
  });

  it('publishes every route that it has, and has every route that it publishes', async () => {
    const { body } = await ask('openapi', exercise('openapi').path);
    const published = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const routes = Object.values(OPERATIONS).map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(published.sort(), routes.sort());
    for (const [i, route] of published.entries()) {
      const [method, path] = route.split(' ');
      const id = `route-${i}`;
      const response = await call(path!, { method: method!, headers: { 'x-request-id': id } });
      assert.notEqual(response.status, 405, route);
      await response.body?.cancel();
      // What has no route is logged under none; a route may well not find what the braces stand for.
      await eventually(`${route} is a route`, () =>
        service.log.some((l) => l.request_id === id && l.route !== '(none)'),
      );
    }
  });

  it('explains every problem code where a problem’s type leads', async () => {
    for (const [code, { status, title, retryable }] of Object.entries(PROBLEMS)) {
      const { body } = await ask('problem', exercise('problem').path.replace('{code}', code));
      assert.deepEqual(body, { type: `/problems/${code}`, code, status, title, retryable });
    }
    await assertProblem('problem', await call('/problems/nothing'), 'not_found');
  });

  it('answers an unknown address with a problem, whatever is sent to it', async () => {
    for (const init of [{}, { method: 'POST', body: '{"a":' }, { method: 'PUT', body: 'x'.repeat(2e6) }]) {
      const response = await call('/nothing/here?token=hush', init);
      const body = (await response.json()) as Record<string, unknown>;
      assert.deepEqual([response.status, body.code, body.instance], [404, 'not_found', '/nothing/here']);
      assert.equal(response.headers.get('content-type'), 'application/problem+json');
    }
  });

  it('answers another method with 405 and those that it takes', async () => {
    const response = await call('/convert');
    assert.deepEqual([response.status, response.headers.get('allow')], [405, 'POST, OPTIONS']);
    assert.equal(((await response.json()) as { code: string }).code, 'method_not_allowed');
    const deleted = await call('/problems/internal', { method: 'DELETE' });
    assert.equal(deleted.headers.get('allow'), 'GET, HEAD, OPTIONS');
    await deleted.arrayBuffer();
    assert.equal((await call('/health', { method: 'HEAD' })).status, 200);
  });

  it('answers what is no HTTP with a problem, and closes', async () => {
    for (const [bytes, status] of [
      ['nonsense\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
      ['GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 400],
    ] as const) {
      const { socket, answer } = await rawConnection(service);
      socket.write(bytes);
      const text = await answer;
      assert.match(
        text,
        new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*application/problem\\+json[\\s\\S]*malformed_request`),
      );
    }
  });

  it('uses a sane request id, and makes one in place of any other', async () => {
    const idOf = async (given: string) =>
      (await call('/health', { headers: { 'x-request-id': given } })).headers.get('x-request-id');
    assert.equal(await idOf('trace-1.a:b_2'), 'trace-1.a:b_2');
    assert.match((await idOf('two words "quoted"'))!, /^[0-9a-f-]{36}$/);
    assert.match((await idOf('x'.repeat(129)))!, /^[0-9a-f-]{36}$/);
  });

  it('sends security headers with every answer', async () => {
    for (const path of ['/health', '/nothing', '/docs', '/docs/static/swagger-ui.css']) {
      const { headers } = await call(path);
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(headers.get('x-frame-options'), 'DENY', path);
      assert.match(headers.get('content-security-policy')!, /^default-src 'none'/, path);
    }
  });

  it('lets pages of the configured origins read its answers, and no others', async () => {
    const allowed = async (origin: string, path = '/health') =>
      (await call(path, { headers: { origin } })).headers.get('access-control-allow-origin');
    assert.equal(await allowed('https://app.example'), 'https://app.example');
    assert.equal(await allowed('https://app.example', '/nothing'), 'https://app.example');
    assert.equal(await allowed('https://app.example.evil.example'), null);
    assert.equal(await allowed('null'), null);
    const preflight = await call('/convert', {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-methods'), 'POST, OPTIONS');
    assert.equal(preflight.headers.get('access-control-allow-headers'), 'content-type');
  });

  it('logs one line a request, and nothing that is secret', async () => {
    const id = `log-${Date.now()}`;
    await call('/health?token=hush1&signature=hush2', {
      headers: { 'x-request-id': id, authorization: 'Bearer hush3', cookie: 'hush4' },
    });
    const refused = `${id}-refused`;
    await convert(service, Buffer.from('hush5'), {
      filename: 'hush6\u001b[31m.jpg',
      query: 'format=png&token=hush7',
      headers: { 'x-request-id': refused },
    });
    const linesOf = (wanted: string) => service.log.filter(({ request_id }) => request_id === wanted);
    await eventually('both are logged', () => linesOf(id).length + linesOf(refused).length >= 2);
    const [line, ...others] = linesOf(id);
    assert.deepEqual(others, []);
    assert.deepEqual(
      [line?.method, line?.route, line?.status, typeof line?.ms],
      ['GET', '/health', 200, 'number'],
    );
    const [problem, ...moreProblems] = linesOf(refused);
    assert.deepEqual(moreProblems, []);
    assert.deepEqual([problem?.route, problem?.status, problem?.code], ['/convert', 422, 'invalid_plan']);
    assert.ok(Number(problem?.bytes_in) > 200 && Number(problem?.bytes_out) > 200);
    assert.doesNotMatch(service.logText(), /hush/);
  });

  it('serves several requests over one connection', async () => {
    const { socket, answer } = await rawConnection(service);
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.deepEqual(
      Array.from((await answer).matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => status),
      ['200', '404', '200'],
    );
  });

  it('has a test for every operation', () => {
    const exercised = exercisedIn(import.meta.dirname);
    assert.deepEqual(
      Object.keys(OPERATIONS).filter((id) => !exercised.has(id)),
      [],
    );
  });
});

describe('a server that is told to stop', () => {
  const slow = () =>
    sharp({
      create: {
        width: 1800,
        height: 1200,
        channels: 3,
        background: '#888',
        noise: { type: 'gaussian', mean: 128, sigma: 50 },
      },
    })
      .jpeg()
      .toBuffer();
  const started = (service: TestService) =>
    eventually('the conversion runs', async () =>
      /^tintype_pool_children\{state="busy"\} 1$/m.test(
        await (await fetch(`${service.address}/metrics`)).text(),
      ),
    );

  it('finishes what runs, refuses what is new, says that it drains, and leaves nothing', async (t) => {
    const service = await startService(t);
    const running = convert(service, await slow(), { query: 'format=webp&effort=6' });
    await started(service);
    const { socket, answer } = await rawConnection(service);
    // A request that has begun keeps its connection open while the server closes the idle ones.
    socket.write('GET /ready HTTP/1.1\r\nHost: x\r\n');
    await fetch(`${service.address}/health`);

    const closed = service.close();
    socket.write('\r\n');
    assert.match(await answer, /^HTTP\/1\.1 503 [\s\S]*"status":"draining"/);
    await assert.rejects(fetch(`${service.address}/health`));
    const response = await running;
    assert.equal(response.status, 200);
    assert.equal((await response.arrayBuffer()).byteLength, Number(response.headers.get('content-length')));
    await closed;
    assert.deepEqual(service.workFolder(), []);
  });

  it('calls off what takes longer than it may', async (t) => {
    const service = await startService(t, { SHUTDOWN_TIMEOUT_SECONDS: '0.2' });
    const running = convert(service, await slow(), { query: 'format=avif&effort=9&lossless=true' });
    await started(service);
    const [response] = await Promise.all([running, service.close()]);
    await assertProblem('convert', response, 'shutting_down');
    assert.deepEqual(service.workFolder(), []);
  });

  it('does not wait for connections that ask for nothing', async (t) => {
    const service = await startService(t, { SHUTDOWN_TIMEOUT_SECONDS: '60' });
    const { answer } = await rawConnection(service);
    await service.close();
    assert.equal(await answer, '');
  });

  it('does not start on an address that it cannot have, and says which variable is wrong', async (t) => {
    const service = await startService(t);
    await assert.rejects(startService(t, { PORT: String(service.port) }), {
      code: 'invalid_configuration',
      message: /^PORT: something else listens on port \d+/,
    });
  });
});
