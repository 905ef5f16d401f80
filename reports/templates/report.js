"use strict";
(() => {
  // Sorting: every head of a sortable table becomes a button.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        const direction = descending ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[column];
          return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
        };
        const isGap = (value) => value === "" || Number.isNaN(value);
        const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
        const order = (a, b) => (isGap(a) || isGap(b) ? isGap(a) - isGap(b) : direction * compare(a, b)); // gaps last, either way
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => order(key(a), key(b))));
      });
    });
  }

  // Paper shows what is folded away, but for tables of many pages.
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => {
    one.open ||= one.querySelectorAll("tr").length <= 40;
  }));
})();
