/** The cache of what the host said, and what happens when it says that nobody is signed in. */
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";

import { ApiError, isSignedOut, needsTerms, needsVerification } from "@/api/errors";
import { safePath } from "@/app/returnTo";

/** A page that must be passed first. */
export interface Gate {
  to: "/login" | "/accept-tos" | "/verify-email";
  search: Record<string, string>;
}

/** The gate that an error leads to, if it leads to one; `from` is where to come back to. */
export function gateOf(error: unknown, from: string): Gate | undefined {
  const path = safePath(from);
  if (isSignedOut(error)) {
    return { to: "/login", search: path === "/" ? {} : { returnTo: path } };
  }
  if (needsTerms(error)) {
    return { to: "/accept-tos", search: { redirect_url: path } };
  }
  if (needsVerification(error)) {
    return { to: "/verify-email", search: { returnTo: path } };
  }
  return undefined;
}

/** `go` is told where an answer leads to. */
export function createQueryClient(go: (gate: Gate) => void): QueryClient {
  const onError = (error: unknown, _: unknown, gated = true) => {
    const gate = gated ? gateOf(error, window.location.pathname + window.location.search) : undefined;
    if (gate) {
      go(gate);
    }
  };
  return new QueryClient({
    queryCache: new QueryCache({ onError: (error, query) => onError(error, query, query.meta?.["gated"] !== false) }),
    mutationCache: new MutationCache({
      onError: (error, _variables, _result, mutation) => onError(error, mutation, mutation.meta?.["gated"] !== false),
    }),
    defaultOptions: {
      queries: {
        staleTime: 30_000,
        // What was refused stays refused; what was not reached may be reached now.
        retry: (failures, error) => failures < 2 && (!(error instanceof ApiError) || error.refusal.status === 0),
      },
    },
  });
}
