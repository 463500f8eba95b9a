// A field that was filled in would take the page's keys as more letters: the reader's name, another reader's.
export default function () {
  const leave = (event) => {
    const field = event.composedPath()[0];
    if (event.key === "Enter" && field?.closest?.('[data-testid="stTextInput"]')) setTimeout(() => field.blur());
  };
  document.addEventListener("keydown", leave, true);
  return () => document.removeEventListener("keydown", leave, true);
}
