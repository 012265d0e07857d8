/**
 * The one way to the host: a client typed by what the host says of itself (`openapi.json`, written by `npm run client`). Answers that are no success are thrown as {@link ApiError}.
 */
import createClient, { type Middleware } from "openapi-fetch";

import { ApiError } from "./errors";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

const refusals: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) {
      throw await ApiError.of(response);
    }
  },
  onError({ error }) {
    return ApiError.unreachable(error);
  },
};

export const api = createClient<paths>({ baseUrl: window.location.origin });
api.use(refusals);

/** The body of an answer. */
export async function body<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer;
  if (data === undefined) {
    throw new ApiError({ status: 0, code: "Unreadable", detail: "", request: "" });
  }
  return data;
}

/** For what takes a form instead of JSON; the client then writes the body as one. */
export const FORM = { "Content-Type": "application/x-www-form-urlencoded" } as const;
