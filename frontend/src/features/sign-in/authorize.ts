/** The address at the identity provider that begins a sign-in (one code flow; the host adds PKCE and its own state). */

export interface Provider {
  id: string;
  name: string;
}

const NAMES: Record<string, string> = {
  github: "GitHub",
  gitlab: "GitLab",
  bitbucket: "Bitbucket",
  azure_devops: "Azure DevOps",
  forgejo: "Forgejo",
  enterprise_sso: "single sign-on",
};

/** The providers that are offered, single sign-on first. */
export function providersOf(configured: readonly string[]): Provider[] {
  const all = configured.map((id) => ({ id, name: NAMES[id] ?? id }));
  return [...all.filter(({ id }) => id === "enterprise_sso"), ...all.filter(({ id }) => id !== "enterprise_sso")];
}

type Page = Pick<Location, "origin" | "host">;

/** Where the authorize page is: as configured, else on this host, which serves one itself. */
function authOrigin(authUrl: string | null, page: Page): string {
  const host = authUrl?.replace(/^https?:\/\//u, "").replace(/\/+$/u, "");
  return !host || host === page.host ? page.origin : `https://${host}`;
}

/** How a sign-in is named that leaves it to the identity provider's own page how people show who they are. */
const PLAIN = "keycloak";

/** `back` is the path to come back to; without a `provider` the identity provider asks. */
export function authorizeAddress(
  provider: string | undefined,
  authUrl: string | null,
  back: string,
  page: Page = window.location,
): string {
  const state = new URL(page.origin + back);
  state.searchParams.set("login_method", provider ?? PLAIN);
  const address = new URL(`${authOrigin(authUrl, page)}/realms/allhands/protocol/openid-connect/auth`);
  address.search = new URLSearchParams({
    client_id: "allhands",
    ...(provider !== undefined && { kc_idp_hint: provider }),
    response_type: "code",
    redirect_uri: `${page.origin}/oauth/keycloak/callback`,
    scope: "openid email profile",
    state: state.toString(),
  }).toString();
  return address.toString();
}
