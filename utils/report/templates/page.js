"use strict";
(() => {
  // The table of samples: sorted by a click on a head, filtered by what stands in the bar above it.
  const table = document.querySelector("#sample-table"), bar = document.querySelector("#sample-filters");
  if (table) {
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    const [text, category, scenario, method, answer] = ["text", "category", "scenario", "method", "answer"]
      .map((name) => bar.querySelector(`[name=${name}]`));
    const said = bar.querySelector("output"), first = Number(table.dataset.first);
    const words = rows.map((row) => row.textContent.toLowerCase());
    const filter = () => {
      const wanted = text.value.trim().toLowerCase(), only = Number(method.value);
      let shown = 0;
      rows.forEach((row, i) => {
        const cells = [...row.cells], judged = only ? [cells[only]] : cells.slice(first);
        const fits = words[i].includes(wanted)
          && (!category || !category.value || cells[1].textContent.split("; ").includes(category.value))
          && (!scenario || !scenario.value || cells[first - 1].textContent === scenario.value)
          && (!answer.value || judged.some((one) => one.classList.contains("wrong") === (answer.value === "wrong")));
        row.hidden = !fits;
        shown += fits;
      });
      for (const row of [table.tHead.rows[0], ...rows]) {
        [...row.cells].forEach((one, i) => { one.hidden = only > 0 && i >= first && i !== only; });
      }
      said.textContent = `${shown} of ${rows.length} samples`;
    };
    const value = (row, i) => {
      const shown = row.cells[i].firstChild.textContent.trim();
      return i < first ? shown : parseFloat(shown);
    };
    heads.forEach((head, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
        const keys = new Map(rows.map((row) => [row, value(row, i)]));
        const compare = i < first ? new Intl.Collator("en", { numeric: true }).compare : (a, b) => a - b;
        body.append(...[...rows].sort((a, b) => turn * compare(keys.get(a), keys.get(b))));
      });
    });
    [text, category, scenario, method, answer].forEach((one) => one && one.addEventListener("input", filter));
    bar.hidden = false;
    filter();
  }

  // Pictures: a click, or Enter, shows one as large as the window; the arrows lead to the others of its sample.
  const pictures = [...document.querySelectorAll(".pictures img")];
  const dialog = document.createElement("dialog"), large = new Image(), caption = document.createElement("p");
  const say = (words, turn) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.addEventListener("click", turn);
    return button;
  };
  let shown = null;
  const show = (picture) => {
    shown = picture;
    large.src = picture.src;
    large.alt = caption.textContent = picture.alt;
    dialog.prepend(large);
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const beside = [...shown.closest(".sample").querySelectorAll(".pictures img")];
    show(beside[(beside.indexOf(shown) + by + beside.length) % beside.length]);
  };
  const line = document.createElement("div");
  line.append(say("‹ previous", () => step(-1)), say("close", () => dialog.close()), say("next ›", () => step(1)));
  dialog.append(caption, line);
  dialog.addEventListener("click", (event) => { if (event.target === dialog || event.target === large) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  if (pictures.length) document.body.append(dialog);
  for (const picture of pictures) {
    picture.tabIndex = 0;
    picture.setAttribute("role", "button");
    picture.addEventListener("click", () => show(picture));
    picture.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); show(picture); }
    });
  }
})();
