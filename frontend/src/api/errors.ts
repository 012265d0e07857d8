/** What the host refuses with, and the words that people read. */

export interface Refusal {
  /** 0: the host was not reached. */
  status: number;
  /** `NoCredentialsError` and its like; empty when the answer names none. */
  code: string;
  detail: string;
  /** `X-Request-Id`, to be found in the log. */
  request: string;
}

export class ApiError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(words(refusal), options);
    this.name = "ApiError";
    this.refusal = refusal;
  }

  /** Reads an answer: `{error}`, `{message}`, `{detail}`, a bare JSON string, or text. */
  static async of(response: Response): Promise<ApiError> {
    const text = await response.text().catch(() => "");
    const request = response.headers.get("x-request-id") ?? "";
    return new ApiError({ status: response.status, request, ...read(text) });
  }

  static unreachable(cause: unknown): ApiError {
    return cause instanceof ApiError ? cause : new ApiError({ status: 0, code: "", detail: "", request: "" }, { cause });
  }
}

/** Whether nobody is signed in, so that signing in helps. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.refusal.status === 401 && !needsTerms(error);
}

export function needsTerms(error: unknown): boolean {
  return error instanceof ApiError && error.refusal.code === "TosNotAcceptedError";
}

export function needsVerification(error: unknown): boolean {
  return error instanceof ApiError && error.refusal.status === 403 && error.refusal.code === "EmailNotVerifiedError";
}

function read(text: string): { code: string; detail: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { code: "", detail: "" };
  }
  if (typeof parsed === "string") {
    return { code: "", detail: parsed };
  }
  if (typeof parsed !== "object" || parsed === null) {
    return { code: "", detail: "" };
  }
  const { error, message, detail } = parsed as Record<string, unknown>;
  return { code: typeof error === "string" ? error : "", detail: sentence(detail) || sentence(message) };
}

/** A text, or the first of a list of `{loc, msg}` as an unreadable request gets it. */
function sentence(detail: unknown): string {
  if (typeof detail === "string") {
    return detail;
  }
  const first: unknown = Array.isArray(detail) ? detail[0] : undefined;
  const text = typeof first === "object" && first !== null && "msg" in first ? first.msg : undefined;
  return typeof text === "string" ? text : "";
}

const BY_CODE: Record<string, string> = {
  NoCredentialsError: "Nobody is signed in. Sign in and try again.",
  "Invalid authentication token": "Your session cannot be read any more. Sign in again.",
  CookieError: "Your session cannot be used any more. Sign in again.",
  BearerTokenError: "The session behind this API key has ended. Sign in again to renew it.",
  ExpiredError: "Your session ended. Sign in again.",
  AuthError: "The identity provider no longer knows your session. Sign in again.",
  TosNotAcceptedError: "The terms of this host are not accepted yet. Accept them to go on.",
  EmailNotVerifiedError: "Your e-mail address is not verified yet. Open the link in the mail that we sent you.",
};

function words({ status, code, detail }: Refusal): string {
  const known = BY_CODE[code];
  if (known) {
    return known;
  }
  const limit = /^Rate limit exceeded: (\d+) per 1 (\w+)$/.exec(code);
  if (limit) {
    return `Too many requests: ${limit[1]} a ${limit[2]} are allowed. Wait a moment, then try again.`;
  }
  const said = detail && detail !== "Unauthorized" ? detail : code;
  switch (status) {
    case 0:
      return "The host cannot be reached. Check the network, then try again; nothing was changed.";
    case 401:
      return said || "Nobody is signed in. Sign in and try again.";
    case 403:
      return said || "You may not do this.";
    case 404:
      return said || "This no longer exists.";
    case 429:
      return said || "Too many requests. Wait a moment, then try again.";
    case 503:
    case 504:
      return "The host did not answer in time. Try again in a moment.";
    default:
      return said || `The host could not do this (status ${status}). Its log says why.`;
  }
}
