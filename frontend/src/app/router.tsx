/** Which address shows what. Gates come with the first load, the rest when it is opened. */
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  lazyRouteComponent,
  Link,
  Outlet,
  parseSearchWith,
  redirect,
  stringifySearchWith,
  useRouter,
} from "@tanstack/react-router";

import { buttonClass } from "@/components/Button";
import { PageError, PageState } from "@/components/PageState";
import { DevicePage } from "@/features/device/DevicePage";
import { meQuery, type Me } from "@/features/session/session";
import { SignInPage } from "@/features/sign-in/SignInPage";
import { TermsPage } from "@/features/terms/TermsPage";
import { VerifyEmailPage } from "@/features/verify-email/VerifyEmailPage";

import { gateOf } from "./query";

interface Context {
  queries: QueryClient;
}

/** The named members of a query string, as the texts that they are. */
function texts<const Name extends string>(...names: Name[]) {
  return (search: Record<string, unknown>): { [name in Name]?: string | undefined } => {
    // What looks like a number was read as one, but only if the same text comes out again.
    const found = names.filter((name) => search[name] !== undefined).map((name) => [name, String(search[name])]);
    return Object.fromEntries(found) as { [name in Name]?: string };
  };
}

/** Whoever is signed in; everybody else is led to the gate that is in the way, and back afterwards. */
async function signedIn({ queries }: Context, from: string): Promise<Me> {
  try {
    return await queries.ensureQueryData({ ...meQuery, revalidateIfStale: true });
  } catch (error) {
    const gate = gateOf(error, from);
    throw gate ? redirect({ ...gate, replace: true }) : error;
  }
}

const root = createRootRouteWithContext<Context>()({
  component: Outlet,
  notFoundComponent: NotFound,
  errorComponent: Failed,
});

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/settings/user", replace: true });
  },
});

const login = createRoute({
  getParentRoute: () => root,
  path: "/login",
  validateSearch: texts(
    "returnTo",
    "user_id",
    "email_verification_required",
    "email_verified",
    "duplicated_email",
    "recaptcha_blocked",
    "error",
  ),
  component: SignInPage,
});

const terms = createRoute({
  getParentRoute: () => root,
  path: "/accept-tos",
  validateSearch: texts("redirect_url"),
  component: TermsPage,
});

const verifyEmail = createRoute({
  getParentRoute: () => root,
  path: "/verify-email",
  validateSearch: texts("user_id", "returnTo"),
  component: VerifyEmailPage,
});

const device = createRoute({
  getParentRoute: () => root,
  path: "/oauth/device/verify",
  validateSearch: texts("user_code"),
  loader: ({ context, location }) => signedIn(context, location.href),
  component: DevicePage,
});

const settings = createRoute({
  getParentRoute: () => root,
  path: "/settings",
  loader: ({ context, location }) => signedIn(context, location.href),
  component: lazyRouteComponent(() => import("@/features/settings/SettingsRoute"), "SettingsRoute"),
});

const settingsHome = createRoute({
  getParentRoute: () => settings,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/settings/user", replace: true });
  },
});

const account = createRoute({
  getParentRoute: () => settings,
  path: "/user",
  component: lazyRouteComponent(() => import("@/features/settings/account/AccountPage"), "AccountPage"),
});

const keys = createRoute({
  getParentRoute: () => settings,
  path: "/api-keys",
  component: lazyRouteComponent(() => import("@/features/settings/keys/KeysPage"), "KeysPage"),
});

const sessions = createRoute({
  getParentRoute: () => settings,
  path: "/sessions",
  component: lazyRouteComponent(() => import("@/features/settings/sessions/SessionsPage"), "SessionsPage"),
});

const routeTree = root.addChildren([
  home,
  login,
  terms,
  verifyEmail,
  device,
  settings.addChildren([settingsHome, account, keys, sessions]),
]);

function Failed({ error }: ErrorComponentProps) {
  const router = useRouter();
  const shown = error instanceof Error ? error : new Error(String(error));
  return (
    <main>
      <PageError error={shown} title="This page could not be opened" again={() => void router.invalidate()} />
    </main>
  );
}

function NotFound() {
  return (
    <main>
      <title>Not found · Jackfield</title>
      <PageState
        state="empty"
        title="There is no such page"
        actions={
          <Link to="/" className={buttonClass("primary")}>
            To the start
          </Link>
        }
      >
        The address is wrong, or what it named is gone.
      </PageState>
    </main>
  );
}

export function createAppRouter(queries: QueryClient) {
  return createRouter({
    routeTree,
    context: { queries },
    // No JSON in addresses: other programs make and read them.
    parseSearch: parseSearchWith((value) => value),
    stringifySearch: stringifySearchWith(String),
    defaultPreload: "intent",
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
