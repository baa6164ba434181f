;; FastCDC's inner loops: the same cuts as cutChunks in packages/protocol/src/formats/chunk.ts.
;; The keyed gear table (256 numbers of 32 bits, little-endian) lies at address 0 of the shared memory.
;; Four bytes a turn: measured twice as fast as one. `npm run wasm` compiles this file.
(module
  (import "agent" "memory" (memory 1 65536 shared))
  (global $hash (mut i32) (i32.const 0))
  (global $found (mut i32) (i32.const 0))

  ;; Hashes bytes from p on until one ends a chunk (found = 1, the address after it) or limit is reached.
  (func $scan (param $p i32) (param $limit i32) (param $mask i32) (result i32)
    (local $h i32)
    (local.set $h (global.get $hash))
    (block $cut4
      (block $cut3
        (block $cut2
          (block $cut1
            (block $single
              (loop $four
                (br_if $single (i32.gt_u (i32.add (local.get $p) (i32.const 4)) (local.get $limit)))
          (local.set $h
            (i32.add
              (i32.shl (local.get $h) (i32.const 1))
              (i32.load (i32.shl (i32.load8_u offset=0 (local.get $p)) (i32.const 2)))))
          (br_if $cut1 (i32.eqz (i32.and (local.get $h) (local.get $mask))))
          (local.set $h
            (i32.add
              (i32.shl (local.get $h) (i32.const 1))
              (i32.load (i32.shl (i32.load8_u offset=1 (local.get $p)) (i32.const 2)))))
          (br_if $cut2 (i32.eqz (i32.and (local.get $h) (local.get $mask))))
          (local.set $h
            (i32.add
              (i32.shl (local.get $h) (i32.const 1))
              (i32.load (i32.shl (i32.load8_u offset=2 (local.get $p)) (i32.const 2)))))
          (br_if $cut3 (i32.eqz (i32.and (local.get $h) (local.get $mask))))
          (local.set $h
            (i32.add
              (i32.shl (local.get $h) (i32.const 1))
              (i32.load (i32.shl (i32.load8_u offset=3 (local.get $p)) (i32.const 2)))))
          (br_if $cut4 (i32.eqz (i32.and (local.get $h) (local.get $mask))))
                (local.set $p (i32.add (local.get $p) (i32.const 4)))
                (br $four)))
            (loop $one
              (if (i32.ge_u (local.get $p) (local.get $limit))
                (then
                  (global.set $hash (local.get $h))
                  (return (local.get $p))))
          (local.set $h
            (i32.add
              (i32.shl (local.get $h) (i32.const 1))
              (i32.load (i32.shl (i32.load8_u offset=0 (local.get $p)) (i32.const 2)))))
          (br_if $cut1 (i32.eqz (i32.and (local.get $h) (local.get $mask))))
              (local.set $p (i32.add (local.get $p) (i32.const 1)))
              (br $one)))
          (global.set $found (i32.const 1))
          (return (i32.add (local.get $p) (i32.const 1))))
        (global.set $found (i32.const 1))
        (return (i32.add (local.get $p) (i32.const 2))))
      (global.set $found (i32.const 1))
      (return (i32.add (local.get $p) (i32.const 3))))
    (global.set $found (i32.const 1))
    (i32.add (local.get $p) (i32.const 4)))

  (func $least (param $a i32) (param $b i32) (result i32)
    (select (local.get $a) (local.get $b) (i32.lt_u (local.get $a) (local.get $b))))

  ;; Cuts the bytes from `at` to `end`; writes each chunk's length as u32 from `out` on; returns how many.
  (func (export "cut")
    (param $at i32) (param $end i32) (param $min i32) (param $average i32) (param $max i32)
    (param $below i32) (param $from i32) (param $out i32) (result i32)
    (local $first i32) (local $limit i32) (local $p i32)
    (local.set $first (local.get $out))
    (block $done
      (loop $chunk
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (global.set $hash (i32.const 0))
        (global.set $found (i32.const 0))
        (local.set $limit (call $least (i32.add (local.get $at) (local.get $max)) (local.get $end)))
        (local.set $p
          (call $scan
            (call $least (i32.add (local.get $at) (local.get $min)) (local.get $limit))
            (call $least (i32.add (local.get $at) (local.get $average)) (local.get $limit))
            (local.get $below)))
        (if (i32.eqz (global.get $found))
          (then (local.set $p (call $scan (local.get $p) (local.get $limit) (local.get $from)))))
        (i32.store (local.get $out) (i32.sub (local.get $p) (local.get $at)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $at (local.get $p))
        (br $chunk)))
    (i32.shr_u (i32.sub (local.get $out) (local.get $first)) (i32.const 2))))
