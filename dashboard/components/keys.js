// A field that was filled in, or a choice from a list that was made, would take the page's keys as more letters: the
// reader's name, another reader's.
// And a key that is held repeats itself: on the next scan, before anybody has looked at it.
const FIELDS = "input, textarea, select, canvas, [contenteditable], [role=radio], [role=option], [role=slider]";
const CHOICES = "input[type=checkbox], input[type=radio], [role=radio]"; // letters mean nothing to them
const LIST = '[data-testid="stSelectbox"]';
const SWITCH = '[data-testid="stCheckbox"]';

export default function () {
  const held = (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
    const acts = /^([a-z]|ArrowLeft|ArrowRight)$/i.test(event.key) && !event.composedPath()[0]?.matches?.(FIELDS);
    if (event.repeat && plain && acts) event.stopImmediatePropagation();
  };
  // whoever comes to a switch by Tab has the page's letters still: the switch would keep them for itself
  const passOn = (event) => {
    if (!event.isTrusted || !/^[a-z]$/i.test(event.key) || !event.composedPath()[0]?.matches?.(CHOICES)) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopImmediatePropagation();
    document.body.dispatchEvent(new KeyboardEvent(event.type, event));
  };
  const leave = (event) => {
    const field = event.composedPath()[0];
    const open = field?.getAttribute?.("aria-expanded") === "true"; // Enter chooses, where it does not open the list
    const chosen = open && field.closest(LIST) && ["Enter", "Escape"].includes(event.key);
    const entered = field?.closest?.('[data-testid="stTextInput"]') && event.key === "Enter";
    if (chosen || entered) setTimeout(() => field.blur());
  };
  const choose = (event) => {
    const at = event.composedPath()[0];
    const clicked = event.detail > 0 && at?.closest?.(SWITCH); // by hand: whoever goes by keys stays where they are
    const field = at?.closest?.("[role=option]") ? LIST : clicked ? SWITCH : null;
    if (field) setTimeout(() => document.activeElement?.closest(field) && document.activeElement.blur(), 50);
  };
  const listeners = [["keydown", held], ["keydown", leave], ["click", choose]];
  for (const [kind, listener] of listeners) document.addEventListener(kind, listener, true);
  for (const kind of ["keydown", "keyup"]) window.addEventListener(kind, passOn, true); // before all others
  return () => {
    for (const [kind, listener] of listeners) document.removeEventListener(kind, listener, true);
    for (const kind of ["keydown", "keyup"]) window.removeEventListener(kind, passOn, true);
  };
}
