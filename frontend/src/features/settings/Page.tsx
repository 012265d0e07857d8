/** A page of the settings: its title, one main action, its content. */
import type { ReactNode } from "react";

interface PageProps {
  title: string;
  about: string;
  action?: ReactNode;
  children: ReactNode;
}

export function Page({ title, about, action, children }: PageProps) {
  return (
    <div className="mx-auto max-w-[840px] rail:mx-0 rail:px-5">
      <title>{`${title} · Jackfield`}</title>
      <div className="flex flex-wrap items-start justify-between gap-3 px-4 pt-5 pb-4 rail:px-5">
        <div className="grid gap-0.5">
          <h1 className="text-section">{title}</h1>
          <p className="text-ink2">{about}</p>
        </div>
        {action}
      </div>
      {children}
    </div>
  );
}
