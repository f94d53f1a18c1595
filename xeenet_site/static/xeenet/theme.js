// Loaded before the first paint, so that the page never flashes in another theme. app.js has the
// switch.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden: the page follows the system's theme.
}
