"""Style sheet of the HTML report: fonts of the system only, fit for paper, a desk, a narrow screen and a dark room."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { --ink: #1d2430; --soft: #5b6675; --line: #dfe3e8; --shade: #f6f7f9; --accent: #0b5c94;
  --paper: #fff; --clear: #fff0; --edge: #1d243026; --rule: #aab2bd; --head: 6.2rem; color-scheme: light dark; }
* { box-sizing: border-box; }
html { scroll-padding-top: var(--head); -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
header { position: sticky; top: 0; z-index: 1; background: var(--paper); border-bottom: 1px solid var(--line); }
.heading, nav, main { max-width: 1160px; margin: 0 auto; padding: 0 24px; }
.heading { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 24px; padding-top: 14px; }
h1 { margin: 0; font-size: 1.3rem; line-height: 1.3; font-weight: 650; overflow-wrap: anywhere; }
.figure { margin: 0 0 0 auto; display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 9px; }
.figure strong { font-size: 1.3rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.metric, .beside { color: var(--soft); }
nav { display: flex; gap: 18px; padding-top: 6px; padding-bottom: 10px; font-size: 0.87rem; overflow-x: auto;
  white-space: nowrap; scrollbar-width: thin; }
a { color: var(--accent); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
main { padding-bottom: 64px; }
section { padding-top: 26px; }
h2 { margin: 0 0 10px; font-size: 1.1rem; line-height: 1.3; font-weight: 650; }
p { margin: 10px 0; max-width: 76ch; }
.note, figcaption { color: var(--soft); font-size: 0.87rem; }
/* shades at the edges where more is to be scrolled to; what moves along with the content hides them at its ends */
.frame { overflow-x: auto; margin: 12px 0; background:
  linear-gradient(to right, var(--paper) 12px, var(--clear)) left / 28px 100% no-repeat local,
  linear-gradient(to left, var(--paper) 12px, var(--clear)) right / 28px 100% no-repeat local,
  linear-gradient(to right, var(--edge), #0000) left / 12px 100% no-repeat scroll,
  linear-gradient(to left, var(--edge), #0000) right / 12px 100% no-repeat scroll var(--paper); }
table { border-collapse: collapse; font-size: 0.9rem; line-height: 1.4; }
caption { text-align: left; font-weight: 600; padding: 8px 0 4px; }
th, td { text-align: left; vertical-align: baseline; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
.grid th { font-weight: 600; color: var(--soft); font-size: 0.82rem; vertical-align: bottom;
  border-bottom-color: var(--rule); }
.grid td { white-space: nowrap; }
.grid { min-width: 46%; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.pairs { width: 100%; max-width: 860px; }
.pairs td:first-child { width: 13rem; color: var(--soft); }
.pairs td { overflow-wrap: anywhere; }
.badge { display: inline-block; padding: 0 8px; border-radius: 9px; font-size: 0.82rem; line-height: 1.5;
  white-space: nowrap; background: var(--shade); color: var(--soft); border: 1px solid var(--line); }
.badge.matches { background: #e3f3ec; color: #00573f; border-color: #a9d8c4; }
.badge.better { background: #e4f0fa; color: #0a4d7d; border-color: #aacdea; }
.badge.worse { background: #fcece3; color: #8a3a00; border-color: #efc3a6; }
figure { margin: 12px 0; }
img { display: block; max-width: 100%; height: auto; }
pre { margin: 12px 0; padding: 12px 16px; background: var(--shade); border: 1px solid var(--line);
  border-radius: 6px; overflow-x: auto; font: 13px/1.5 ui-monospace,
  SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; }
code { font: inherit; }
@media (max-width: 640px) {
  :root { --head: 8.5rem; }
  .heading, nav, main { padding-left: 16px; padding-right: 16px; }
  .figure { margin-left: 0; }
  .pairs td:first-child { width: 7.5rem; }
  th, td { padding-right: 11px; }
  table { font-size: 0.84rem; }
}
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e3e7ec; --soft: #a6b0bc; --line: #333b46; --shade: #1e242c; --accent: #7db9ec; --paper: #14181e;
    --clear: #14181e00; --edge: #0009; --rule: #5b6675; }
  .badge.matches { background: #10352a; color: #8fdcbd; border-color: #245c49; }
  .badge.better { background: #10304a; color: #9bcdf2; border-color: #265373; }
  .badge.worse { background: #43220e; color: #f3b48d; border-color: #74401f; }
  /* drawings are made on white */
  img { background: #fff; border-radius: 6px; }
}
@media print {
  header { position: static; }
  nav { display: none; }
  html { font-size: 13px; }
  body { font-size: 1rem; }
  .frame, pre { overflow: visible; background: none; }
  img { min-width: 0 !important; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  table { font-size: 0.82rem; }
  .grid td, .grid th { padding-right: 8px; }
  .grid td:not(.number) { white-space: normal; }
  .grid td .note { white-space: nowrap; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
""".strip()
