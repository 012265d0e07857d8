import { describe, expect, it } from "vitest";

import { ApiError } from "@/api/errors";

import { createQueryClient, gateOf, type Gate } from "./query";

function refused(status: number, code: string) {
  return new ApiError({ status, code, detail: "", request: "" });
}

function fail(): Promise<never> {
  return Promise.reject(refused(401, "ExpiredError"));
}

describe("gates", () => {
  it("are chosen by what was refused, and come back", () => {
    expect(gateOf(refused(401, "NoCredentialsError"), "/settings/api-keys")).toEqual({
      to: "/login",
      search: { returnTo: "/settings/api-keys" },
    });
    expect(gateOf(refused(401, "ExpiredError"), "/")).toEqual({ to: "/login", search: {} });
    expect(gateOf(refused(401, "ExpiredError"), "//evil.example")).toEqual({ to: "/login", search: {} });
    expect(gateOf(refused(401, "TosNotAcceptedError"), "/x")?.to).toBe("/accept-tos");
    expect(gateOf(refused(403, "EmailNotVerifiedError"), "/x")?.to).toBe("/verify-email");
    expect(gateOf(refused(404, ""), "/x")).toBeUndefined();
    expect(gateOf(new Error("other"), "/x")).toBeUndefined();
  });

  it("are gone to when a list or an action is refused, unless it says otherwise", async () => {
    const gone: Gate[] = [];
    const queries = createQueryClient((gate) => gone.push(gate));
    await expect(queries.fetchQuery({ queryKey: ["own"], queryFn: fail, meta: { gated: false } })).rejects.toThrow("Your session ended");
    expect(gone).toEqual([]);
    await expect(queries.fetchQuery({ queryKey: ["list"], queryFn: fail })).rejects.toThrow("Your session ended");
    expect(gone).toHaveLength(1);
  });
});
