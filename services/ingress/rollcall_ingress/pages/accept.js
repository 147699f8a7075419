"use strict";
// The token stands in the fragment, which browsers never send; it goes into the form's body only.
const form = document.getElementById("accept");
const button = form.querySelector("button");

function readToken() {
  const token = location.hash.slice(1);
  const isComplete = /^[A-Za-z0-9_-]{96}$/.test(token);
  form.elements.token.value = isComplete ? token : "";
  form.hidden = !isComplete;
  document.getElementById("incomplete").hidden = isComplete;
  for (const link of document.querySelectorAll("a.language")) {
    link.hash = location.hash;
  }
}

form.addEventListener("submit", () => { button.disabled = true; });
window.addEventListener("pageshow", () => { button.disabled = false; });
window.addEventListener("hashchange", readToken);
readToken();
