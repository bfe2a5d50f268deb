;; Four tables, each grown in turn until none grows; then a trap.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $main
    (table $t1 1 funcref)
    (table $t2 1 funcref)
    (table $t3 1 funcref)
    (table $t4 1 funcref)
    (func (export "handle") (param i32 i32)
      (loop $more
        (i32.const 0)
        (i32.or (i32.ne (table.grow $t1 (ref.null func) (i32.const 1000)) (i32.const -1)))
        (i32.or (i32.ne (table.grow $t2 (ref.null func) (i32.const 1000)) (i32.const -1)))
        (i32.or (i32.ne (table.grow $t3 (ref.null func) (i32.const 1000)) (i32.const -1)))
        (i32.or (i32.ne (table.grow $t4 (ref.null func) (i32.const 1000)) (i32.const -1)))
        (br_if $more))
      (unreachable)))
  (core instance $app (instantiate $main))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
