;; Fills and copies all of 15 MiB of memory, for ever: one instruction each, that does millions of bytes of work.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $main
    (memory 240)
    (func (export "handle") (param i32 i32)
      (loop $again
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 15728640))
        (memory.copy (i32.const 0) (i32.const 7864320) (i32.const 7864320))
        (br $again))))
  (core instance $app (instantiate $main))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
