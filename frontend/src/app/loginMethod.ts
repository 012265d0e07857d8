/** The way back from the identity provider carries `login_method`; it is for nobody to see or to share. */
export function forgetLoginMethod(): void {
  const url = new URL(window.location.href);
  if (url.searchParams.has("login_method")) {
    url.searchParams.delete("login_method");
    window.history.replaceState(window.history.state, "", url);
  }
}
