/** The one picture of the app: a panel of sockets with five cords. */

const COLUMNS = Array.from({ length: 10 }, (_, column) => 45 + column * 68);
const ROWS = Array.from({ length: 9 }, (_, row) => 42 + row * 96.6);

/** From socket to socket, sagging; hues as plugin tiles have them. */
const CORDS = [
  { hue: 85, from: [45, 138], to: [317, 332], sag: 430 },
  { hue: 180, from: [521, 235], to: [181, 525], sag: 660 },
  { hue: 155, from: [453, 42], to: [589, 428], sag: 620 },
  { hue: 25, from: [249, 428], to: [113, 718], sag: 830 },
  { hue: 250, from: [385, 621], to: [657, 718], sag: 830 },
] as const;

export function CordPanel() {
  return (
    <svg viewBox="0 0 702 900" preserveAspectRatio="xMidYMid slice" className="sticky top-0 h-dvh w-full" aria-hidden="true">
      {ROWS.map((y) =>
        COLUMNS.map((x) => (
          <g key={`${x} ${y}`} fill="none" stroke="var(--line2)" strokeWidth="1.2">
            <rect x={x - 15} y={y - 34} width="30" height="7" rx="2" fill="var(--line)" stroke="none" />
            <circle cx={x} cy={y} r="15" />
            <circle cx={x} cy={y} r="9.5" fill="var(--sunken)" />
          </g>
        )),
      )}
      {CORDS.map(({ hue, from: [x1, y1], to: [x2, y2], sag }) => (
        <g key={hue} fill="none" stroke={`oklch(var(--tile-ink) ${hue})`}>
          <path d={`M${x1} ${y1}C${x1} ${sag} ${x2} ${sag - 40} ${x2} ${y2}`} strokeWidth="5" strokeLinecap="round" />
          <circle cx={x1} cy={y1} r="6.5" fill="var(--sunken)" strokeWidth="6.5" />
          <circle cx={x2} cy={y2} r="6.5" fill="var(--sunken)" strokeWidth="6.5" />
        </g>
      ))}
    </svg>
  );
}
