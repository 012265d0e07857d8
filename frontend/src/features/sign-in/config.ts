import { queryOptions } from "@tanstack/react-query";

import { api, body, type Schemas } from "@/api/client";

export type WebClientConfig = Schemas["ClientConfig"];

export const configQuery = queryOptions({
  queryKey: ["web-client", "config"],
  queryFn: ({ signal }) => body(api.GET("/api/v1/web-client/config", { signal })),
  staleTime: 5 * 60_000,
});
