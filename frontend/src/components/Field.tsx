/** A labelled input with its note or its error. */
import { clsx } from "clsx";
import { useId, type ComponentProps, type ReactNode } from "react";

export const inputClass = clsx(
  "w-full rounded-control border border-control bg-raised px-2.5 text-ink placeholder:text-ink3",
  "h-9 max-rail:h-11 max-rail:text-[16px] ring-focus aria-invalid:border-bad",
);

export interface FieldProps extends Omit<ComponentProps<"input">, "id"> {
  label: ReactNode;
  note?: ReactNode;
  error?: string | undefined;
  action?: ReactNode;
}

export function Field({ label, note, error, action, className, ...input }: FieldProps) {
  const id = useId();
  const said = error ?? note;
  return (
    <div className="grid gap-1.5">
      <label htmlFor={id} className="font-medium text-ink">
        {label}
      </label>
      <div className="flex gap-2">
        <input
          {...input}
          id={id}
          className={clsx(inputClass, className)}
          aria-invalid={error ? true : undefined}
          aria-describedby={said ? `${id}-said` : undefined}
        />
        {action}
      </div>
      {said && (
        <p id={`${id}-said`} className={clsx("text-note", error ? "text-bad" : "text-ink3")}>
          {said}
        </p>
      )}
    </div>
  );
}
