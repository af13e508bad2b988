// Tables sort by a click on a column's head, and folded parts open for the printer. Without this the page stands as it is.
"use strict";

function key(row, column) {
  const text = row.cells[column].dataset.by, number = Number(text);
  return text === "nan" || text === "" ? null : Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

function sortRows(body, column, turn) {
  const rows = [...body.rows].filter((row) => !row.matches(".group"));
  const known = rows.filter((row) => key(row, column) !== null);
  const unknown = rows.filter((row) => key(row, column) === null); // these stay last whichever way it is sorted
  known.sort((a, b) => turn * compare(key(a, column), key(b, column)));
  body.append(...known, ...unknown);
}

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells], head = heads[column];
  const falling = head.getAttribute("aria-sort") === "ascending";
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const plain = [...table.tBodies].filter((body) => !body.querySelector(".group"));
  for (const body of plain.slice(1)) { // groups without a title are one once they are sorted
    plain[0].append(...body.rows);
    body.remove();
  }
  for (const body of table.tBodies) sortRows(body, column, falling ? -1 : 1);
}

for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column));
    head.append(button);
  });
}

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
});
