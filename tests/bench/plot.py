"""Line plots as SVG, nothing but the standard library: x logarithmic, y linear or logarithmic as the data ask."""
import math
from xml.sax.saxutils import escape

COLOURS = ["#d62728", "#1f77b4", "#2ca02c", "#9a9a9a", "#b58900", "#6c71c4", "#17becf"]


def lines(path, title, x_label, y_label, series, width=720, height=420):
    series = {k: v for k, v in series.items() if v}
    points = [p for v in series.values() for p in v]
    if not points:
        return
    left, right, top, bottom = 80, 150, 40, 50
    xs, ys = sorted({p[0] for p in points}), [max(p[1], 1e-9) for p in points]
    log_y = max(ys) / min(ys) > 30
    y0, y1 = (10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))) if log_y else (0, max(ys) * 1.05)
    lx0, lx1 = math.log2(xs[0]), math.log2(xs[-1]) or 1
    px = lambda x: left + (math.log2(x) - lx0) / max(lx1 - lx0, 1e-9) * (width - left - right)
    def py(y):
        f = (math.log10(max(y, 1e-9)) - math.log10(y0)) / (math.log10(y1) - math.log10(y0)) if log_y else (y - y0) / (y1 - y0)
        return height - bottom - f * (height - top - bottom)
    short = lambda v: f"{v / 1e6:g}M" if v >= 1e6 else f"{v / 1e3:g}k" if v >= 1e4 else f"{v:g}"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="100%" height="100%" fill="white"/><text x="{left}" y="22" font-size="15">{escape(title)}</text>']
    ticks = [10 ** e for e in range(round(math.log10(y0)), round(math.log10(y1)) + 1)] if log_y else [y1 * i / 5 for i in range(6)]
    for t in ticks:
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{py(t):.1f}" y2="{py(t):.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 6}" y="{py(t) + 4:.1f}" text-anchor="end">{short(float(f"{t:.3g}"))}</text>')
    for x in xs:
        out.append(f'<text x="{px(x):.1f}" y="{height - bottom + 16}" text-anchor="middle">{x if x < 1024 or x % 1024 else (str(x // 1024) + "K" if x < 1 << 20 else str(x >> 20) + "M")}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 12}" text-anchor="middle">{escape(x_label)}</text>'
               f'<text transform="translate(18 {height / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    for i, (name, data) in enumerate(series.items()):
        c = COLOURS[i % len(COLOURS)]
        out.append(f'<polyline fill="none" stroke="{c}" stroke-width="2" points="' + " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in data) + '"/>')
        out += [f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="2.5" fill="{c}"/>' for x, y in data]
        y = top + 16 * i
        out.append(f'<line x1="{width - right + 10}" x2="{width - right + 30}" y1="{y}" y2="{y}" stroke="{c}" stroke-width="2"/><text x="{width - right + 36}" y="{y + 4}">{escape(name)}</text>')
    out.append("</svg>")
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")
