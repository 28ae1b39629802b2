// Orders are plain requests: they work whether or not the live connection does.

export const key = pageKey();
const LONGEST_WAIT = 6000; // ms

/** Give an order; returns {ok, status, message}, also when nobody answers. */
export async function order(path, body = {}) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-page": key },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(LONGEST_WAIT),
    });
    const answer = await response.json();
    return { ok: response.ok, status: response.status, message: answer.message ?? "", ...answer };
  } catch (error) {
    return { ok: false, status: 0, message: `the console does not answer (${error.name}): use the robot's own stop` };
  }
}

/** Known to this page alone; the same after it is loaded anew. */
function pageKey() {
  const kept = sessionStorage.getItem("clwm.page");
  if (kept) return kept;
  const drawn = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("clwm.page", drawn);
  return drawn;
}
