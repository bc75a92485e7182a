// The table of all objects: click a heading to sort, type to filter. `report` = {columns: [{heading, key, format}], ranking, rows}.
const report = JSON.parse(document.querySelector("#data").textContent);
const head = document.querySelector("#objects thead"), body = document.querySelector("#objects tbody");
const filter = document.querySelector("#filter"), count = document.querySelector("#count");
const MAX_ROWS = 500, TEXT_COLUMNS = 5;
let sorted = report.columns.findIndex(column => column.key === report.ranking), ascending = true;

function text(value, format) {
  if (value === null) return "–";
  if (format === "percent") return `${value > 0 ? "+" : ""}${(100 * value).toFixed(0)}%`;
  return format === null ? value : value.toFixed(format);
}

function show() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = report.rows.filter(row => {
    const names = row.slice(0, TEXT_COLUMNS).join(" ").toLowerCase();
    return words.every(word => names.includes(word));
  });
  found.sort((a, b) => {
    const x = a[sorted], y = b[sorted];
    if (x === null || y === null) return (x === null) - (y === null);
    return (x < y ? -1 : x > y ? 1 : 0) * (ascending ? 1 : -1);
  });
  body.replaceChildren(...found.slice(0, MAX_ROWS).map(row => {
    const line = document.createElement("tr");
    row.forEach((value, n) => { line.insertCell().textContent = text(value, report.columns[n].format); });
    return line;
  }));
  count.textContent = found.length > MAX_ROWS ? `the first ${MAX_ROWS} of ${found.length}` : `${found.length}`;
  [...head.rows[0].cells].forEach((cell, n) => {
    if (n === sorted) cell.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    else cell.removeAttribute("aria-sort");
  });
}

const headings = head.insertRow();
report.columns.forEach((column, n) => {
  const cell = document.createElement("th");
  cell.textContent = column.heading;
  cell.onclick = () => { ascending = n === sorted ? !ascending : true; sorted = n; show(); };
  headings.append(cell);
});
filter.oninput = show;
show();
