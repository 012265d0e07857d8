import { describe, expect, it } from "vitest";

import { safePath } from "./returnTo";

const ORIGIN = "https://jackfield.example";

describe("where to go after signing in", () => {
  it.each([
    ["/settings/api-keys?x=1#k", "/settings/api-keys?x=1#k"],
    [`${ORIGIN}/oauth/device/verify?user_code=AB`, "/oauth/device/verify?user_code=AB"],
    ["settings", "/settings"],
    ["/login?returnTo=/x", "/"],
    ["", "/"],
    [null, "/"],
    ["//evil.example/x", "/"],
    ["/\\evil.example", "/"],
    ["https://evil.example/", "/"],
    ["https://jackfield.example.evil.example/", "/"],
    ["javascript:alert(1)", "/"],
    ["data:text/html,x", "/"],
    ["http://jackfield.example/", "/"],
    ["/..//evil.example", "/"],
    ["\t//evil.example", "/"],
    ["https://[", "/"],
  ])("%s leads to %s", (target, path) => {
    expect(safePath(target, ORIGIN)).toBe(path);
  });
});
