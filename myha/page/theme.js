// Before the first paint, so that nobody is dazzled: the scheme that was chosen here earlier.
// Not a module: those run only after the page has been read. What is chosen stays in this browser.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("myha-theme");
  } catch {
    chosen = null; // a browser that keeps nothing follows its own settings
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
