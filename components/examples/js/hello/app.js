// The smallest app in JavaScript: a fetch handler, as in a service worker.

function answer(request) {
  const path = new URL(request.url).pathname;
  return new Response(`hello from ${path} (wasi:http 0.2, JavaScript)\n`, {
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));
