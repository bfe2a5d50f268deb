;; Works for a million rounds in the start function of its first module. Then it wants eight memories, for which there
;; may be no room when the work is done. Traps when it is asked.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $worker
    (func $work (local $left i32)
      (local.set $left (i32.const 1000000))
      (loop $again
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $again (local.get $left))))
    (start $work))
  (core instance (instantiate $worker))

  (core module $room (memory 1))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))
  (core instance (instantiate $room))

  (core module $main
    (func (export "handle") (param i32 i32) (unreachable)))
  (core instance $app (instantiate $main))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
