/** A box with its label. */
import { Checkbox as Base } from "@base-ui/react/checkbox";
import { Check } from "lucide-react";
import type { ReactNode } from "react";

interface CheckboxProps {
  checked: boolean;
  onChange: (checked: boolean) => void;
  children: ReactNode;
}

export function Checkbox({ checked, onChange, children }: CheckboxProps) {
  return (
    // oxlint-disable-next-line jsx-a11y/label-has-associated-control -- the box is the control
    <label className="flex cursor-pointer items-start gap-2.5 py-1 max-rail:min-h-11 max-rail:items-center">
      <Base.Root
        checked={checked}
        onCheckedChange={onChange}
        className="mt-0.5 grid size-4 shrink-0 place-items-center rounded-chip border border-control bg-raised ring-focus
          data-checked:border-accent data-checked:bg-accent max-rail:mt-0"
      >
        <Base.Indicator>
          <Check size={12} strokeWidth={3} className="text-surface" aria-hidden />
        </Base.Indicator>
      </Base.Root>
      <span>{children}</span>
    </label>
  );
}
