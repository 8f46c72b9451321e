// SPDX-License-Identifier: Apache-2.0

/// The page's style sheet: light and dark by the reader's preference, one column on a phone, plain on paper.
enum PageStyle {
  static var sheet: String {
    """
    :root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--soft:#5c6570;--line:#d9dee4;--fill:#f4f6f8;\
    --good:#1a7f4b;--bad:#b3261e;--base:#6b7580;\(Palette.lightVariables)}
    @media (prefers-color-scheme:dark){:root{--ground:#14171b;--ink:#e6e9ed;--soft:#9aa4af;--line:#2e353d;\
    --fill:#1c2127;--good:#4cc38a;--bad:#ff8a80;--base:#97a1ac;\(Palette.darkVariables)}}
    \(Palette.rules)
    *{box-sizing:border-box}
    body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,\
    "Segoe UI",Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums}
    main{max-width:58rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
    h1{font-size:1.7rem;line-height:1.2;margin:0 0 .4rem;letter-spacing:-.01em}
    h2{font-size:1.2rem;margin:3rem 0 .2rem;letter-spacing:-.005em}
    h3{font-size:.95rem;margin:1.4rem 0 .3rem;font-weight:600}
    p{margin:.3rem 0;max-width:46rem}
    .soft{color:var(--soft);font-size:.875rem}
    a{color:inherit}
    table{border-collapse:collapse;width:100%;font-size:.9rem}
    caption{text-align:left;color:var(--soft);font-size:.875rem;padding:.2rem 0}
    th{font-weight:500;text-align:left}
    td,th{padding:.3rem .5rem .3rem 0;vertical-align:middle}
    .lines td,.lines th{border-bottom:1px solid var(--line)}
    .num{text-align:right;white-space:nowrap}
    .wide{overflow-x:auto}
    .key{display:inline-block;width:.7em;height:.7em;border-radius:2px;background:var(--c);margin-right:.45em}
    .good{color:var(--good)}.bad{color:var(--bad)}
    .bars{table-layout:fixed}.bars th:first-child{width:12rem}.bars .head{width:15rem}
    .bars .beside td{padding-top:0}.bars th{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
    .track{position:relative;height:1.15rem;background:var(--fill);border-radius:3px}
    .bar{position:absolute;inset:0 auto 0 0;background:var(--c);border-radius:3px;opacity:.88}
    .span{position:absolute;top:50%;height:2px;margin-top:-1px;background:var(--ink)}
    .span:before,.span:after{content:"";position:absolute;top:-3px;height:8px;width:1.5px;background:var(--ink)}
    .span:after{right:0}
    .one{position:absolute;top:-3px;bottom:-3px;width:0;border-left:1.5px dashed var(--soft)}
    .mark{position:absolute;top:50%;width:10px;height:10px;margin:-5px 0 0 -5px;border:2px solid var(--ink);\
    border-radius:50%;background:var(--ground)}
    .outcome{min-width:7.5rem}
    .ring{fill:none;stroke:var(--c);stroke-width:2}
    svg{display:block;width:100%;max-width:52rem;height:auto;margin:.4rem 0}
    svg text{fill:var(--soft);font:12px system-ui,sans-serif}
    .grid{stroke:var(--line);stroke-width:1}
    .curve{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}
    .dot{fill:var(--c)}
    .band{fill:var(--c);opacity:.14}
    svg text.name{fill:var(--c);font-weight:600}
    .legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.875rem;margin:.4rem 0}
    details{margin:.6rem 0}summary{cursor:pointer}
    .samples{font-size:.8rem;color:var(--soft);overflow-wrap:anywhere}
    .warn{border-left:3px solid var(--base);padding-left:.7rem}
    .group{padding-top:1rem;font-weight:600}
    .terms{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;font-size:.9rem;margin:.4rem 0}
    .terms dd{margin:0}
    .heat{table-layout:auto;margin:.6rem 0}.heat td{text-align:right;white-space:nowrap;padding:.3rem .5rem}
    .heat thead th{text-align:right;white-space:nowrap;font-size:.8rem;vertical-align:bottom;padding:.3rem .5rem}
    .heat thead th:first-child{text-align:left}.heat td,.heat th{border-bottom:1px solid var(--line)}
    .heat .isgood{background:color-mix(in srgb,var(--good) 14%,transparent)}
    .heat .isbad{background:color-mix(in srgb,var(--bad) 16%,transparent)}
    .heat .lost{display:block;font-size:.75rem;color:var(--soft)}.heat .of{display:none}
    .leader{stroke:var(--c);stroke-width:1;opacity:.6}
    @media (max-width:34rem){main{padding:1.5rem 1rem 3rem}h1{font-size:1.4rem}
    .bars tr{display:grid;grid-template-columns:1fr auto;border-bottom:1px solid var(--line);padding:.35rem 0}
    .bars th,.bars td{padding:0;width:auto!important}.bars td.graph{grid-column:1/3;grid-row:2;padding-top:.25rem}
    .terms{grid-template-columns:1fr;gap:0}.terms dd{margin-bottom:.6rem}
    .heat thead{display:none}.heat tr{display:block;border-bottom:1px solid var(--line);padding:.4rem 0}
    .heat th,.heat td{display:block;border:0!important;padding:.1rem .3rem;text-align:left}
    .heat .none{display:none}.heat .of{display:inline}.heat .lost{display:inline;margin-left:.5rem}
    .hide{display:none}}
    @media print{main{max-width:none;padding:0}details{display:none}h2{break-after:avoid}\
    table,svg{break-inside:avoid}.bar,.key,.track{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
    """
  }
}
