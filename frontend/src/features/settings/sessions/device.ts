/** What a session's `User-Agent` says, in words. */
import { parse } from "bowser";

export interface Device {
  name: string;
  kind: "desktop" | "phone" | "program";
}

export function deviceOf(agent: string | null | undefined): Device {
  if (!agent) {
    return { name: "Unknown program", kind: "program" };
  }
  const { browser, os, platform } = parse(agent);
  // A program's own name and version, such as `jackfield/1.0.0`.
  if (!browser.name || !os.name) {
    return { name: agent.split(" ")[0]?.replace("/", " ") ?? agent, kind: "program" };
  }
  const kind = platform.type === "mobile" || platform.type === "tablet" ? "phone" : "desktop";
  return { name: `${browser.name} on ${os.name}`, kind };
}
