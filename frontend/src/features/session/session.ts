/** Who is signed in. */
import { queryOptions, useMutation, useQuery, useQueryClient, type Query } from "@tanstack/react-query";

import { api, body, type Schemas } from "@/api/client";

export type Me = Schemas["CurrentUser"];

export const meQuery = queryOptions({
  queryKey: ["me"],
  // Whoever asks decides what nobody means: the guard of a page leads to the gate, the gate itself stays.
  meta: { gated: false },
  queryFn: ({ signal }) => body(api.GET("/api/v1/users/me", { signal })),
});

interface MeNow {
  /** What the host said since the page was opened; what it said before may be over, and led here. */
  now: Me | undefined;
  /** What is known at all. */
  known: Me | undefined;
  error: Error | null;
}

/** For gates: who is signed in by now. Going on by what was known before would lead straight back to the gate, for ever. */
export function useMeNow(options: { enabled?: boolean; every?: (error: Error | null) => number | false } = {}): MeNow {
  const me = useQuery({
    ...meQuery,
    retry: false,
    refetchOnMount: "always",
    enabled: options.enabled ?? true,
    refetchInterval: (query: Query<Me, Error, Me, string[]>) => options.every?.(query.state.error) ?? false,
  });
  return { now: me.isSuccess && me.isFetchedAfterMount ? me.data : undefined, known: me.data, error: me.error };
}

/** How a person is called: their name, else what identifies them. */
export function nameOf(me: Me): string {
  return me.name || me.username || me.email || me.id;
}

export function initialsOf(name: string): string {
  const words = name.split(/[\s@._-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[1]] : [...(words[0] ?? "")].slice(0, 2);
  return letters
    .map((word) => [...(word ?? "")][0] ?? "")
    .join("")
    .toUpperCase();
}

/** Ends the session and forgets what it showed. The page is loaded anew, so that nothing of it stays in memory. */
export function useSignOut() {
  const queries = useQueryClient();
  return useMutation({
    meta: { gated: false },
    mutationFn: () => body(api.POST("/api/logout")),
    onSettled: () => {
      queries.clear();
      window.location.assign("/login");
    },
  });
}
