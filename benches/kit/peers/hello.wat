;; What the guest `hello` does, for Viceroy: a core module over Fastly's host calls, with no runtime of a language
;; around it. It puts the path of the request between the two parts of the text.
(module
  (import "fastly_http_req" "body_downstream_get" (func $take (param i32 i32) (result i32)))
  (import "fastly_http_req" "uri_get" (func $uri (param i32 i32 i32 i32) (result i32)))
  (import "fastly_http_body" "new" (func $body (param i32) (result i32)))
  (import "fastly_http_body" "write" (func $write (param i32 i32 i32 i32 i32) (result i32)))
  (import "fastly_http_resp" "new" (func $response (param i32) (result i32)))
  (import "fastly_http_resp" "header_insert" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "fastly_http_resp" "send_downstream" (func $send (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; 0: request, 4: its body, 8: length of the URI, 12: response, 16: its body, 20: bytes written
  (data (i32.const 64) "hello from ")
  (data (i32.const 96) " (wasi:http 0.3, Rust)\n")
  (data (i32.const 128) "content-type")
  (data (i32.const 160) "text/plain; charset=utf-8")

  (func $must (param i32)
    (if (local.get 0) (then unreachable)))

  ;; Where the path begins in the URI at 1024: at the third slash.
  (func $path (result i32)
    (local $at i32) (local $slashes i32)
    (local.set $at (i32.const 1024))
    (loop $next
      (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 47))
        (then (local.set $slashes (i32.add (local.get $slashes) (i32.const 1)))))
      (if (i32.lt_u (local.get $slashes) (i32.const 3))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (local.get $at))

  (func $say (param $at i32) (param $length i32)
    (call $must (call $write (i32.load (i32.const 16)) (local.get $at) (local.get $length) (i32.const 0) (i32.const 20))))

  (func (export "_start")
    (local $path i32)
    (call $must (call $take (i32.const 0) (i32.const 4)))
    (call $must (call $uri (i32.load (i32.const 0)) (i32.const 1024) (i32.const 8192) (i32.const 8)))
    (call $must (call $response (i32.const 12)))
    (call $must (call $body (i32.const 16)))
    (call $must (call $header (i32.load (i32.const 12)) (i32.const 128) (i32.const 12) (i32.const 160) (i32.const 25)))
    (local.set $path (call $path))
    (call $say (i32.const 64) (i32.const 11))
    (call $say (local.get $path)
      (i32.sub (i32.add (i32.const 1024) (i32.load (i32.const 8))) (local.get $path)))
    (call $say (i32.const 96) (i32.const 23))
    (call $must (call $send (i32.load (i32.const 12)) (i32.load (i32.const 16)) (i32.const 0)))))
