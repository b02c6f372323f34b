// Formulas in TeX as HTML that is drawn without a script: reads a JSON list of [TeX, display] pairs, writes a list of HTML.

import fs from "node:fs";
import katex from "katex";

const formulas = JSON.parse(fs.readFileSync(0, "utf-8"));
console.log(JSON.stringify(formulas.map(([tex, displayMode]) => katex.renderToString(tex, { displayMode }))));
