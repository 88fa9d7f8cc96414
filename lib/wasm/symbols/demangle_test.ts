import { assert, assertEquals } from "@std/assert";
import { demangle } from "./demangle.ts";

/** Symbols of rustc 1.95, clang 14 and the ABI documents, with their names as llvm-cxxfilt prints them. */
const NAMES: readonly (readonly [symbol: string, name: string])[] = [
  // Rust, v0
  ["_RNvC6_123foo3bar", "123foo::bar"],
  [
    "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
    "utf8_idents::საჭმელად_გემრიელი_სადილი",
  ],
  ["_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}"],
  [
    "_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbuBiw2_3std",
    "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>",
  ],
  ["_RMC0INtC8arrayvec8ArrayVechKj7b_E", "<arrayvec::ArrayVec<u8, 123>>"],
  // Rust, legacy
  [
    "_ZN59_$LT$core..fmt..Arguments$u20$as$u20$core..fmt..Display$GT$3fmt17h00112233445566ffE",
    "<core::fmt::Arguments as core::fmt::Display>::fmt",
  ],
  ["_ZN3std9panicking11begin_panic17h0123456789abcdefE.llvm.77", "std::panicking::begin_panic"],
  // C++
  ["_Z3foov", "foo()"],
  [
    "_ZNK3app3BoxIiE2atERKNSt3__16vectorIiNS2_9allocatorIiEEEEi",
    "app::Box<int>::at(std::__1::vector<int, std::__1::allocator<int>> const&, int) const",
  ],
  ["_ZN3FooC1EPKc", "Foo::Foo(char const*)"],
  ["_ZN3FooD2Ev", "Foo::~Foo()"],
  ["_ZN3FooplERKS_", "Foo::operator+(Foo const&)"],
  ["_ZTV3Foo", "vtable for Foo"],
  ["_ZThn16_N3Foo3barEv", "non-virtual thunk to Foo::bar()"],
  ["_Z1fPFivE", "f(int (*)())"],
  ["_Z1fM1AKFvvE", "f(void (A::*)() const)"],
  ["_Z1fRA3_i", "f(int (&) [3])"],
  ["_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const"],
  ["_ZN12_GLOBAL__N_13runEv", "(anonymous namespace)::run()"],
  ["_Z3putIJicEEvDpT_", "void put<int, char>(int, char)"],
  ["_Z3putIJRA3_KcEEvDpOT_", "void put<char const (&) [3]>(char const (&) [3])"],
  ["_Z1fILi3ELb1EEvv", "void f<3, true>()"],
];

Deno.test("demangle() returns the names of Rust and C++ symbols", () => {
  for (const [symbol, name] of NAMES) assertEquals(demangle(symbol), name);
});

Deno.test("demangle() returns other and malformed symbols unchanged", () => {
  const symbols = [
    "main",
    "_start.command_export",
    "",
    "_Z",
    "_R",
    "_RNvC",
    "_Z9999999foo",
    "_ZN3FooE3",
    "_Z1fIXsZT_EEvDpT_", // an expression
    "_ZN1aS_", // a substitution that does not exist
    `_Z${"N1a".repeat(2000)}`,
    `_Z1f${"P".repeat(5000)}i`,
    `_R${"NvC1a".repeat(500)}`,
  ];
  for (const symbol of symbols) assertEquals(demangle(symbol), symbol);
});

Deno.test("demangle() is bounded for names that substitutions and back references multiply", () => {
  // Each pair repeats the one before it twice.
  let pairs = "_Z1fI1pIiiE";
  for (let at = 0; at < 60; at++) {
    pairs += `1pIS${at.toString(36).toUpperCase()}_S${at.toString(36).toUpperCase()}_E`;
  }
  const tuples = `_RIC1aT${"TB3_B3_E".repeat(200)}EE`;
  for (const symbol of [`${pairs}Ev`, tuples]) {
    assert(demangle(symbol).length <= Math.max(5000, symbol.length));
  }
});

Deno.test("demangle() terminates for every truncation and changed character", () => {
  for (const [symbol] of NAMES) {
    for (let at = 0; at < symbol.length; at++) {
      demangle(symbol.slice(0, at));
      for (const char of ["_", "E", "S", "I", "T", "9", "\u{202e}"]) {
        demangle(symbol.slice(0, at) + char + symbol.slice(at + 1));
      }
    }
  }
});
