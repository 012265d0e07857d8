/** One button for each provider; each leads away to its own sign-in. */
import { clsx } from "clsx";
import { KeyRound } from "lucide-react";

import { buttonClass } from "@/components/Button";
import { Note } from "@/components/Note";
import { Tile } from "@/components/Tile";

import { authorizeAddress, providersOf } from "./authorize";
import type { WebClientConfig } from "./config";

export function ProviderSignIn({ config, back }: { config: WebClientConfig; back: string }) {
  const providers = providersOf(config.providers_configured);
  if (providers.length === 0) {
    return (
      <Note kind="warn" title="No sign-in provider is configured">
        The people who run this host set OH_WEB_CLIENT_PROVIDERS_CONFIGURED.
      </Note>
    );
  }
  return (
    <>
      {back !== "/" && <p className="text-reading text-ink2">You’ll come back to the page you opened.</p>}
      <div className="grid gap-2.5">
        {providers.map(({ id, name }, place) => (
          <a
            key={id}
            href={authorizeAddress(id, config.auth_url, back)}
            className={clsx(buttonClass(place === 0 ? "primary" : "default", "large"))}
          >
            {id === "enterprise_sso" ? <KeyRound size={16} strokeWidth={1.6} aria-hidden /> : <Tile id={id} />}
            Continue with {name}
          </a>
        ))}
      </div>
    </>
  );
}
