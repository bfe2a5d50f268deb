;; Fills and copies all of a table of 100,000 elements, for ever.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $main
    (table $t 100000 funcref)
    (func (export "handle") (param i32 i32)
      (loop $again
        (table.fill $t (i32.const 0) (ref.null func) (i32.const 100000))
        (table.copy $t $t (i32.const 0) (i32.const 50000) (i32.const 50000))
        (br $again))))
  (core instance $app (instantiate $main))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
