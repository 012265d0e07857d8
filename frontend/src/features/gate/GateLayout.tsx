/** The frame of pages before the app: mark and host above, one column, theme below. */
import type { ReactNode } from "react";

import { Wordmark } from "@/components/Mark";
import { ThemeButton } from "@/components/ThemeSwitch";

interface GateProps {
  title: string;
  children: ReactNode;
  /** Right half of wide windows. */
  art?: ReactNode;
}

export function GateLayout({ title, children, art }: GateProps) {
  return (
    <div className={art ? "wide:grid wide:grid-cols-2" : undefined}>
      <title>{`${title} · Jackfield`}</title>
      <div className="flex min-h-dvh flex-col px-5 rail:px-10">
        <header className="flex h-16 items-center justify-between rail:h-23">
          <Wordmark />
          {!art && <Host />}
        </header>
        <main className="mx-auto grid w-full max-w-[340px] flex-1 content-center gap-5 py-8">
          <h1 className="text-display">{title}</h1>
          {children}
        </main>
        <footer className="flex h-16 items-center justify-between">
          {art ? <Host /> : <span />}
          <ThemeButton />
        </footer>
      </div>
      {art && <div className="hidden border-l border-line bg-bg wide:block">{art}</div>}
    </div>
  );
}

function Host() {
  return <span className="text-note text-ink3">{window.location.host}</span>;
}
