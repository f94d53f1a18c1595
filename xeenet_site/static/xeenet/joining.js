// The pages on which a machine joins: the invitation out of the address, and the server's address.

"use strict";

(() => {
  const texts = () => document.querySelectorAll(".command pre");

  function replaceInCommands(from, to) {
    for (const text of texts()) text.textContent = text.textContent.replaceAll(from, to);
  }

  // The page of a POST: without this, a reload would make another invitation.
  const own = document.querySelector("[data-own-address]");
  if (own) history.replaceState(history.state, "", own.dataset.ownAddress);

  // Browsers send the fragment of an address to nobody. Only what looks like an invitation is used.
  const missing = document.getElementById("invitation-missing");
  const invitation = location.hash.slice(1);
  if (missing && /^xe_[\w-]{20,100}$/.test(invitation)) {
    replaceInCommands(missing.dataset.placeholder, invitation);
    missing.textContent = "The invitation is in the commands already. It lets one machine in.";
  }

  for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;
  const addresses = document.querySelector("[data-server-addresses]");
  let current = addresses?.value;
  addresses?.addEventListener("change", () => {
    replaceInCommands(current, addresses.value);
    current = addresses.value;
  });
})();
