/** Light, dark, or what the system says. The script in `index.html` sets the same before the first paint. */
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const KEY = "jackfield_theme";
const listeners = new Set<() => void>();

export function chosenTheme(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    // Storage that is switched off remembers nothing.
    return "system";
  }
}

export function chooseTheme(theme: Theme): void {
  try {
    if (theme === "system") {
      localStorage.removeItem(KEY);
    } else {
      localStorage.setItem(KEY, theme);
    }
  } catch {
    // It still holds for this page.
  }
  paint(theme);
  for (const listener of listeners) {
    listener();
  }
}

function again(): void {
  chooseTheme(chosenTheme());
}

/** Follows the system, and what another tab chooses. */
export function followTheme(): void {
  dark().addEventListener("change", again);
  window.addEventListener("storage", (event) => {
    if (event.key === KEY || event.key === null) {
      again();
    }
  });
}

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, chosenTheme);
}

function paint(theme: Theme): void {
  const shown = theme === "system" ? (dark().matches ? "dark" : "light") : theme;
  document.documentElement.dataset["theme"] = shown;
}

function dark(): MediaQueryList {
  return window.matchMedia("(prefers-color-scheme: dark)");
}
