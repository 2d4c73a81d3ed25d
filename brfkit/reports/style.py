"""How the page of a report looks: light and dark, narrow and wide, on paper."""

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1b2430; --soft: #55606d; --line: #d5dbe2; --card: #f4f6f9;
  --accent: #0b5c9c; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12161b; --text: #e6eaef; --soft: #a9b4c0; --line: #343c46; --card: #1b2129; --accent: #7cc0f5;
    --paper: #ffffff; }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--page); color: var(--text); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
.wrap { max-width: 84rem; margin: 0 auto; padding: 1rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--page); padding: .5rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
.path { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
dl.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1rem 0; }
dl.headline div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem;
  display: flex; flex-direction: column-reverse; justify-content: flex-end; }
dl.headline dt { color: var(--soft); font-size: .85rem; }
dl.headline dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
figure { margin: 1.5rem 0; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
figure .scroll { background: var(--paper); padding: .5rem; }
figure img { display: block; height: auto; margin: 0 auto; width: 100%; }
figcaption { margin-top: .5rem; }
figcaption strong { color: var(--text); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .75rem;
  margin: .5rem 0 0; font-size: .85rem; white-space: pre; overflow-x: auto;
  font-family: ui-monospace, "SF Mono", Consolas, "Liberation Mono", monospace; }
.table { margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .5rem .6rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-top: 1px solid var(--line); }
.pairs td { overflow-wrap: anywhere; min-width: 10rem; width: 65%; }
.numbers td { text-align: right; white-space: nowrap; }
.numbers thead th:not(:first-child) { text-align: right; }
thead th { background: var(--card); }
tbody th { font-weight: 500; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--accent); }
.note { background: var(--card); border-left: 4px solid var(--accent); padding: .6rem .8rem; margin: 1rem 0;
  overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: .85rem; border-top: 1px solid var(--line); margin-top: 3rem; padding: 1rem 0; }
@media (min-width: 68rem) {
  .columns { display: grid; grid-template-columns: 11rem minmax(0, 1fr); gap: 2.5rem; }
  nav { position: sticky; top: 1rem; align-self: start; padding-top: 2.5rem; }
  nav ul { flex-direction: column; }
}
@media print {
  nav, .skip { display: none; }
  .columns { display: block; }
  figure, table { break-inside: avoid; }
  .scroll { overflow: visible; }
  pre { white-space: pre-wrap; }
}
"""
