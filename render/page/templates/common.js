"use strict";
// What both kinds of pages do. A page is opened from the disk, so its facts come as a script, which is
// loaded again while more is to come. Texts are only ever set as text, never as HTML.

const at = (id) => document.getElementById(id);

function lookAgain(data, everyMs) {
  setTimeout(() => {
    const script = document.createElement("script");
    script.src = `${data}?${Date.now()}`;
    script.onload = script.onerror = () => script.remove();
    document.body.append(script);
  }, everyMs);
}

document.querySelectorAll("[data-copies]").forEach((button) => {
  button.addEventListener("click", async () => {
    const text = at(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {  // a page from the disk may not have the clipboard: mark the text, and copy that
      getSelection().selectAllChildren(text);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
});
