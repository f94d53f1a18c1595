// The admin's look (django-unfold) keeps its own choice of theme in Alpine's store. Both are one:
// a change of either is written to the other.

"use strict";

// Runs before the admin's scripts, so that they begin with our choice.
const adminNames = { system: "auto", light: "light", dark: "dark" };
const ourNames = { auto: "system", light: "light", dark: "dark" };

try {
  localStorage.setItem("_x_adminTheme", JSON.stringify(adminNames[xeenetTheme.current()]));
} catch {
  // Storage is forbidden: the admin follows the system's theme.
}

document.addEventListener("alpine:initialized", () => {
  const state = Alpine.$data(document.documentElement);
  const follow = () => (state.adminTheme = adminNames[xeenetTheme.current()]);
  follow();
  document.addEventListener("xeenet:theme", follow);
  // The admin has a shortcut of its own, Ctrl+E.
  Alpine.effect(() => {
    const name = ourNames[state.adminTheme];
    if (name !== xeenetTheme.current()) xeenetTheme.set(name);
  });
});
