// The files that the page needs: from the server, or from inside the page where there is none.

const INSIDE = "ant-files"; // id of the element with {name: base64 of the gzipped file} in a self-contained page

let inside = null;

/** Finds the files inside the page. One that was opened from disk may not fetch any, but it may load a script with them. */
export async function findFiles() {
  const element = document.getElementById(INSIDE);
  if (element) inside = JSON.parse(element.textContent);
  else if (location.protocol === "file:") {
    await new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: "files.js", onload: resolve });
      script.onerror = () => reject(new Error("files.js is missing: keep it in the folder of this page."));
      document.head.append(script);
    });
    inside = globalThis.ANT_FILES;
  }
}

/** @param {string} name  @returns {Promise<ArrayBuffer>} */
export async function loadFile(name) {
  if (inside) {
    if (!Object.hasOwn(inside, name)) throw new Error(`${name} is not in this page.`);
    const bytes = Uint8Array.from(atob(inside[name]), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }
  let response;
  try {
    response = await fetch(name);
  } catch {
    throw new Error(`${name} could not be loaded: check the connection and open the page again.`);
  }
  if (!response.ok) throw new Error(`${name} could not be loaded (${response.status}): open the page again.`);
  return response.arrayBuffer();
}
