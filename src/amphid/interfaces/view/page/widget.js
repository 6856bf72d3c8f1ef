// The page within a notebook: an iframe, with what it says and hears carried over the widget's wire.

function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.title = model.get("title");
  frame.style.cssText = `width:100%;height:${model.get("height")}px;border:0`;
  const said = (event) => {
    if (event.source === frame.contentWindow) model.send(event.data);
  };
  const heard = (content, buffers) => {
    const bytes = buffers.map((part) => part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength));
    frame.contentWindow?.postMessage({ content, bytes }, "*");
  };
  window.addEventListener("message", said);
  model.on("msg:custom", heard);
  frame.srcdoc = model.get("page");
  el.append(frame);
  return () => {
    window.removeEventListener("message", said);
    model.off("msg:custom", heard);
  };
}

export default { render };
