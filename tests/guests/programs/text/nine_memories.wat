;; Has nine memories without a page, one in each of nine core instances: no bytes, and nine slots of the pool that all
;; tenants share.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $room (memory 0))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))

  (core module $main
    (func (export "handle") (param i32 i32)))
  (core instance $app (instantiate $main))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
