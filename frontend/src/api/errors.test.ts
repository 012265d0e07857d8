import { describe, expect, it } from "vitest";

import { ApiError, isSignedOut, needsTerms, needsVerification } from "./errors";

function answer(status: number, body: string, headers: Record<string, string> = {}) {
  return ApiError.of(new Response(body, { status, headers }));
}

describe("what the host refuses with", () => {
  it.each([
    [401, '{"error":"NoCredentialsError"}', "Nobody is signed in. Sign in and try again."],
    [401, '{"error":"ExpiredError"}', "Your session ended. Sign in again."],
    [401, '{"detail":"Unauthorized"}', "Nobody is signed in. Sign in and try again."],
    [401, '"Git provider token required. (such as GitHub)."', "Git provider token required. (such as GitHub)."],
    [
      429,
      '{"error":"Rate limit exceeded: 10 per 1 second"}',
      "Too many requests: 10 a second are allowed. Wait a moment, then try again.",
    ],
    [400, '{"detail":"The device code is invalid or has expired."}', "The device code is invalid or has expired."],
    [422, '{"detail":[{"loc":["body","email"],"msg":"not an address"}]}', "not an address"],
    [500, "Internal Server Error", "The host could not do this (status 500). Its log says why."],
    [504, '{"error":"Timeout"}', "The host did not answer in time. Try again in a moment."],
    [404, "null", "This no longer exists."],
  ])("%i %s", async (status, body, text) => {
    expect((await answer(status, body)).message).toBe(text);
  });

  it("keeps the id of the request", async () => {
    const error = await answer(500, "", { "x-request-id": "req-7" });
    expect(error.refusal.request).toBe("req-7");
  });

  it("tells apart what to do", async () => {
    const signedOut = await answer(401, '{"error":"AuthError"}');
    const terms = await answer(401, '{"error":"TosNotAcceptedError"}');
    const mail = await answer(403, '{"error":"EmailNotVerifiedError"}');
    expect([signedOut, terms, mail].map(isSignedOut)).toEqual([true, false, false]);
    expect([signedOut, terms, mail].map(needsTerms)).toEqual([false, true, false]);
    expect([signedOut, terms, mail].map(needsVerification)).toEqual([false, false, true]);
  });

  it("says when nobody answered", () => {
    const cause = new TypeError("Failed to fetch");
    const error = ApiError.unreachable(cause);
    expect(error.refusal.status).toBe(0);
    expect(error.cause).toBe(cause);
    expect(error.message).toContain("cannot be reached");
  });
});
