import { mutationOptions, queryOptions, type QueryClient } from "@tanstack/react-query";

import { api, body, type Schemas } from "@/api/client";

export type Session = Schemas["OpenSession"];

export const sessionsQuery = queryOptions({
  queryKey: ["me", "sessions"],
  queryFn: ({ signal }) => body(api.GET("/api/v1/users/me/sessions", { signal })),
});

/** Ends sessions one after the other; those before one that fails are ended. */
export function endSessions(queries: QueryClient) {
  return mutationOptions({
    mutationFn: async (ids: string[]) => {
      for (const id of ids) {
        await api.DELETE("/api/v1/users/me/sessions/{id}", { params: { path: { id } } });
      }
    },
    onSettled: () => queries.invalidateQueries({ queryKey: sessionsQuery.queryKey }),
  });
}
