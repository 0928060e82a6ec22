/**
 * The one error type that crosses a room. A stable `code` decides the HTTP status, the title, and whether
 * doing the same again can help; logs, job failures and metrics use the same code.
 * `detail` is safe to show to a client; `cause` is for the log only.
 */

interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** True where the same request may succeed later without a change: decides retry or dead letter. */
  readonly retryable: boolean;
}

const kind = (status: number, title: string, retryable = false): ProblemKind => ({
  status,
  title,
  retryable,
});

export const PROBLEMS = {
  malformed_request: kind(400, 'The request is malformed'),
  unauthorized: kind(401, 'A valid token is needed'),
  forbidden: kind(403, 'Not allowed'),
  not_found: kind(404, 'Not found'),
  method_not_allowed: kind(405, 'Method not allowed'),
  request_timeout: kind(408, 'The request took too long to arrive', true),
  conflict: kind(409, 'The resource has changed meanwhile'),
  not_finished: kind(409, 'The job has not finished'),
  length_required: kind(411, 'Content-Length is needed'),
  upload_too_large: kind(413, 'The upload has too many bytes'),
  image_too_large: kind(413, 'The image has too many pixels'),
  too_many_frames: kind(413, 'The image has too many frames'),
  unsupported_media_type: kind(415, 'Not a supported image'),
  range_not_satisfiable: kind(416, 'The range lies outside of the file'),
  undecodable_image: kind(422, 'The image cannot be decoded'),
  raw_not_developable: kind(422, 'The RAW pixels cannot be developed'),
  preview_not_found: kind(422, 'The file holds no embedded preview'),
  decoder_crashed: kind(422, 'A decoder crashed on this image'),
  memory_exceeded: kind(422, 'The image needs more memory than allowed'),
  processing_timeout: kind(422, 'The image needs more time than allowed'),
  metadata_failed: kind(422, 'The metadata cannot be carried over'),
  processing_failed: kind(422, 'The image could not be processed'),
  invalid_plan: kind(422, 'The plan is invalid'),
  invalid_field: kind(422, 'A field is invalid'),
  file_infected: kind(423, 'The file is infected'),
  rate_limited: kind(429, 'Too many requests', true),
  cancelled: kind(499, 'The work was cancelled'),
  internal: kind(500, 'An unexpected fault on our side', true),
  invalid_configuration: kind(500, 'The configuration is invalid'),
  backup_incomplete: kind(500, 'The backup is not complete', true),
  backup_unusable: kind(422, 'The backup cannot be used'),
  overloaded: kind(503, 'The service is overloaded', true),
  shutting_down: kind(503, 'The service is shutting down', true),
  dependency_down: kind(503, 'A dependency is down', true),
  storage_full: kind(507, 'No storage is left', true),
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof PROBLEMS;

/** One wrong field of a request, a plan or the configuration; `path` is dotted, as the client wrote it. */
export interface FieldError {
  path: string;
  message: string;
}

export interface ProblemOptions {
  /** One or two sentences for the client: what was expected, what was found. Never a path or a stack. */
  detail?: string;
  /** What went wrong underneath; logged, never sent. */
  cause?: unknown;
  errors?: FieldError[];
  /** Further members of the problem document, e.g. `preview_available`. */
  extra?: Record<string, string | number | boolean>;
  /** Seconds for `Retry-After`. */
  retryAfterSeconds?: number;
}

/** A problem in the form that crosses a process boundary or lies in a database. */
export interface SerializedProblem {
  code: ProblemCode;
  detail?: string;
  errors?: FieldError[];
  extra?: Record<string, string | number | boolean>;
  retryAfterSeconds?: number;
}

export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly detail: string | undefined;
  readonly errors: FieldError[] | undefined;
  readonly extra: Record<string, string | number | boolean> | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ProblemCode, options: ProblemOptions = {}) {
    super(
      options.detail ?? PROBLEMS[code].title,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.code = code;
    this.detail = options.detail;
    this.errors = options.errors;
    this.extra = options.extra;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }

  get title(): string {
    return PROBLEMS[this.code].title;
  }

  get retryable(): boolean {
    return PROBLEMS[this.code].retryable;
  }

  serialize(): SerializedProblem {
    return {
      code: this.code,
      ...(this.detail !== undefined && { detail: this.detail }),
      ...(this.errors && { errors: this.errors }),
      ...(this.extra && { extra: this.extra }),
      ...(this.retryAfterSeconds !== undefined && { retryAfterSeconds: this.retryAfterSeconds }),
    };
  }

  static deserialize(from: SerializedProblem): Problem {
    const { code, ...options } = from;
    return new Problem(code in PROBLEMS ? code : 'internal', options);
  }

  /** A Problem as it is; anything else becomes `internal` with the original as its cause. */
  static from(error: unknown): Problem {
    return error instanceof Problem ? error : new Problem('internal', { cause: error });
  }
}
