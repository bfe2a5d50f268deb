;; Works for a random time in a start function: no two instances are alike. Answers nothing.
(component
  (import "wasi:random/random@0.2.12" (instance $random
    (export "get-random-u64" (func (result u64)))))
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core func $number (canon lower (func $random "get-random-u64")))
  (core module $main
    (import "random" "number" (func $number (result i64)))
    (func $work (local $left i64)
      (local.set $left (i64.and (call $number) (i64.const 0xffff)))
      (loop $again
        (local.set $left (i64.sub (local.get $left) (i64.const 1)))
        (br_if $again (i64.gt_s (local.get $left) (i64.const 0)))))
    (start $work)
    (func (export "handle") (param i32 i32)))
  (core instance $app (instantiate $main
    (with "random" (instance (export "number" (func $number))))))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
