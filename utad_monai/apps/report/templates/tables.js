"use strict";
// A table that is wider than the page says so, can be scrolled by keyboard, and keeps its first column in sight.
const watched = new ResizeObserver((entries) => entries.forEach(({ target }) => {
  const wide = target.scrollWidth > target.clientWidth + 1;
  target.classList.toggle("wide", wide);
  if (wide) target.tabIndex = 0; else target.removeAttribute("tabindex");
}));
document.querySelectorAll(".scroll").forEach((box) => watched.observe(box));
// Every heading of a sortable table becomes a button; numbers sort as numbers, a missing value comes last.
document.querySelectorAll("table.sortable").forEach((table) => {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const key = (row) => row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)], [m, n] = [parseFloat(x), parseFloat(y)];
        if (isNaN(m) || isNaN(n)) return isNaN(m) && isNaN(n) ? (ascending ? 1 : -1) * x.localeCompare(y) : isNaN(m) ? 1 : -1;
        return ascending ? m - n : n - m;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
});
