/** The pages that explain the interface: /, /docs, /openapi.json, /problems/{code}. */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { OpenApiDocument } from '../../contract/openapi.ts';
import type { OPERATIONS } from '../../contract/operations.ts';
import type { Handler, Mounted } from '../bind.ts';
import { problemTypeOf } from '../problems.ts';

/**
 * Everything comes from this server, so that the page works offline. Swagger UI styles elements inline; the plugin's own
 * policy would also ask browsers for https, which a service on a home network does not have.
 */
const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A plate in its frame. */
const ICON = {
  filename: 'icon.svg',
  rel: 'icon',
  sizes: 'any',
  type: 'image/svg+xml',
  content:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#3b2f2a"/>' +
    '<rect x="3" y="3" width="10" height="10" rx="1" fill="#c9b79c"/></svg>',
};

export const homeRoute: Handler<(typeof OPERATIONS)['home']> = () => ({
  status: 303,
  headers: { location: '/docs' },
});

export const problemRoute: Handler<(typeof OPERATIONS)['problem']> = ({ params }) => ({
  status: 200,
  headers: { 'cache-control': 'public, max-age=3600' },
  json: problemTypeOf(params.code),
});

export function openApiRoute(document: OpenApiDocument): Handler<(typeof OPERATIONS)['openapi']> {
  return () => ({ status: 200, headers: { 'cache-control': 'no-cache' }, json: document });
}

export function docsPage(document: OpenApiDocument): Mounted {
  return {
    async mount(app) {
      await app.register(swagger, {
        mode: 'static',
        specification: { document: document as never },
      });
      await app.register(swaggerUi, {
        routePrefix: '/docs',
        staticCSP: CSP,
        theme: { title: 'Tintype', favicon: [ICON] },
        // Neither the bar on top nor a logo without a picture: by default both show the marks of others.
        logo: {} as never,
        uiConfig: { layout: 'BaseLayout', deepLinking: true, docExpansion: 'list', validatorUrl: null },
      });
    },
  };
}
