// An app in JavaScript that exports the handler of wasi:http 0.2 itself.

import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.10";

const encoder = new TextEncoder();

export const incomingHandler = {
  handle(request, responseOut) {
    const path = (request.pathWithQuery() ?? "/").split("?", 1)[0];
    const headers = Fields.fromList([["content-type", encoder.encode("text/plain; charset=utf-8")]]);
    const response = new OutgoingResponse(headers);
    const body = response.body();
    ResponseOutparam.set(responseOut, { tag: "ok", val: response });
    const stream = body.write();
    stream.blockingWriteAndFlush(encoder.encode(`hello from ${path} (wasi:http 0.2, JavaScript)\n`));
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};
