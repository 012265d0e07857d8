/** One button for each provider, or one for the identity provider's own page; each leads away to a sign-in. */
import { KeyRound } from "lucide-react";
import type { ReactNode } from "react";

import { buttonClass } from "@/components/Button";
import { Tile } from "@/components/Tile";

import { authorizeAddress, providersOf } from "./authorize";
import type { WebClientConfig } from "./config";

export function ProviderSignIn({ config, back }: { config: WebClientConfig; back: string }) {
  const providers = providersOf(config.providers_configured);
  const leave = (provider: string | undefined, kind: "primary" | "default", content: ReactNode) => (
    <a
      key={provider ?? ""}
      href={authorizeAddress(provider, config.auth_url ?? null, back)}
      className={buttonClass(kind, "large")}
    >
      {content}
    </a>
  );
  return (
    <>
      {back !== "/" && <p className="text-reading text-ink2">You’ll come back to the page you opened.</p>}
      <div className="grid gap-2.5">
        {providers.length === 0 && leave(undefined, "primary", "Sign in")}
        {providers.map(({ id, name }, place) =>
          leave(
            id,
            place === 0 ? "primary" : "default",
            <>
              {id === "enterprise_sso" ? <KeyRound size={16} strokeWidth={1.6} aria-hidden /> : <Tile id={id} />}
              Continue with {name}
            </>,
          ),
        )}
      </div>
    </>
  );
}
