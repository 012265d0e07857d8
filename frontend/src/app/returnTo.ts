/** Where to go after signing in: a path of this host, and nothing else (no open redirect). */

/** The path, query and fragment of `target` if it is on this origin and no gate itself, else `/`. */
export function safePath(target: string | null | undefined, origin = window.location.origin): string {
  if (!target) {
    return "/";
  }
  let url: URL;
  try {
    url = new URL(target, origin);
  } catch {
    return "/";
  }
  const path = url.pathname + url.search + url.hash;
  // What two slashes begin would be another host as soon as somebody resolves it again.
  if (url.origin !== origin || path.startsWith("//") || url.pathname === "/login") {
    return "/";
  }
  return path;
}
