;; One table, asked to grow by four million elements, then by half of it, and so on; then a trap.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $main
    (table $t 1 funcref)
    (func (export "handle") (param i32 i32) (local $by i32)
      (local.set $by (i32.const 4000000))
      (loop $less
        (drop (table.grow $t (ref.null func) (local.get $by)))
        (local.set $by (i32.shr_u (local.get $by) (i32.const 1)))
        (br_if $less (local.get $by)))
      (unreachable)))
  (core instance $app (instantiate $main))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
