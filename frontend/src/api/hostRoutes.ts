/**
 * Routes of the host itself that the app calls. `openapi.json` tells of plugins' routes only, so these are written here; the tests
 * in a browser call each of them on a real host.
 */
import type { paths } from "./schema";

interface Answer<Body> {
  content: { "application/json": Body };
  headers: Record<string, unknown>;
}

interface Post<Type extends string, Body> {
  post: {
    parameters: { query?: never; header?: never; path?: never; cookie?: never };
    requestBody: { content: { [type in Type]: Body } };
    responses: { 200: Answer<{ message: string }> };
  };
}

type Form = "application/x-www-form-urlencoded";

interface Routes {
  /** Sends a link to an address, if it is known; the answer is the same if it is not. */
  "/api/v1/sign-in/link": Post<"application/json", { email: string; returnTo?: string }>;
  /** Lets the device with this code in. */
  "/oauth/device/verify-authenticated": Post<Form, { user_code: string }>;
  /** Refuses it. */
  "/oauth/device/deny": Post<Form, { user_code: string }>;
}

/** No type, and so an error where it is used, as soon as `openapi.json` tells of one of them: then it is to be taken out here. */
export type HostRoutes = Extract<keyof paths, keyof Routes> extends never ? Routes : never;
