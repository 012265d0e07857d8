import { afterEach, describe, expect, it } from "vitest";

import { forgetLoginMethod } from "./loginMethod";

afterEach(() => window.history.replaceState(null, "", "/"));

describe("the way back from the identity provider", () => {
  it.each([
    ["/settings/user?login_method=github", "/settings/user"],
    ["/settings/user?login_method=github&returnTo=%2Fx", "/settings/user"],
    ["/oauth/device/verify?user_code=AB&login_method=github#x", "/oauth/device/verify?user_code=AB#x"],
    // The sign-in page goes on to it, which takes it away.
    ["/login?returnTo=%2Fx&login_method=github", "/login?returnTo=%2Fx"],
    // Nobody came back.
    ["/settings/user?returnTo=%2Fx", "/settings/user?returnTo=%2Fx"],
  ])("%s becomes %s", (before, after) => {
    window.history.replaceState(null, "", before);
    forgetLoginMethod();
    const { pathname, search, hash } = window.location;
    expect(pathname + search + hash).toBe(after);
  });
});
