/** What the way back from the identity provider carries is for nobody to see or to share, and would be there again after a reload. */

/** Takes `login_method` off the address, and with it `returnTo`, which the sign-in page alone still needs. */
export function forgetLoginMethod(): void {
  const url = new URL(window.location.href);
  if (!url.searchParams.has("login_method")) {
    return;
  }
  url.searchParams.delete("login_method");
  if (url.pathname !== "/login") {
    url.searchParams.delete("returnTo");
  }
  window.history.replaceState(window.history.state, "", url);
}
