"use strict";

// Deletes the group of the pressed button. Browsers let only this origin send a
// DELETE, unless the gateway agreed to others, which it does not.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-delete]");
  if (!button || !confirm(`Delete the group ${button.dataset.group}?`)) {
    return;
  }
  button.disabled = true;
  try {
    const answer = await fetch(button.dataset.delete, { method: "DELETE" });
    if (!answer.ok) {
      throw new Error(`${answer.status}: ${await answer.text()}`);
    }
    location.reload();
  } catch (error) {
    button.disabled = false;
    alert(`The group was not deleted. ${error.message}`);
  }
});
