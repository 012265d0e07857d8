/** Device codes: eight of A to Z without I and O, 2 to 9. People type them with a dash, or in small letters. */

/** The code as the host knows it; undefined if it can be none. */
export function readCode(typed: string | undefined): string | undefined {
  const code = (typed ?? "").replace(/[\s-]/gu, "").toUpperCase();
  return /^[A-Z0-9]{8}$/u.test(code) ? code : undefined;
}
