/** The mark: two sockets and a cord. */
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" aria-hidden="true" className="shrink-0">
      <rect width="24" height="24" rx="6" fill="var(--ink)" />
      <g stroke="var(--surface)" strokeWidth="1.8">
        <circle cx="7.8" cy="8" r="3.3" />
        <circle cx="16.2" cy="16" r="3.3" />
      </g>
      <path
        d="M7.8 8C7.8 15.5 16.2 8.5 16.2 16"
        stroke="var(--brass)"
        strokeWidth="2.3"
        strokeLinecap="round"
      />
    </svg>
  );
}

export function Wordmark() {
  return (
    <span className="flex items-center gap-2.5 text-page text-ink">
      <Mark />
      Jackfield
    </span>
  );
}
