// A field that was filled in would take the page's keys as more letters: the reader's name, another reader's.
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
    if (event.key === "Enter" && field?.closest?.('[data-testid="stTextInput"]')) setTimeout(() => field.blur());
  };
  for (const listener of [held, leave]) document.addEventListener("keydown", listener, true);
  return () => {
    for (const listener of [held, leave]) document.removeEventListener("keydown", listener, true);
  };
}
