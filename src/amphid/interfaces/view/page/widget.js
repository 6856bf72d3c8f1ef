// The page within a notebook: an iframe, with what it says and hears carried over the widget's wire.

/** Whether the notebook is dark, as JupyterLab, VS Code, marimo and Colab tell; null where none does. */
function isDark() {
  const [root, body] = [document.documentElement, document.body];
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  const kind = body.dataset.vscodeThemeKind || body.className;
  if (/vscode-(dark|high-contrast(?!-light))/.test(kind)) return true;
  if (/vscode-(light|high-contrast-light)/.test(kind)) return false;
  for (const one of [root, body]) {
    for (const name of ["dark", "light"]) if (one.classList.contains(name)) return name === "dark";
  }
  const told = root.getAttribute("theme") || root.dataset.theme || "";
  return told ? told === "dark" : null;
}

function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.title = model.get("title");
  frame.style.cssText = `width:100%;height:${model.get("height")}px;border:0`;
  const tell = (words) => frame.contentWindow?.postMessage(words, "*");
  const tellLight = () => tell({ host: true, content: { op: "surroundings", dark: isDark() } });
  const said = (event) => {
    if (event.source !== frame.contentWindow) return;
    if (event.data === "ready") {
      tellLight();
      const last = model.get("last");
      if (last?.byteLength) tell({ host: true, content: { op: "picture" }, bytes: [copied(last)] });
    }
    try {
      model.send(event.data);
    } catch {
      // the kernel has gone, which the page tells as soon as it hears nothing
    }
  };
  const heard = (content, buffers) => {
    const bytes = buffers.map(copied);
    if (bytes.length) model.set("last", buffers[0]); // kept with the notebook, told to nobody
    tell({ content, bytes });
  };
  const watching = new MutationObserver(tellLight);
  for (const one of [document.documentElement, document.body]) watching.observe(one, { attributes: true });
  window.addEventListener("message", said);
  model.on("msg:custom", heard);
  frame.srcdoc = model.get("page");
  el.append(frame);
  return () => {
    watching.disconnect();
    window.removeEventListener("message", said);
    model.off("msg:custom", heard);
  };
}

function copied(part) {
  return part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength);
}

export default { render };
