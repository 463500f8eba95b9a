// A field that was filled in, or a choice from a list that was made, would take the page's keys as more letters: the
// reader's name, another reader's.
// And a key that is held repeats itself: on the next scan, before anybody has looked at it.
const FIELDS = "input, textarea, select, canvas, [contenteditable], [role=radio], [role=option], [role=slider]";

export default function () {
  const held = (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
    const acts = /^([a-z]|ArrowLeft|ArrowRight)$/i.test(event.key) && !event.composedPath()[0]?.matches?.(FIELDS);
    if (event.repeat && plain && acts) event.stopImmediatePropagation();
  };
  const leave = (event) => {
    const field = event.composedPath()[0];
    const open = field?.getAttribute?.("aria-expanded") === "true"; // Enter chooses, where it does not open the list
    const done = field?.closest?.('[data-testid="stTextInput"]') || (open && field.closest('[data-testid="stSelectbox"]'));
    if ((event.key === "Enter" && done) || (event.key === "Escape" && open && done)) setTimeout(() => field.blur());
  };
  const choose = (event) => {
    const at = event.composedPath()[0];
    const field = at?.closest?.("[role=option]") ? "stSelectbox" : "stCheckbox"; // the latter from its label too
    if (field === "stCheckbox" && (!event.detail || !at?.closest?.('[data-testid="stCheckbox"]'))) return; // by a key
    setTimeout(() => document.activeElement?.closest(`[data-testid="${field}"]`) && document.activeElement.blur(), 50);
  };
  const listeners = [["keydown", held], ["keydown", leave], ["click", choose]];
  for (const [kind, listener] of listeners) document.addEventListener(kind, listener, true);
  return () => {
    for (const [kind, listener] of listeners) document.removeEventListener(kind, listener, true);
  };
}
