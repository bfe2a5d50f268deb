// What the guest `hello` does, for workerd.
export default {
  fetch(request) {
    const path = new URL(request.url).pathname;
    return new Response(`hello from ${path} (wasi:http 0.3, Rust)\n`, {
      headers: { "content-type": "text/plain; charset=utf-8" },
    });
  },
};
