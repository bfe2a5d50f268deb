;; Eight tables of one component, each grown in turn until none grows; then a trap.
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))

  (core module $room
    (table $t 1 funcref)
    ;; A thousand elements more; 1 if they were given.
    (func (export "grow") (result i32)
      (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
  (core instance $a (instantiate $room))
  (core instance $b (instantiate $room))
  (core instance $c (instantiate $room))
  (core instance $d (instantiate $room))
  (core instance $e (instantiate $room))
  (core instance $f (instantiate $room))
  (core instance $g (instantiate $room))
  (core instance $h (instantiate $room))

  (core module $main
    (import "a" "grow" (func $a (result i32)))
    (import "b" "grow" (func $b (result i32)))
    (import "c" "grow" (func $c (result i32)))
    (import "d" "grow" (func $d (result i32)))
    (import "e" "grow" (func $e (result i32)))
    (import "f" "grow" (func $f (result i32)))
    (import "g" "grow" (func $g (result i32)))
    (import "h" "grow" (func $h (result i32)))
    (func (export "handle") (param i32 i32)
      (loop $more
        (i32.or (i32.or (i32.or (call $a) (call $b)) (i32.or (call $c) (call $d)))
          (i32.or (i32.or (call $e) (call $f)) (i32.or (call $g) (call $h))))
        (br_if $more))
      (unreachable)))
  (core instance $app (instantiate $main
    (with "a" (instance $a)) (with "b" (instance $b)) (with "c" (instance $c)) (with "d" (instance $d))
    (with "e" (instance $e)) (with "f" (instance $f)) (with "g" (instance $g)) (with "h" (instance $h))))

  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $app "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
