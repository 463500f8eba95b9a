// Remembered from scan to scan in this tab: whether the reader wants the heat map, and how strong.
const remembered = (name, fallback) => sessionStorage.getItem(`second-read-${name}`) ?? fallback;
const remember = (name, value) => sessionStorage.setItem(`second-read-${name}`, value);

// What uses the arrow keys itself where it has the focus.
const STEERED = "input, textarea, select, canvas, [contenteditable], " +
  ["radio", "option", "listbox", "slider", "combobox", "menuitem", "grid"].map((role) => `[role=${role}]`).join(", ");

// The most a scan can be enlarged, and from which enlargement on a head is too small to be shown with all its page.
const MOST = 12, SMALL = 1.5;

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".viewer");
  const stage = root.querySelector(".stage");
  const layers = root.querySelector(".layers");
  const scan = root.querySelector(".scan");
  const heat = root.querySelector(".heat");
  const box = root.querySelector(".heat-switch input");
  const [brightness, contrast] = [root.querySelector(".brightness"), root.querySelector(".contrast")];
  const strength = root.querySelector(".strength");
  root.cleanUp?.(); // this runs again on the same elements when the window or the answer changes
  const view = (root.view ??= { scale: 1, x: 0, y: 0, fitted: true });

  // the stage, and where the whole image lies on it; nothing before either is there
  const layout = () => {
    const width = stage.clientWidth, height = stage.clientHeight;
    if (!scan.naturalWidth || !width) return null;
    const fit = Math.min(width / scan.naturalWidth, height / scan.naturalHeight);
    const w = scan.naturalWidth * fit, h = scan.naturalHeight * fit;
    return { width, height, w, h, left: (width - w) / 2, top: (height - h) / 2 };
  };
  const place = () => {
    const at = layout();
    if (!at) return;
    const { w, h, left, top } = at;
    Object.assign(scan.style, { left: `${left}px`, top: `${top}px`, width: `${w}px`, height: `${h}px` });
    if (data.box) {
      const [x0, y0, x1, y1] = data.box;
      Object.assign(heat.style, {
        left: `${left + x0 * w}px`, top: `${top + y0 * h}px`,
        width: `${(x1 - x0) * w}px`, height: `${(y1 - y0) * h}px`,
      });
    }
    layers.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  };
  // the whole image or, where the head is a small part of a page, what the model has read of it
  const fitToStage = () => {
    Object.assign(view, { scale: 1, x: 0, y: 0, fitted: true });
    const at = layout();
    if (data.box && at) {
      const [x0, y0, x1, y1] = data.box, { width, height, w, h, left, top } = at;
      const scale = Math.min(width / ((x1 - x0) * w), height / ((y1 - y0) * h));
      if (scale > SMALL) {
        Object.assign(view, {
          scale: Math.min(MOST, scale),
          x: width / 2 - scale * (left + ((x0 + x1) / 2) * w),
          y: height / 2 - scale * (top + ((y0 + y1) / 2) * h),
        });
      }
    }
    place();
  };
  // after whatever changes the stage or the picture: a view that nobody has chosen fits it anew
  const settle = () => (view.fitted ? fitToStage() : place());
  const zoom = (factor, x, y) => {
    view.fitted = false;
    const scale = Math.min(MOST, Math.max(1, view.scale * factor));
    view.x = x - (x - view.x) * (scale / view.scale);
    view.y = y - (y - view.y) * (scale / view.scale);
    view.scale = scale;
    if (scale === 1) { view.x = 0; view.y = 0; }
    place();
  };
  const move = (x, y) => { Object.assign(view, { x: view.x + x, y: view.y + y, fitted: false }); place(); };
  const showHeat = (on) => {
    box.checked = on && Boolean(data.heat);
    heat.style.display = box.checked ? "block" : "none";
    heat.style.opacity = strength.value;
  };

  // a picture has no densities to set another window by, only greys
  const setGreys = (bright, strong) => {
    root.greys = [brightness.value, contrast.value] = [bright, strong];
    const changed = Number(bright) !== 1 || Number(strong) !== 1;
    scan.style.filter = changed ? `brightness(${bright}) contrast(${strong})` : "";
    root.querySelector(".corner").textContent = data.window + (changed ? ", greys changed" : "");
  };

  // the slices around: looked at, never answered or filed; a verdict's key or button leads back first
  const steps = data.around.map((near) => near.step);
  const look = (step) => {
    if (step && !steps.includes(step)) return;
    root.step = step;
    const near = data.around.find((one) => one.step === step);
    const back = `${step > 0 ? "↓" : "↑"} ${Math.abs(step) === 1 ? "once" : `${Math.abs(step)} times`}`;
    const said = near ? `Another slice, ${near.away}` : data.description;
    scan.src = near ? near.scan : data.scan;
    scan.alt = said;
    stage.setAttribute("aria-label", said);
    root.classList.toggle("away", Boolean(near));
    box.disabled = Boolean(near); // the heat map is of the scan they came from
    root.querySelector(".elsewhere").textContent =
      near ? `${said}. Answer and verdict belong to the scan you came from: ${back}.` : "";
    for (const [name, next] of [[".up", step + 1], [".down", step - 1]]) {
      root.querySelector(name).setAttribute("aria-disabled", String(next !== 0 && !steps.includes(next)));
    }
  };

  scan.onload = settle;
  look(steps.includes(root.step) ? root.step : 0);
  if (data.heat) heat.src = data.heat; else heat.removeAttribute("src");
  root.classList.toggle("no-heat", !data.heat);
  root.classList.toggle("alone", !steps.length);
  root.classList.toggle("unmarked", !data.sides_known);
  root.querySelector(".of").textContent = `Heat map: ${data.of}`;
  root.classList.toggle("with-presets", data.presets);
  setGreys(...(root.greys ?? [1, 1]));
  strength.value = remembered("strength", "0.5");
  showHeat(remembered("heat", "off") === "on");
  settle();

  box.onchange = () => { remember("heat", box.checked ? "on" : "off"); showHeat(box.checked); };
  for (const [name, by] of [[".up", 1], [".down", -1]]) {
    root.querySelector(name).onclick = ({ currentTarget, detail }) => {
      look(root.step + by);
      if (detail) currentTarget.blur(); // clicked: as below
    };
  }
  strength.oninput = () => { remember("strength", strength.value); heat.style.opacity = strength.value; };
  brightness.oninput = contrast.oninput = () => setGreys(brightness.value, contrast.value);
  root.querySelector(".as-sent").onclick = ({ currentTarget }) => { setGreys(1, 1); currentTarget.blur(); };
  for (const slider of [strength, brightness, contrast]) slider.onpointerup = () => slider.blur();
  stage.onwheel = (event) => {
    event.preventDefault();
    const at = stage.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - at.left, event.clientY - at.top);
  };
  stage.onpointerdown = (event) => {
    stage.setPointerCapture(event.pointerId);
    stage.onpointermove = ({ movementX, movementY }) => { move(movementX, movementY); };
  };
  stage.onpointerup = stage.onpointercancel = () => { stage.onpointermove = null; };
  stage.ondblclick = fitToStage;
  const step = (x, y) => { if (view.scale !== 1) move(x * stage.clientWidth, y * stage.clientHeight); };
  const zoomMiddle = (factor) => zoom(factor, stage.clientWidth / 2, stage.clientHeight / 2);
  const handled = {
    "+": () => zoomMiddle(1.2), "-": () => zoomMiddle(1 / 1.2), "0": fitToStage,
    "Shift ArrowLeft": () => step(-0.1, 0), "Shift ArrowRight": () => step(0.1, 0),
    "Shift ArrowUp": () => step(0, -0.1), "Shift ArrowDown": () => step(0, 0.1),
  };
  for (const [name, factor] of [[".closer", 1.5], [".farther", 1 / 1.5]]) {
    root.querySelector(name).onclick = ({ currentTarget, detail }) => {
      zoomMiddle(factor);
      if (detail) currentTarget.blur(); // clicked: as below
    };
  }
  const backFirst = (event) => {
    if (!root.step) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // it would file a verdict on the scan that is not seen
    look(0);
    root.querySelector(".elsewhere").textContent = "Back at the scan. Press again to file your verdict on it.";
  };
  const onClick = (event) => {
    if (event.target.closest?.('[class*="st-key-verdict-"]')) backFirst(event);
  };
  let byPointer = false;
  const onKey = (event) => {
    byPointer = false;
    const typing = event.composedPath()[0]?.matches?.("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea");
    if (event.key.toLowerCase() === "m" && !typing && !event.ctrlKey && !event.metaKey && data.heat && !root.step) {
      box.checked = !box.checked;
      box.onchange();
    }
    const steered = event.composedPath()[0]?.matches?.(STEERED);
    const free = !(event.ctrlKey || event.metaKey || event.altKey), plain = free && !event.shiftKey;
    const closer = handled[event.shiftKey && event.key.startsWith("Arrow") ? `Shift ${event.key}` : event.key];
    if (closer && free && !steered) {
      event.preventDefault();
      event.stopImmediatePropagation(); // the page's own arrow keys go to the next scan
      closer();
    }
    if (plain && !steered && !typing && data.verdict_keys.includes(event.key.toUpperCase())) backFirst(event);
    if (["ArrowUp", "ArrowDown"].includes(event.key) && steps.length && plain && !steered) {
      event.preventDefault(); // the page would scroll
      look(root.step + (event.key === "ArrowUp" ? 1 : -1));
    }
  };
  // a switch, a preset or the slider that was clicked would keep the focus, and with it the keys of the page's buttons
  const pointed = () => { byPointer = true; };
  const release = ({ target }) => {
    if (byPointer && target.matches?.("input[type=checkbox], input[type=radio], [role=radio]")) {
      setTimeout(() => target.blur());
    }
  };
  const listeners = { keydown: onKey, click: onClick, pointerdown: pointed, focusin: release };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener, true);
  const observer = new ResizeObserver(settle);
  observer.observe(stage);
  return root.cleanUp = () => {
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener, true);
    observer.disconnect();
  };
}
