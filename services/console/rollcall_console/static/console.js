// Copying, and times in the viewer's own zone. Everything else works without this file.
(() => {
  const language = document.documentElement.lang;
  const formats = {
    moment: new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" }),
    day: new Intl.DateTimeFormat(language, { dateStyle: "long" }),
    clock: new Intl.DateTimeFormat(language, { timeStyle: "medium" }),
  };
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "always" });

  function ago(moment) {
    const minutes = (Date.now() - moment) / 60000;
    if (minutes < 1) return document.body.dataset.now;
    if (minutes < 90) return relative.format(-Math.round(minutes), "minute");
    if (minutes < 36 * 60) return relative.format(-Math.round(minutes / 60), "hour");
    return relative.format(-Math.round(minutes / 1440), "day");
  }

  function times(within) {
    for (const element of within.querySelectorAll("time[data-when]")) {
      const moment = new Date(element.dateTime);
      const format = formats[element.dataset.when];
      element.textContent = format ? format.format(moment) : ago(moment);
    }
  }

  function copies(within) {
    for (const button of within.querySelectorAll("button[data-copy]")) button.hidden = false;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const field = document.getElementById(button.dataset.copy);
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy"); // where the browser keeps the clipboard from pages over http
    }
    const before = button.textContent;
    button.textContent = document.body.dataset.copied;
    setTimeout(() => { button.textContent = before; }, 2000);
  });

  document.addEventListener("htmx:load", (event) => times(event.detail.elt));
  copies(document);
  times(document);
  setInterval(() => times(document), 30000);
})();
