/** API keys: made, shown once, deleted. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { CopyButton } from "@/components/CopyButton";
import { LoadingRows, PageError, PageState } from "@/components/PageState";

import { Page } from "../Page";
import { keysQuery, type NewApiKey } from "./keys";
import { KeyTable } from "./KeyTable";
import { NewKey } from "./NewKey";

export function KeysPage() {
  const keys = useQuery(keysQuery);
  const [made, show] = useState<NewApiKey>();
  return (
    <Page
      title="API keys"
      about="For programs that act as you. Delete what you no longer need."
      action={<NewKey onMade={show} />}
    >
      {made && <Made key={made.id} made={made} />}
      {keys.isPending && <LoadingRows />}
      {keys.error && !keys.data && (
        <PageError error={keys.error} title="Your keys could not be read" again={() => void keys.refetch()} />
      )}
      {keys.data?.length === 0 && (
        <PageState state="empty" title="No keys yet">
          A key lets the command line, a script or another service in as you, until it ends or you delete it.
        </PageState>
      )}
      {keys.data && keys.data.length > 0 && <KeyTable keys={keys.data} />}
    </Page>
  );
}

function Made({ made }: { made: NewApiKey }) {
  return (
    <section aria-label="New key" className="mx-4 mb-4 grid gap-2 rounded-card bg-accent-soft p-3 rail:mx-5">
      <div className="flex flex-wrap justify-between gap-x-3">
        <p role="status" className="font-semibold">
          {made.name ?? "The key"} is ready
        </p>
        <p className="text-note text-ink2">shown this once</p>
      </div>
      <div className="flex gap-2">
        <input
          readOnly
          aria-label="Key"
          value={made.key}
          onFocus={(event) => event.currentTarget.select()}
          className="h-8 min-w-0 flex-1 rounded-control border border-control bg-raised px-2.5 font-mono text-mono ring-focus max-rail:h-11"
        />
        <CopyButton kind="primary" text={made.key} what="the key" word="Copy" className="h-8" />
      </div>
    </section>
  );
}
