/** Settings: the list of pages beside the page; on phones above it. */
import { Link, Outlet } from "@tanstack/react-router";
import { MonitorSmartphone, Terminal, User } from "lucide-react";

const PAGES = [
  { to: "/settings/user", word: "Account", Icon: User },
  { to: "/settings/api-keys", word: "API keys", Icon: Terminal },
  { to: "/settings/sessions", word: "My sessions", Icon: MonitorSmartphone },
] as const;

export function SettingsLayout() {
  return (
    <>
      <div className="flex h-13 items-center border-b border-line px-5 text-page max-rail:hidden">Settings</div>
      <div className="rail:grid rail:grid-cols-[208px_1fr]">
        <nav
          aria-label="Settings"
          className="sticky top-12 z-1 border-line bg-surface max-rail:border-b rail:top-0 rail:min-h-[calc(100dvh-52px)] rail:self-start rail:border-r rail:p-2"
        >
          <ul className="flex gap-0.5 overflow-x-auto max-rail:px-2 rail:sticky rail:top-2 rail:flex-col">
            {PAGES.map(({ to, word, Icon }) => (
              <li key={to} className="shrink-0">
                <Link
                  to={to}
                  className="flex items-center gap-2.5 font-[450] text-ink2 ring-focus max-rail:h-11 max-rail:border-b-2 max-rail:border-transparent max-rail:px-2.5 rail:h-7 rail:rounded-control rail:px-2 rail:hover:bg-hover"
                  activeProps={{ className: "text-ink max-rail:!border-accent rail:bg-active" }}
                >
                  <Icon size={16} strokeWidth={1.6} aria-hidden className="max-rail:hidden" />
                  {word}
                </Link>
              </li>
            ))}
          </ul>
        </nav>
        <main id="content" tabIndex={-1} className="min-w-0 outline-none">
          <Outlet />
        </main>
      </div>
    </>
  );
}
