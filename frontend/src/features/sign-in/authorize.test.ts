import { describe, expect, it } from "vitest";

import { authorizeAddress, providersOf } from "./authorize";

const PAGE = { origin: "https://jackfield.example", host: "jackfield.example" };

describe("the authorize address", () => {
  it("has what the provider and the way back need", () => {
    const address = new URL(authorizeAddress("github", "https://auth.example", "/settings/api-keys?a=b", PAGE));
    expect(address.origin + address.pathname).toBe("https://auth.example/realms/allhands/protocol/openid-connect/auth");
    expect(Object.fromEntries(address.searchParams)).toEqual({
      client_id: "allhands",
      kc_idp_hint: "github",
      response_type: "code",
      redirect_uri: "https://jackfield.example/oauth/keycloak/callback",
      scope: "openid email profile",
      state: "https://jackfield.example/settings/api-keys?a=b&login_method=github",
    });
    expect(address.search).toContain("redirect_uri=https%3A%2F%2Fjackfield.example%2Foauth%2Fkeycloak%2Fcallback");
  });

  it("leaves it to the identity provider when no other is named", () => {
    const address = new URL(authorizeAddress(undefined, null, "/", PAGE));
    expect(address.searchParams.has("kc_idp_hint")).toBe(false);
    expect(address.searchParams.get("state")).toBe("https://jackfield.example/?login_method=keycloak");
  });

  it("is on this host when none is configured, and as this page is reached when it is this host", () => {
    const local = { origin: "http://localhost:3000", host: "localhost:3000" };
    for (const configured of [null, "", "https://localhost:3000/", "localhost:3000"]) {
      expect(new URL(authorizeAddress("gitlab", configured, "/", local)).origin).toBe("http://localhost:3000");
    }
    expect(new URL(authorizeAddress("gitlab", "http://sso.example", "/", local)).origin).toBe("https://sso.example");
  });
});

it("single sign-on is offered first, and every provider has a name", () => {
  expect(providersOf(["github", "enterprise_sso", "azure_devops", "new_one"])).toEqual([
    { id: "enterprise_sso", name: "single sign-on" },
    { id: "github", name: "GitHub" },
    { id: "azure_devops", name: "Azure DevOps" },
    { id: "new_one", name: "new_one" },
  ]);
});
