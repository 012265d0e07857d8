import { queryOptions } from "@tanstack/react-query";

import { api, body, type Schemas } from "@/api/client";

export type ApiKey = Schemas["ApiKeyResponse"];
export type NewApiKey = Schemas["ApiKeyCreateResponse"];

export const keysQuery = queryOptions({
  queryKey: ["keys"],
  queryFn: ({ signal }) => body(api.GET("/api/keys", { signal })),
});

export interface WantedKey {
  name: string;
  /** Undefined: it does not end. */
  days: number | undefined;
  operator: boolean;
}

/** What a key may do, in words; one without scopes may do what its owner may. */
export function mayOf({ scopes }: Pick<ApiKey, "scopes">): string {
  return scopes.length === 0 ? "everything" : scopes.join(", ");
}
