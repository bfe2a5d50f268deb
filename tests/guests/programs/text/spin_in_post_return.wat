;; Returns from its handler, without an answer, and spins in the function that is called to clean up after it.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $main
    (func (export "handle") (param i32 i32))
    (func (export "clean-up") (loop $again (br $again))))
  (core instance $app (instantiate $main))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle") (post-return (core func $app "clean-up"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
